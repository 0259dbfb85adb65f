"""Changes what a person may say of an asset. What also stands in the file is locked, so that reading the file again
does not undo it, and goes to the sidecar by a job. Source: spec/pipeline.md §3, §5, spec/api.md §4.2.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

from sqlalchemy.orm import Session

from cluster.db.queries import assets
from cluster.db.tables.asset import Asset, AssetExif
from cluster.errors import BadRequest
from cluster.names import JobName
from cluster.queue.job import NewEvent, NewJob, Priority, asset_job
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import no_access
from serve_app.services.lock_away import lock_away
from serve_app.services.upload import check_motion_part, hide_motion_part
from tasks.media.dates import moment_at


class Unchanged(Enum):
    """Not None, which is a value here."""

    UNCHANGED = "unchanged"


UNCHANGED: Final = Unchanged.UNCHANGED


@dataclass(frozen=True, slots=True)
class AssetChanges:
    """What is to change. `taken_at` keeps the zone that the person wrote, if any; `shift`: later by so much."""

    favorite: bool | Unchanged = UNCHANGED
    visibility: str | Unchanged = UNCHANGED
    duplicate_id: str | Unchanged | None = UNCHANGED
    live_photo_video_id: str | Unchanged | None = UNCHANGED
    description: str | Unchanged = UNCHANGED
    rating: int | Unchanged | None = UNCHANGED
    latitude: float | Unchanged = UNCHANGED
    longitude: float | Unchanged = UNCHANGED
    lens_model: str | Unchanged | None = UNCHANGED
    taken_at: datetime | Unchanged = UNCHANGED
    time_zone: str | Unchanged = UNCHANGED
    shift: timedelta | Unchanged = UNCHANGED


ASSET_COLUMNS = {"favorite": "is_favorite", "visibility": "visibility", "duplicate_id": "duplicate_id"}
EXIF_COLUMNS = ("description", "rating", "latitude", "longitude", "lens_model")


def update_asset(
    services: Services, caller: Caller, asset_id: str, changes: AssetChanges
) -> tuple[Asset, AssetExif | None]:
    """The asset as it is now. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        found = assets.owned_assets(session, caller.user_id, [asset_id], with_locked=caller.elevated)
        if not found:
            raise no_access("asset.update")
        asset, exif = found[0]
        now = services.clock.now()
        if not isinstance(changes.live_photo_video_id, Unchanged):
            _relink(services, session, caller, asset, changes.live_photo_video_id, now)
        exif, locked = apply_changes(session, asset, exif, changes, now)
        if locked:
            services.store.enqueue(session, [sidecar_write(asset_id)])
        if changes.visibility == assets.LOCKED:
            lock_away(services, session, asset.owner_id, [asset_id])
    return asset, exif


def update_assets(services: Services, caller: Caller, ids: Sequence[str], changes: AssetChanges) -> None:
    """The same for many, all or none; each gets its sidecar looked at, whatever changed. Raises BadRequest. Blocks."""
    if not ids:
        return
    with services.database.session(durable=True) as session:
        found = assets.owned_assets(session, caller.user_id, ids, with_locked=caller.elevated)
        if len(found) < len(set(ids)):
            raise no_access("asset.update")
        now = services.clock.now()
        for asset, exif in found:
            apply_changes(session, asset, exif, changes, now)
        services.store.enqueue(session, [sidecar_write(asset_id) for asset_id in dict.fromkeys(ids)])
        if changes.visibility == assets.LOCKED:
            lock_away(services, session, caller.user_id, ids)


def apply_changes(
    session: Session, asset: Asset, exif: AssetExif | None, changes: AssetChanges, now: datetime
) -> tuple[AssetExif | None, bool]:
    """Returns the exif row and whether anything in it is newly locked."""
    for name, column in ASSET_COLUMNS.items():
        value = getattr(changes, name)
        if value is not UNCHANGED:
            setattr(asset, column, value)
    asset.updated_at = now
    columns = _exif_columns(exif, changes)
    if not columns:
        return exif, False
    if exif is None:
        exif = AssetExif(asset_id=asset.id, description="", locked_properties=[])
        session.add(exif)
    for column, value in columns.items():
        setattr(exif, column, value)
    if {"date_time_original", "time_zone"} & columns.keys() and exif.date_time_original is not None:
        taken = moment_at(exif.date_time_original, exif.time_zone)
        asset.file_created_at, asset.local_date_time = taken.taken_at, taken.local
    exif.locked_properties = sorted({*exif.locked_properties, *columns})
    exif.updated_at = now
    return exif, True


def _exif_columns(exif: AssetExif | None, changes: AssetChanges) -> dict[str, Any]:
    columns = {name: getattr(changes, name) for name in EXIF_COLUMNS if getattr(changes, name) is not UNCHANGED}
    taken_at = exif.date_time_original if exif is not None else None
    if not isinstance(changes.taken_at, Unchanged):
        columns["date_time_original"] = changes.taken_at.astimezone(UTC)
        columns["time_zone"] = zone_name(changes.taken_at)
    elif not isinstance(changes.shift, Unchanged) and taken_at is not None:
        columns["date_time_original"] = _shifted(taken_at, changes.shift)
    if not isinstance(changes.time_zone, Unchanged):
        columns["time_zone"] = changes.time_zone
    return columns


def _shifted(taken_at: datetime, shift: timedelta) -> datetime:
    try:
        return taken_at + shift
    except OverflowError as error:
        raise BadRequest(f"dateTimeRelative leads from {taken_at:%Y} out of the years 1 to 9999") from error


def _relink(
    services: Services, session: Session, caller: Caller, photo: Asset, video_id: str | None, now: datetime
) -> None:
    """Give the photo its moving part, or (None) take it away: the former one then stands alone again."""
    if video_id is not None:
        video = check_motion_part(session, video_id, photo.owner_id, with_locked=caller.elevated)
        if hide_motion_part(video, now):
            services.store.emit(session, [NewEvent("asset_hidden", photo.owner_id, {"asset_id": video_id})])
    former = session.get(Asset, photo.live_photo_video_id) if photo.live_photo_video_id is not None else None
    if former is not None and former.id != video_id and former.visibility == assets.HIDDEN:
        former.visibility, former.updated_at = photo.visibility, now
        job = JobName.ASSET_GENERATE_THUMBNAILS
        services.store.enqueue(session, [asset_job(job, former.id, notify=True, priority=Priority.PERSON_WAITS)])
    photo.live_photo_video_id = video_id


def sidecar_write(asset_id: str) -> NewJob:
    """What a person said of an asset goes to its sidecar."""
    return asset_job(JobName.SIDECAR_WRITE, asset_id, priority=Priority.PERSON_WAITS)


def zone_name(time: datetime) -> str:
    """The zone of a time that was written with an offset, as extraction writes it: `UTC+2`, `UTC+5:30`, `UTC`."""
    offset = time.utcoffset()
    minutes = 0 if offset is None else round(offset.total_seconds() / 60)
    if minutes == 0:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}" + (f":{rest:02d}" if rest else "")
