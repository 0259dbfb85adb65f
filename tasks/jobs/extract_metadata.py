"""Reads what a file says of itself: when, where and with what it was taken, its size, its streams; and links it with
what it names: tags, people, the other half of a live photo, the video inside a motion photo.

Before: an upload, or a sidecar that changed. After: the storage template. Sources, weakest first: the original, ffprobe
(videos and GIF), the sidecar. Columns that a person has set and that no sidecar holds yet are left alone. What cannot
be read leaves its fields empty; an original that is not there, or a video that does not open, fails the job.
Source: spec/jobs-media.md §1.
"""

import logging
import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, not_, select, update
from sqlalchemy.orm import aliased

from cluster.db.queries.assets import ids_where
from cluster.db.queries.live_photos import add_motion_part, link_video, other_half, same_content, show_video
from cluster.db.queries.people import FaceBox, give_first_face, people_named, replace_named_faces
from cluster.db.queries.tags import replace_tags, upsert_tags
from cluster.db.queries.users import count_usage
from cluster.db.tables.asset import Asset, AssetAudio, AssetExif, AssetFile, AssetJobStatus, AssetVideo
from cluster.db.upsert import upsert
from cluster.errors import Permanent, ProgramFailed, ProgramTimeout, SourceMissing
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, NewEvent, Skipped, asset_job
from cluster.storage.files import sha1_of
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.jobs.delete_assets import delete_asset
from tasks.jobs.delete_files import delete_files
from tasks.media.exif import ExifFacts, FileStat, VideoSummary, extract_facts, merged_tags
from tasks.media.exiftool import Tags
from tasks.media.face_regions import NamedFace, named_faces
from tasks.media.formats import extension
from tasks.media.motion_photo import extract_motion, motion_source
from tasks.media.places import Place, nearest_place
from tasks.media.probe import VideoFacts, probe_video
from tasks.missing import Missing
from tasks.pipeline import GONE, VIDEO, picture_person
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
class MotionSlot:
    """Where the video goes that a photo may carry. `asset_id`, `path`: of a new asset. `linked…`: of the video that the
    photo is linked with now, all None where there is none."""

    asset_id: str
    path: str
    linked_id: str | None = None
    linked_path: str | None = None
    linked_checksum: bytes | None = None


@dataclass(frozen=True, slots=True)
class MetadataInput:
    """`created_at`: when the upload said the file was made, used where the file itself does not tell.
    `motion`: None for videos, which carry no other."""

    original_path: str
    original_file_name: str
    sidecar_path: str | None
    is_video: bool
    created_at: datetime
    find_place: bool
    find_faces: bool = False
    motion: MotionSlot | None = None


@dataclass(frozen=True, slots=True)
class MotionPart:
    """The video that was taken out of a photo and now lies at `path`, with what it says of itself. `is_new`: it is none
    that the photo was linked with before."""

    asset_id: str
    path: str
    checksum: bytes
    is_new: bool
    metadata: "MetadataOutput"


@dataclass(frozen=True, slots=True)
class MetadataOutput:
    """What was found. `video` is None for still pictures, `place` where there is no position or nothing near it,
    `faces` when nobody asked, `motion` when there is none or it is linked and on disk already."""

    exif: ExifFacts
    video: VideoFacts | None
    place: Place | None
    faces: tuple[NamedFace, ...] | None = None
    motion: MotionPart | None = None


def select_page(context: Context, lease: Lease) -> Done | More:
    """Queue every asset that is not deleted, or those whose metadata was never extracted."""
    chosen = [Asset.deleted_at.is_(None)] if forced(lease) else _unread()
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    return queue_page(context, lease, MISSING, context.session.scalars(statement).all())


def _unread() -> list[ColumnElement[bool]]:
    read = exists().where(AssetJobStatus.asset_id == Asset.id, AssetJobStatus.metadata_extracted_at.is_not(None))
    return [Asset.deleted_at.is_(None), not_(read)]


