"""/map: pins, and names of places. Source: spec/openapi.json."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from cluster.db.queries.places import MarkerFilter
from serve_app.deps import Caller, allow, in_one_turn
from serve_app.services import maps
from serve_app.wire.asset import Date, parse_date
from serve_app.wire.maps import Marker, PlaceName, marker, place_name

router = APIRouter(prefix="/map", tags=["map"])


@router.get("/markers", response_model=list[Marker])
async def get_map_markers(
    request: Request,
    isArchived: bool = False,
    isFavorite: bool | None = None,
    fileCreatedAfter: Date | None = None,
    fileCreatedBefore: Date | None = None,
    withPartners: bool = False,
    withSharedAlbums: bool = False,
) -> Response:
    """Every photo that says where it was taken."""
    wanted = MarkerFilter(
        archived=isArchived,
        favorite=isFavorite,
        since=None if fileCreatedAfter is None else parse_date(fileCreatedAfter),
        until=None if fileCreatedBefore is None else parse_date(fileCreatedBefore),
        shared_albums=withSharedAlbums,
        partners=withPartners,
    )
    return await in_one_turn(
        request,
        "map.read",
        lambda services, caller: [marker(row) for row in maps.markers(services, caller.user_id, wanted)],
    )


@router.get("/reverse-geocode")
def reverse_geocode(
    caller: Annotated[Caller, Depends(allow("map.search"))],
    lat: Annotated[float, Query(ge=-90, le=90)],
    lon: Annotated[float, Query(ge=-180, le=180)],
) -> list[PlaceName]:
    return [place_name(place) for place in maps.name_place(lat, lon)]
