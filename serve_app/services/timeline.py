"""The timeline of a user, an album, a person or a tag, month by month. Source: spec/api.md §5."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.queries import partners, timeline
from cluster.db.queries.assets import ARCHIVE, LOCKED, TIMELINE
from cluster.db.queries.shared_links import KnownLink
from cluster.db.queries.timeline import TimelineAsset, TimelineFilter
from cluster.db.tables.tag import Tag
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.albums import require_album
from serve_app.services.get_asset import no_access, require_elevation


@dataclass(frozen=True, slots=True, kw_only=True)
class TimelineRequest:
    """`wanted.owner_id` None: nobody is named."""

    wanted: TimelineFilter
    descending: bool = True
    with_partners: bool = False
    with_coordinates: bool = False


@dataclass(frozen=True, slots=True)
class Month:
    """The assets of one month, in order. `stack_sizes` None: nobody asked. `viewer_id`: who looks, None for somebody
    without an account. `with_places`: they are told where."""

    rows: Sequence[TimelineAsset]
    stack_sizes: dict[str, int] | None
    viewer_id: str | None
    with_coordinates: bool
    with_places: bool = True


def list_months(services: Services, caller: Caller, asked: TimelineRequest) -> list[tuple[str, int]]:
    """(`2024-03`, how many), in order. Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        counted = timeline.months(session, _checked(session, caller, asked))
    return sorted(counted.items(), reverse=asked.descending)


def get_month(services: Services, caller: Caller, asked: TimelineRequest, first_day: date) -> Month:
    """The same for what is in the month that begins so. Raises BadRequest, NotAuthenticated. Blocks."""
    with services.database.reader() as session:
        wanted = _checked(session, caller, asked)
        rows = sorted(
            timeline.month(session, wanted, *_bounds(first_day)),
            key=_arrival if wanted.by_arrival else _moment,
            reverse=asked.descending,
        )
        sizes = None
        if wanted.primaries:
            sizes = timeline.stack_sizes(session, [row.stack_id for row in rows if row.stack_id is not None])
    if caller.link is not None:
        places = caller.link.metadata
        return Month(rows, sizes, None, places and asked.with_coordinates, with_places=places)
    return Month(rows, sizes, caller.user_id, asked.with_coordinates)


def _arrival(row: TimelineAsset) -> tuple[Any, ...]:
    return row.created_at, row.id


def _moment(row: TimelineAsset) -> tuple[Any, ...]:
    """By day where it was taken, and within a day by what really came first: two cameras may differ in their zone."""
    return row.local_date_time.date(), row.file_created_at, row.id


def _bounds(first_day: date) -> tuple[datetime, datetime]:
    start = datetime(first_day.year, first_day.month, 1, tzinfo=UTC)
    if (start.year, start.month) == (9999, 12):
        return start, datetime.max.replace(tzinfo=UTC)
    return start, start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)


def _checked(session: Session, caller: Caller, asked: TimelineRequest) -> TimelineFilter:
    """Whose timeline it is, if the caller may see it."""
    wanted, user_id = asked.wanted, caller.user_id
    if caller.link is not None:
        return _of_link(session, caller, caller.link, wanted)
    if wanted.visibility == LOCKED:
        require_elevation(caller)
    if wanted.album_id is not None:
        require_album(session, caller, wanted.album_id, "album.read")
    if wanted.tag_id is not None:
        tag = session.get(Tag, wanted.tag_id)
        if tag is None or tag.owner_id != user_id:
            raise no_access("tag.read")
    if (wanted.favorite is not None or wanted.trashed) and wanted.owner_id is None:
        wanted = replace(wanted, owner_id=user_id)  # what others like or threw away is their own affair
    archived = wanted.visibility in (None, ARCHIVE)
    if asked.with_partners and (archived or wanted.trashed or wanted.favorite is not None):
        raise BadRequest("withPartners is only supported for non-archived, non-trashed, non-favorited assets")
    if wanted.owner_id not in (None, user_id):
        return _of_partner(session, user_id, wanted)
    if wanted.owner_id is None and (wanted.album_id is None or wanted.visibility == LOCKED):
        wanted = replace(wanted, owner_id=user_id)
    if asked.with_partners and wanted.owner_id is not None and not (wanted.person_id or wanted.tag_id):
        return replace(wanted, partner_ids=partners.ids_sharing_with(session, user_id, in_timeline=True))
    return wanted


def _of_link(session: Session, caller: Caller, link: KnownLink, wanted: TimelineFilter) -> TimelineFilter:
    """The link's album and nothing else, whosever lie in it; one that shows no metadata is not asked for places."""
    private = wanted.trashed or wanted.favorite is not None or wanted.person_id or wanted.tag_id or wanted.owner_id
    shown = wanted.visibility in (None, TIMELINE, ARCHIVE)
    if private or not shown or wanted.album_id is None or (wanted.box is not None and not link.metadata):
        raise no_access("timeline.read")
    require_album(session, caller, wanted.album_id, "album.read")
    return wanted


def _of_partner(session: Session, user_id: str, wanted: TimelineFilter) -> TimelineFilter:
    """Somebody else's timeline, without what partners keep to themselves."""
    private = wanted.trashed or wanted.favorite is not None or wanted.person_id is not None
    if private or wanted.owner_id not in partners.ids_sharing_with(session, user_id):
        raise no_access("timeline.read")
    if wanted.visibility not in (None, TIMELINE):
        raise no_access("archive.read")
    return replace(wanted, visibility=TIMELINE)
