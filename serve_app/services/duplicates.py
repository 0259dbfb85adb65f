"""Groups of assets that look alike: shown, put aside, or resolved into those that are kept.

Source: spec/jobs-ml.md §5, spec/api.md §6.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.db.queries import assets, duplicates, system, tags
from cluster.db.queries.access import Account
from cluster.db.queries.asset_details import details_of, tags_on
from cluster.db.queries.assets import ARCHIVE
from cluster.db.queries.duplicates import Member
from cluster.db.tables.asset import AssetExif
from cluster.queue.job import NewEvent
from serve_app.deps import Services
from serve_app.services.album_assets import join_albums
from serve_app.services.delete_asset import empty_trash_job
from serve_app.services.get_asset import SeenAsset
from serve_app.services.outcomes import Refusal
from serve_app.services.tags import note_tags
from serve_app.services.update_asset import UNCHANGED, AssetChanges, apply_changes, sidecar_write

log = logging.getLogger(__name__)

NOT_SAID_BY_THE_FILE = frozenset({"asset_id", "file_size_bytes", "tags", "locked_properties", "updated_at"})


@dataclass(frozen=True, slots=True)
class SeenGroup:
    """Assets that look alike, the oldest first. `suggested`: which of them to keep."""

    group_id: str
    assets: list[SeenAsset]
    suggested: list[str]


@dataclass(frozen=True, slots=True)
class Resolution:
    """What a person decided for a group."""

    group_id: str
    keep: Sequence[str]
    trash: Sequence[str]


@dataclass(frozen=True, slots=True)
class Resolved:
    """What became of a group. `refusal` None: it is resolved; else `message` says more."""

    group_id: str
    refusal: Refusal | None = None
    message: str | None = None


def list_groups(services: Services, user_id: str) -> list[SeenGroup]:
    """The user's. Blocks."""
    with services.database.reader() as session:
        if all(len(members) > 1 for members in duplicates.members_of(session, user_id).values()):
            return _seen(session, user_id)
    with services.database.session() as session:
        duplicates.dissolve_single_groups(session, user_id, services.clock.now())
        return _seen(session, user_id)


def dissolve_groups(services: Services, user_id: str, group_ids: Sequence[str]) -> None:
    """The user's groups of these are none any more; their assets stay. Blocks."""
    if group_ids:
        with services.database.session(durable=True) as session:
            duplicates.merge_groups(session, user_id, group_ids, None, services.clock.now())


def resolve_groups(services: Services, user_id: str, wanted: Sequence[Resolution]) -> list[Resolved]:
    """In their order, each by itself: one that cannot be resolved leaves the others alone. Blocks."""
    return [_resolve_alone(services, user_id, one) for one in wanted]


def suggested_keeper(members: Sequence[Member]) -> str:
    """The largest file; of equal ones, that of which most is known; then the oldest."""

    def worth(member: Member) -> tuple[int, int]:
        exif = member[1]
        return (exif.file_size_bytes or 0, _count_known(exif)) if exif is not None else (0, 0)

    return max(members, key=worth)[0].id


def _count_known(exif: AssetExif) -> int:
    columns = (column.name for column in AssetExif.__table__.columns if column.name not in NOT_SAID_BY_THE_FILE)
    return sum(getattr(exif, name) not in (None, "") for name in columns)


def _seen(session: Session, user_id: str) -> list[SeenGroup]:
    groups = duplicates.members_of(session, user_id)
    shown = [asset for members in groups.values() for asset, _ in members]
    details = details_of(session, shown, people=False, stack=False)
    return [
        SeenGroup(
            group_id,
            [SeenAsset(asset, exif, details[asset.id], own=True) for asset, exif in members],
            [suggested_keeper(members)],
        )
        for group_id, members in groups.items()
    ]


def _resolve_alone(services: Services, user_id: str, wanted: Resolution) -> Resolved:
    try:
        with services.database.session(durable=True) as session:
            return _resolve(services, session, user_id, wanted)
    except Exception:
        log.exception("resolving duplicates %s failed", wanted.group_id)
        return Resolved(wanted.group_id, Refusal.UNKNOWN, "It could not be resolved; the server's log says why")