MISSING = Missing(SPEC.name, lambda context, ids: ids_where(context.session, ids, _unread()))


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    linked = aliased(Asset)
    statement = (
        select(
            *(Asset.id, Asset.owner_id, Asset.original_path, Asset.original_file_name, Asset.type),
            *(Asset.file_created_at, AssetFile.path.label("sidecar_path"), linked.id.label("linked_id")),
            *(linked.original_path.label("linked_path"), linked.checksum.label("linked_checksum")),
        )
        .outerjoin(AssetFile, (AssetFile.asset_id == Asset.id) & (AssetFile.type == "sidecar"))
        .outerjoin(linked, linked.id == Asset.live_photo_video_id)
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> MetadataInput | Skipped:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    is_video = row.type == "VIDEO"
    return MetadataInput(
        original_path=row.original_path,
        original_file_name=row.original_file_name,
        sidecar_path=row.sidecar_path,
        is_video=is_video,
        created_at=row.file_created_at,
        find_place=context.config.reverse_geocoding.enabled,
        find_faces=context.config.metadata.faces.import_faces,
        motion=None if is_video else _motion_slot(row, context),
    )


def _motion_slot(row: Any, context: Context) -> MotionSlot:
    new_id = str(uuid.uuid4())
    path = str(context.layout.motion_video_path(row.owner_id, new_id))
    return MotionSlot(new_id, path, row.linked_id, row.linked_path, row.linked_checksum)


def work(given: MetadataInput, tools: Tools) -> MetadataOutput:
    """Raises SourceMissing, UnreadableVideo (a retry will not help), and what ffprobe may die of."""
    path = Path(given.original_path)
    file = _file_stat(path, given)
    original = _tags(tools, path, video=given.is_video)
    sidecar = _tags(tools, Path(given.sidecar_path)) if given.sidecar_path else None
    found = _read(path, given, file, original, sidecar)
    return replace(found, motion=_motion_part(given, original, found.exif, tools))


def _read(path: Path, given: MetadataInput, file: FileStat, original: Tags, sidecar: Tags | None) -> MetadataOutput:
    name = given.original_file_name
    moving = given.is_video or extension(name) == ".gif"
    video = probe_video(path, PROBE_TIMEOUT_S) if moving else None
    summary = _summary(video) if video else None
    facts = extract_facts(original, sidecar, summary, file, name=name)
    place = None
    if given.find_place and facts.latitude is not None and facts.longitude is not None:
        place = nearest_place(facts.latitude, facts.longitude)
    faces = None
    if given.find_faces:
        faces = named_faces(merged_tags(original, sidecar, summary, name=name), facts.orientation)
    return MetadataOutput(facts, video, place, faces)


def _motion_part(given: MetadataInput, tags: Tags, photo: ExifFacts, tools: Tools) -> MotionPart | None:
    """The video in a motion photo; whatever is wrong with it, the photo itself is fine."""
    source = motion_source(tags) if given.motion is not None else None
    if source is None or given.motion is None:
        return None
    fenced = tools.fenced(given.motion.path)
    try:
        if extract_motion(tools.exiftool, Path(given.original_path), source, fenced):
            return _taken_out(fenced, given, given.motion, photo, tools)
    except (Permanent, ProgramFailed, ProgramTimeout) as error:
        logger.warning("%s: no motion part: %s", given.original_file_name, error)
        fenced.unlink(missing_ok=True)
    except BaseException:
        fenced.unlink(missing_ok=True)
        raise
    return None


def _taken_out(
    fenced: Path, given: MetadataInput, slot: MotionSlot, photo: ExifFacts, tools: Tools
) -> MotionPart | None:
    """None, and no file, when the photo is linked with this video and that is on disk."""
    checksum = sha1_of(fenced)
    linked = slot.linked_path if checksum == slot.linked_checksum else None
    if linked is not None and Path(linked).exists():
        fenced.unlink()
        return None
    os.utime(fenced, times=(photo.file_modified_at.timestamp(),) * 2)
    name = f"{Path(given.original_file_name).stem}.mp4"
    asked = MetadataInput(str(fenced), name, None, True, photo.taken_at, given.find_place)
    metadata = _read(fenced, asked, _file_stat(fenced, asked), _tags(tools, fenced, video=True), None)
    if linked is None or slot.linked_id is None:
        return MotionPart(slot.asset_id, slot.path, checksum, True, metadata)
    fenced.replace(tools.fenced(linked))
    return MotionPart(slot.linked_id, linked, checksum, False, metadata)


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


_ASSET_COLUMNS = (
    *(Asset.id, Asset.type, Asset.owner_id, Asset.library_id, Asset.original_file_name, Asset.visibility),
    *(Asset.is_external, Asset.is_edited, Asset.width_px, Asset.live_photo_video_id),
)


def save(context: Context, lease: Lease, output: MetadataOutput) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    known = (
        select(*_ASSET_COLUMNS, AssetExif.locked_properties, AssetExif.tags)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .where(Asset.id == asset_id)
        .with_for_update(of=Asset, key_share=True)
    )
    asset = session.execute(known).one_or_none()
    if asset is None:
        if output.motion is not None:  # the photo was deleted while we worked
            context.store.enqueue(session, [delete_files([output.motion.path])])
        return frozenset({GONE})
    locked = asset.locked_properties or []
    changes = asset_columns(output.exif, locked, keeps_size=asset.is_edited and asset.width_px is not None)
    session.execute(update(Asset).where(Asset.id == asset_id).values(**changes, updated_at=context.now))
    _save_facts(context, asset_id, output, locked)
    tags = asset.tags if "tags" in locked else output.exif.tags
    replace_tags(session, asset_id, upsert_tags(session, asset.owner_id, tags or (), context.now).values())
    if output.faces is not None:
        _save_faces(context, asset, output.faces)
    if output.motion is not None:
        _save_motion_part(context, asset, output.motion)
    if output.exif.live_photo_cid is not None:
        _link_halves(context, asset, output.exif.live_photo_cid)
    return frozenset({VIDEO}) if asset.type == "VIDEO" else NO_FACTS


def _save_facts(context: Context, asset_id: str, output: MetadataOutput, locked: list[str]) -> None:
    """Everything that is not the asset's own row."""
    exif = {"asset_id": asset_id, **exif_columns(output, locked), "updated_at": context.now}
    row = {**exif, "locked_properties": locked}
    upsert(context.session, AssetExif, [row], key=["asset_id"], keep=["locked_properties"])
    _save_streams(context, asset_id, output.video)
    status = {"asset_id": asset_id, "metadata_extracted_at": context.now}
    upsert(context.session, AssetJobStatus, [status], key=["asset_id"])


def _save_faces(context: Context, asset: Any, faces: Sequence[NamedFace]) -> None:
    """The people that the picture names, known or new; the new ones get a picture of their own."""
    session = context.session
    people, made = people_named(session, asset.owner_id, [face.name for face in faces], context.now)
    boxes = [(people[face.name.lower()], _box(face)) for face in faces]
    give_first_face(session, replace_named_faces(session, asset.id, boxes, context.now), context.now)
    if made:
        context.store.enqueue(session, [picture_person(person_id) for person_id in made])


def _box(face: NamedFace) -> FaceBox:
    edges = (face.x1_px, face.y1_px, face.x2_px, face.y2_px)
    return FaceBox(face.image_width_px, face.image_height_px, *edges)


def _save_motion_part(context: Context, photo: Any, part: MotionPart) -> None:
    """Link the video that was taken out of `photo`: as a new asset, unless the owner has it already."""
    session, former = context.session, photo.live_photo_video_id
    twin = same_content(session, photo.owner_id, part.checksum) if part.is_new else part.asset_id
    if twin is None:
        _add_motion_part(context, photo, part)
    elif part.is_new:
        context.store.enqueue(session, [delete_files([part.path])])
    else:
        _save_facts(context, twin, part.metadata, [])
    video_id = twin or part.asset_id
    _link(context, photo, video_id)
    if twin is None or not part.is_new:
        context.store.enqueue(session, [asset_job(JobName.ASSET_ENCODE_VIDEO, video_id)])
    if former is not None and former != video_id:
        _let_go(context, photo, former)


def _add_motion_part(context: Context, photo: Any, part: MotionPart) -> None:
    facts = part.metadata.exif
    columns = {
        **asset_columns(facts, [], keeps_size=False),
        **{"id": part.asset_id, "owner_id": photo.owner_id, "library_id": photo.library_id},
        "original_path": part.path,
        "original_file_name": f"{Path(photo.original_file_name).stem}.mp4",
        **{"checksum": part.checksum, "created_at": context.now, "updated_at": context.now},
    }
    add_motion_part(context.session, columns)
    _save_facts(context, part.asset_id, part.metadata, [])
    if not photo.is_external:
        count_usage(context.session, photo.owner_id, facts.file_size_bytes)


def _let_go(context: Context, photo: Any, video_id: str) -> None:
    """The photo moves otherwise now. A video that we took out of it is deleted; one that a person sent stands alone."""
    session = context.session
    path = session.scalar(select(Asset.original_path).where(Asset.id == video_id))
    if path == str(context.layout.motion_video_path(photo.owner_id, video_id)):
        context.store.enqueue(session, [delete_asset(video_id, delete_on_disk=True)])
    elif path is not None:
        show_video(session, video_id, photo.visibility, context.now)


def _link_halves(context: Context, asset: Any, cid: str) -> None:
    """A live photo comes as two files; whichever is read last finds the other."""
    other = other_half(context.session, asset.owner_id, asset.id, asset.type, cid)
    if other is None:
        return
    if asset.type == "VIDEO":
        _link_ids(context, asset.owner_id, photo_id=other, video_id=asset.id)
    else:
        _link(context, asset, other)


def _link(context: Context, photo: Any, video_id: str) -> None:
    _link_ids(context, photo.owner_id, photo_id=photo.id, video_id=video_id)


def _link_ids(context: Context, owner_id: str, *, photo_id: str, video_id: str) -> None:
    if link_video(context.session, photo_id, video_id, context.now):
        context.store.emit(context.session, [NewEvent("asset_hidden", owner_id, {"asset_id": video_id})])


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


def files(output: MetadataOutput) -> Sequence[str]:
    return [output.motion.path] if output.motion is not None else []


JOB = Job(SPEC, load, work, save, files)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL), select_page)
