"""/search: assets by what is known of them, and what a library offers to look for. Source: spec/api.md §5."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import explore, people, search_assets, smart_search
from serve_app.wire import search as wire
from serve_app.wire.asset import AssetResponse, seen_asset
from serve_app.wire.common import PlainText
from serve_app.wire.person import PersonResponse, person_response
from tasks.media.places import find_places

router = APIRouter(prefix="/search", tags=["search"])

Reader = Annotated[Caller, Depends(allow("asset.read"))]
Visitor = Annotated[Caller, Depends(allow("asset.read", shared=True))]


@router.post("/metadata")
def search_metadata(body: wire.MetadataSearch, services: ServicesOf, caller: Visitor) -> wire.SearchResponse:
    """One page of the caller's assets."""
    page = search_assets.search_page(
        services, caller, body.filter(caller.user_id), body.sorting(), body.shown(), page=body.page, size=body.size
    )
    return wire.search_response(page)


@router.post("/smart")
def search_smart(body: wire.SmartSearch, services: ServicesOf, caller: Reader) -> wire.SearchResponse:
    """One page of the caller's assets, those first that show most likely what is asked for."""
    page = smart_search.smart_page(
        services, caller, body.filter(caller.user_id), body.likeness(), body.shown(), page=body.page, size=body.size
    )
    return wire.search_response(page)


@router.post("/random")
def search_random(body: wire.RandomSearch, services: ServicesOf, caller: Reader) -> list[AssetResponse]:
    """Some of the caller's assets."""
    found = search_assets.search_at_random(services, caller, body.filter(caller.user_id), body.shown(), size=body.size)
    return [seen_asset(seen) for seen in found]


@router.post("/large-assets")
def search_large_assets(
    asked: Annotated[wire.LargeSearch, Query()], services: ServicesOf, caller: Reader
) -> list[AssetResponse]:
    """The largest files first."""
    found = search_assets.search_largest(services, caller, asked.filter(caller.user_id), asked.shown(), size=asked.size)
    return [seen_asset(seen) for seen in found]


@router.post("/statistics")
def search_statistics(
    body: wire.StatisticsSearch, services: ServicesOf, caller: Annotated[Caller, Depends(allow("asset.statistics"))]
) -> wire.SearchStatistics:
    """How many of the caller's assets fit."""
    return wire.SearchStatistics(total=search_assets.count_found(services, caller, body.filter(caller.user_id)))


@router.get("/suggestions")
def get_search_suggestions(
    services: ServicesOf,
    caller: Reader,
    type: wire.SuggestionKind,
    country: PlainText | None = None,
    state: PlainText | None = None,
    make: PlainText | None = None,
    model: PlainText | None = None,
    lensModel: PlainText | None = None,
    includeNull: bool = False,
) -> list[str | None]:
    """Words for a field that is being typed; null stands for "unknown", where that is wanted."""
    given = {"country": country, "state": state, "make": make, "model": model, "lens_model": lensModel}
    narrow = {name: value for name, value in given.items() if value is not None}
    words = explore.suggest(services, caller.user_id, wire.SUGGESTED[type], narrow)
    return [*words, None] if includeNull else [*words]


@router.get("/explore")
def get_explore_data(services: ServicesOf, caller: Reader) -> list[wire.ExploreResponse]:
    """Where most was taken."""
    return wire.explore_response(explore.explore_cities(services, caller.user_id))


@router.get("/cities")
def get_assets_by_city(services: ServicesOf, caller: Reader) -> list[AssetResponse]:
    """A picture of every city."""
    return [seen_asset(seen) for seen in explore.one_per_city(services, caller.user_id)]


@router.get("/person")
def search_person(
    services: ServicesOf,
    caller: Annotated[Caller, Depends(allow("person.read"))],
    name: PlainText,
    withHidden: bool = False,
) -> list[PersonResponse]:
    """People of this name, or with it in their name."""
    found = people.find_people(services, caller.user_id, name, with_hidden=withHidden)
    return [person_response(person) for person in found]


@router.get("/places")
def search_places(caller: Reader, name: PlainText) -> list[wire.PlaceResponse]:
    """Towns of this name, or with it in their name."""
    return [wire.place_response(place) for place in find_places(name)]
