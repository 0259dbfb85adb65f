"""Reads what a file says of itself: when, where and with what it was taken, its size, its streams.

Before: an upload, or a sidecar that changed. After: the storage template. Sources, weakest first: the original, ffprobe
(videos and GIF), the sidecar. Columns that a person has set and that no sidecar holds yet are left alone. What cannot
be read leaves its fields empty; an original that is not there, or a video that does not open, fails the job.
Source: spec/jobs-media.md §1.
"""

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, select, update

from cluster.db.tables.asset import Asset, AssetAudio, AssetExif, AssetFile, AssetJobStatus, AssetVideo
from cluster.db.upsert import upsert
from cluster.errors import ProgramTimeout, SourceMissing
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, Skipped
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.media.exif import ExifFacts, FileStat, VideoSummary, extract_facts
from tasks.media.exiftool import Tags
from tasks.media.formats import extension
from tasks.media.places import Place, nearest_place
from tasks.media.probe import VideoFacts, probe_video
from tasks.pipeline import GONE, VIDEO
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.ASSET_EXTRACT_METADATA, media_memory=True, batch=16)

PROBE_TIMEOUT_S = 120.0

ASSET_FACTS = frozenset(
    {"taken_at", "local_date_time", "file_modified_at", "width_px", "height_px", "duration_ms"},
)
"""What goes into the asset's own row; every other fact is a column of `asset_exif`."""


@dataclass(frozen=True, slots=True)
class MetadataInput:
    """`created_at`: when the upload said the file was made, used where the file itself does not tell."""

    original_path: str
    original_file_name: str
    sidecar_path: str | None
    is_video: bool
    created_at: datetime
    find_place: bool


@dataclass(frozen=True, slots=True)
class MetadataOutput:
    """What was found. `video` is None for still pictures, `place` where there is no position or nothing near it."""

    exif: ExifFacts
    video: VideoFacts | None
    place: Place | None