def _resolve(services: Services, session: Session, user_id: str, wanted: Resolution) -> Resolved:
    ids = [asset.id for asset, _ in duplicates.members_of(session, user_id, [wanted.group_id]).get(wanted.group_id, [])]
    if not ids:
        return Resolved(wanted.group_id, Refusal.NOT_FOUND, f"There is no group {wanted.group_id}")
    if complaint := _complaint(ids, wanted):
        return Resolved(wanted.group_id, Refusal.VALIDATION, complaint)
    now = services.clock.now()
    members = {asset.id: (asset, exif) for asset, exif in assets.owned_assets(session, user_id, ids)}
    if len(wanted.keep) == 1:
        keeper = members.pop(wanted.keep[0])
        _merge_into(services, session, keeper, [members[one] for one in ids if one in members])
    duplicates.put_in_group(session, ids, None, now)
    _let_go(services, session, user_id, wanted.trash)
    return Resolved(wanted.group_id)


def _complaint(ids: Sequence[str], wanted: Resolution) -> str | None:
    named = [*wanted.keep, *wanted.trash]
    if unknown := set(named).difference(ids):
        return f"Not in this group: {', '.join(sorted(unknown))}"
    if missing := set(ids).difference(named):
        return f"Neither kept nor trashed: {', '.join(sorted(missing))}"
    if len(named) > len(ids):
        return "Each asset must be kept or trashed once"
    return None


def _let_go(services: Services, session: Session, user_id: str, ids: Sequence[str]) -> None:
    """To the trash, or past it where there is none."""
    if not ids:
        return
    trash = system.read_config(session, services.settings).trash.enabled
    assets.set_status(session, ids, assets.TRASHED if trash else assets.DELETED, services.clock.now())
    if trash:
        services.store.emit(session, [NewEvent("asset_trash", user_id, {"asset_ids": list(ids)})])
    else:
        services.store.enqueue(session, [empty_trash_job()])


def _merge_into(services: Services, session: Session, keeper: Member, others: Sequence[Member]) -> None:
    """What was known of the others alone is known of the keeper now."""
    (asset, exif), now = keeper, services.clock.now()
    _, locked = apply_changes(session, asset, exif, merged(keeper, others), now)
    if locked:
        services.store.enqueue(session, [sidecar_write(asset.id)])
    other_ids = [other.id for other, _ in others]
    join_albums(services, session, Account(asset.owner_id), asset.id, other_ids)
    tagged = tags_on(session, [asset.id, *other_ids])
    known = {tag.id for tag in tagged.get(asset.id, ())}
    new = {(tag.id, asset.id) for one in other_ids for tag in tagged.get(one, ()) if tag.id not in known}
    if new:
        tags.link(session, new)
        note_tags(services, session, [asset.id], now)


def merged(keeper: Member, others: Sequence[Member]) -> AssetChanges:
    """What changes of the keeper: a favourite if any is, in the archive if any is, the best rating, every line of a
    description once, and where it was taken if only one place is known."""
    (asset, exif), everyone = keeper, [keeper, *others]
    known = [of for _, of in everyone if of is not None]
    favorite = any(one.is_favorite for one, _ in everyone)
    visibility = ARCHIVE if any(one.visibility == ARCHIVE for one, _ in everyone) else asset.visibility
    rating = max((of.rating for of in known if of.rating is not None), default=None)
    description = "\n".join(_unique_lines(of.description for of in known))
    places = {(of.latitude, of.longitude) for of in known if of.latitude is not None and of.longitude is not None}
    has_place = exif is not None and exif.latitude is not None and exif.longitude is not None
    place = places.pop() if len(places) == 1 and not has_place else None
    return AssetChanges(
        favorite=favorite if favorite != asset.is_favorite else UNCHANGED,
        visibility=visibility if visibility != asset.visibility else UNCHANGED,
        rating=rating if rating != (exif.rating if exif else None) else UNCHANGED,
        description=description if description != (exif.description if exif else "") else UNCHANGED,
        latitude=place[0] if place else UNCHANGED,
        longitude=place[1] if place else UNCHANGED,
    )


def _unique_lines(descriptions: Iterable[str]) -> list[str]:
    lines = (line.strip() for description in descriptions for line in description.splitlines())
    return list(dict.fromkeys(line for line in lines if line))
