"""Finds a user's assets by what is known of them: a page, a sample, a number. Source: spec/api.md §5."""

import secrets
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from cluster.db.queries import access, asset_search, partners
from cluster.db.queries.asset_details import details_of
from cluster.db.queries.asset_search import ANY_TAGS, AssetFilter, Found, SortField, Sorting
from cluster.db.queries.assets import LOCKED, TIMELINE
from cluster.db.queries.shared_links import KnownLink
from cluster.errors import Forbidden
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import SeenAsset, no_access, require_elevation, seen_by_link


@dataclass(frozen=True, slots=True)
class Shown:
    """What comes along with each asset."""

    exif: bool = False
    people: bool = False
    stack: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """One page of results. `next_page` None: it is the last."""

    assets: list[SeenAsset]
    next_page: int | None


def search_page(
    services: Services,
    caller: Caller,
    wanted: AssetFilter,
    sorting: Sequence[Sorting],
    shown: Shown,
    *,
    page: int,
    size: int,
) -> Page:
    """`page`: 1 and up. Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        wanted = admitted(session, caller, wanted)
        found = asset_search.search(session, wanted, sorting, limit=size + 1, offset=(page - 1) * size)
        return Page(seen_assets(session, caller, found[:size], shown), page + 1 if len(found) > size else None)


def search_at_random(
    services: Services, caller: Caller, wanted: AssetFilter, shown: Shown, *, size: int
) -> list[SeenAsset]:
    """A sample in any order. Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        wanted = admitted(session, caller, wanted)
        found = asset_search.search_around(session, wanted, str(uuid.uuid4()), limit=size)
        secrets.SystemRandom().shuffle(found)
        return seen_assets(session, caller, found, shown)


def search_largest(
    services: Services, caller: Caller, wanted: AssetFilter, shown: Shown, *, size: int
) -> list[SeenAsset]:
    """Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        wanted = admitted(session, caller, wanted)
        found = asset_search.search(session, wanted, [Sorting(SortField.FILE_SIZE)], limit=size)
        return seen_assets(session, caller, found, shown)


def count_found(services: Services, caller: Caller, wanted: AssetFilter) -> int:
    """Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        return asset_search.count(session, admitted(session, caller, wanted))


def admitted(session: Session, caller: Caller, wanted: AssetFilter) -> AssetFilter:
    """The filter, over the timelines of partners too that the user has in theirs. Raises BadRequest, NotAuthenticated
    for what the user may not ask for."""
    if wanted.equal.get("visibility") == LOCKED:
        require_elevation(caller)
    if len(access.visible_album_ids(session, caller, wanted.album_ids)) < len(set(wanted.album_ids)):
        raise no_access("album.read")
    if caller.link is not None:
        return _within_link(wanted, caller.link)
    if _asks_for_what_is_private(wanted):
        return wanted
    return replace(wanted, partner_ids=partners.ids_sharing_with(session, wanted.owner_id, in_timeline=True))


def _within_link(wanted: AssetFilter, link: KnownLink) -> AssetFilter:
    """A filter tells what a file says, so a link that shows no metadata takes none."""
    if not link.metadata or wanted.with_deleted or _asks_for_what_is_private(wanted):
        raise Forbidden("Forbidden")
    return replace(wanted, link=link)


def _asks_for_what_is_private(wanted: AssetFilter) -> bool:
    """Whether an answer would tell of partners what they keep to themselves: favourites, people, tags, the archive."""
    of_others = bool(wanted.person_ids or wanted.outside_albums) or wanted.tag_ids is not ANY_TAGS
    return of_others or "favorite" in wanted.equal or wanted.equal.get("visibility", TIMELINE) != TIMELINE


def seen_assets(session: Session, caller: Caller, found: Iterable[Found], shown: Shown) -> list[SeenAsset]:
    """With what is to come along."""
    found = list(found)
    if caller.link is not None:
        return [seen_by_link(asset, exif if shown.exif else None, caller.link) for asset, exif in found]
    details = details_of(session, [asset for asset, _ in found], people=shown.people, tags=False, stack=shown.stack)
    return [
        SeenAsset(asset, exif if shown.exif else None, details[asset.id], asset.owner_id == caller.user_id)
        for asset, exif in found
    ]