def select_page(context: Context, lease: Lease) -> Done | More:
    """Queue every asset that is not deleted, or those whose metadata was never extracted."""
    chosen: list[ColumnElement[bool]] = [Asset.deleted_at.is_(None), Asset.id > cursor(lease)]
    if not forced(lease):
        chosen.append(AssetJobStatus.metadata_extracted_at.is_(None))
    statement = select(Asset.id).outerjoin(AssetJobStatus, AssetJobStatus.asset_id == Asset.id)
    page = context.session.scalars(statement.where(*chosen).order_by(Asset.id).limit(PAGE)).all()
    return queue_page(context, lease, SPEC.name, page)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    statement = (
        select(
            Asset.id,
            Asset.original_path,
            Asset.original_file_name,
            Asset.type,
            Asset.file_created_at,
            AssetFile.path.label("sidecar_path"),
        )
        .outerjoin(AssetFile, (AssetFile.asset_id == Asset.id) & (AssetFile.type == "sidecar"))
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> MetadataInput | Skipped:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    return MetadataInput(
        original_path=row.original_path,
        original_file_name=row.original_file_name,
        sidecar_path=row.sidecar_path,
        is_video=row.type == "VIDEO",
        created_at=row.file_created_at,
        find_place=context.config.reverse_geocoding.enabled,
    )


def work(given: MetadataInput, tools: Tools) -> MetadataOutput:
    """Raises SourceMissing, UnreadableVideo (a retry will not help), and what ffprobe may die of."""
    path = Path(given.original_path)
    file = _file_stat(path, given)
    original = _tags(tools, path, video=given.is_video)
    sidecar = _tags(tools, Path(given.sidecar_path)) if given.sidecar_path else None
    moving = given.is_video or extension(given.original_file_name) == ".gif"
    video = probe_video(path, PROBE_TIMEOUT_S) if moving else None
    facts = extract_facts(original, sidecar, _summary(video) if video else None, file, name=given.original_file_name)
    place = None
    if given.find_place and facts.latitude is not None and facts.longitude is not None:
        place = nearest_place(facts.latitude, facts.longitude)
    return MetadataOutput(facts, video, place)


def _file_stat(path: Path, given: MetadataInput) -> FileStat:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise SourceMissing(path, os.strerror(error.errno or 0)) from error
    birth_s = getattr(found, "st_birthtime", None)  # Linux does not tell
    return FileStat(
        size_bytes=found.st_size,
        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
        birth_at=datetime.fromtimestamp(birth_s, UTC) if birth_s is not None else None,
        file_created_at=given.created_at,
    )


def _tags(tools: Tools, path: Path, *, video: bool = False) -> Tags:
    """The tags of a file, none where exiftool cannot tell in time: a photo without a date is better than none."""
    try:
        return tools.exiftool.read(path, video=video)
    except ProgramTimeout as error:
        logger.warning("no tags of %s: %s", path, error)
        return {}


def _summary(video: VideoFacts) -> VideoSummary:
    return VideoSummary(
        duration_s=video.duration_ms / 1000 if video.duration_ms is not None else None,
        width_px=video.width_px or None,
        height_px=video.height_px or None,
        orientation=video.orientation,
        fps=video.fps or None,
    )


def save(context: Context, lease: Lease, output: MetadataOutput) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    known = (
        select(Asset.type, Asset.is_edited, Asset.width_px).where(Asset.id == asset_id).with_for_update(key_share=True)
    )
    asset = session.execute(known).one_or_none()
    if asset is None:
        return frozenset({GONE})
    locked = session.scalar(select(AssetExif.locked_properties).where(AssetExif.asset_id == asset_id)) or []
    keeps_size = asset.is_edited and asset.width_px is not None
    changes = asset_columns(output.exif, locked, keeps_size=keeps_size)
    session.execute(update(Asset).where(Asset.id == asset_id).values(**changes, updated_at=context.now))
    exif = {"asset_id": asset_id, **exif_columns(output, locked), "updated_at": context.now}
    upsert(session, AssetExif, [{**exif, "locked_properties": locked}], key=["asset_id"], keep=["locked_properties"])
    _save_streams(context, asset_id, output.video)
    status = {"asset_id": asset_id, "metadata_extracted_at": context.now}
    upsert(session, AssetJobStatus, [status], key=["asset_id"])
    return frozenset({VIDEO}) if asset.type == "VIDEO" else NO_FACTS


def asset_columns(facts: ExifFacts, locked: Collection[str], *, keeps_size: bool) -> dict[str, Any]:
    """What changes in the asset's own row. An edited picture has the size of its edit; a date set by hand stays."""
    columns: dict[str, Any] = {"file_modified_at": facts.file_modified_at, "duration_ms": facts.duration_ms}
    if "date_time_original" not in locked:
        columns |= {"file_created_at": facts.taken_at, "local_date_time": facts.local_date_time}
    if not keeps_size:
        columns |= {"width_px": facts.width_px, "height_px": facts.height_px}
    return columns


def exif_columns(output: MetadataOutput, locked: Collection[str]) -> Mapping[str, Any]:
    """The columns of `asset_exif` to write. A position set by hand keeps its place: the file's would contradict it."""
    columns = {name: value for name, value in asdict(output.exif).items() if name not in ASSET_FACTS}
    columns["tags"] = list(output.exif.tags)
    if not {"latitude", "longitude"} & set(locked):
        columns |= {"city": None, "state": None, "country": None} | (asdict(output.place) if output.place else {})
    return {name: value for name, value in columns.items() if name not in locked}


def _save_streams(context: Context, asset_id: str, video: VideoFacts | None) -> None:
    """Facts of the video and audio stream, for thumbnails and transcoding."""
    if video is None:
        return
    facts = asdict(video)
    audio = facts.pop("audio")
    upsert(context.session, AssetVideo, [{"asset_id": asset_id, "facts": facts}], key=["asset_id"])
    if audio is None:
        context.session.execute(delete(AssetAudio).where(AssetAudio.asset_id == asset_id))
    else:
        upsert(context.session, AssetAudio, [{"asset_id": asset_id, "facts": audio}], key=["asset_id"])


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL), select_page)
