"""Makes what clients show instead of the original: thumbnail, preview, full size where wanted, and thumbhash.

Before: the storage template (uploads and copies), a person, the nightly run. After, for uploads: smart search, faces,
text, and videos are transcoded; then clients are told that the upload is ready. A picture that does not decode fails
the job, and no retry will help. Source: spec/jobs-media.md §2.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, not_, or_, select, update

from cluster.db.queries.assets import ids_where
from cluster.db.queries.people import first_faces, give_first_face
from cluster.db.tables.asset import Asset, AssetExif, AssetFile, AssetJobStatus, AssetVideo
from cluster.db.tables.person import Person
from cluster.db.upsert import upsert
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, More, Skipped
from cluster.storage.layout import ThumbnailKind
from cluster.system_config import SystemConfig
from tasks.job import Context, Job, RowJob
from tasks.jobs.delete_files import delete_files
from tasks.media.formats import WEB_IMAGES, extension, is_web_displayable
from tasks.media.image import render_image
from tasks.media.probe import VideoFacts
from tasks.media.renditions import Limits, Rendition, Thumbnails
from tasks.media.video import render_video
from tasks.missing import Missing
from tasks.pipeline import GONE, VIDEO, VISIBLE, picture_person
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools

SPEC = JobSpec(JobName.ASSET_GENERATE_THUMBNAILS, batch=8, media_memory=True)

KINDS: tuple[ThumbnailKind, ...] = ("thumbnail", "preview", "fullsize")
PERSON_CURSOR = "after_person"
"""In the payload once all assets are queued: the id of the last person of the page before."""
VISIBILITIES_SHOWN = frozenset({"timeline", "archive"})


@dataclass(frozen=True, slots=True)
class ThumbnailInput:
    """`renditions`: what to make, with the final paths. `video`: the stream to take a frame of, for videos and GIF.
    `is_srgb`: the original's colours count as sRGB; what is written is in `colorspace` otherwise."""

    original_path: str
    original_file_name: str
    renditions: tuple[Rendition, ...]
    video: VideoFacts | None
    colorspace: str
    is_srgb: bool
    extract_embedded: bool
    process_invalid: bool


def select_page(context: Context, lease: Lease) -> Done | More:
    """Queue every asset that is neither deleted nor hidden, then every person, or those of them that lack something."""
    if PERSON_CURSOR in lease.payload:
        return _people_page(context, lease)
    chosen = _shown() if forced(lease) else _incomplete(context.config)
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    outcome = queue_page(context, lease, MISSING, context.session.scalars(statement).all())
    return outcome if isinstance(outcome, More) else More(None, {**lease.payload, PERSON_CURSOR: ""})


def _people_page(context: Context, lease: Lease) -> Done | More:
    session, after = context.session, str(lease.payload[PERSON_CURSOR])
    wanted = select(Person.id, Person.face_asset_id).where(Person.id > after)
    if not forced(lease):
        wanted = wanted.where(Person.thumbnail_path == "")
    page = session.execute(wanted.order_by(Person.id).limit(PAGE)).all()
    chosen = first_faces(session, [row.id for row in page if row.face_asset_id is None])
    give_first_face(session, chosen, context.now)
    shown = [row.id for row in page if row.face_asset_id is not None or row.id in chosen]
    context.store.enqueue(session, [picture_person(person_id) for person_id in shown])
    return Done() if len(page) < PAGE else More(None, {**lease.payload, PERSON_CURSOR: page[-1].id})


def _shown() -> list[ColumnElement[bool]]:
    return [Asset.deleted_at.is_(None), Asset.visibility != "hidden"]


def _incomplete(config: SystemConfig) -> list[ColumnElement[bool]]:
    """What was never looked into is left to metadata extraction, which thumbnails follow."""
    return [*_shown(), exists().where(AssetJobStatus.asset_id == Asset.id), _lacks_something(config)]


MISSING = Missing(
    SPEC.name,
    lambda context, ids: ids_where(context.session, ids, _incomplete(context.config)),
    makes=frozenset(KINDS),
    acts_on=lambda context, ids: ids_where(context.session, ids, _shown()),
)


def _lacks_something(config: SystemConfig) -> ColumnElement[bool]:
    lacks = [Asset.thumbhash.is_(None), _lacks_file("thumbnail"), _lacks_file("preview")]
    if config.image.fullsize.enabled:
        shown_as_is = [func.lower(Asset.original_file_name).like(f"%{suffix}") for suffix in WEB_IMAGES]
        lacks.append(and_(Asset.type == "IMAGE", not_(or_(*shown_as_is)), _lacks_file("fullsize")))
    return or_(*lacks)


def _lacks_file(kind: ThumbnailKind) -> ColumnElement[bool]:
    of_kind = (AssetFile.asset_id == Asset.id, AssetFile.type == kind, AssetFile.is_edited.is_(False))
    return not_(exists().where(*of_kind))


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    statement = (
        select(
            *(Asset.id, Asset.owner_id, Asset.type, Asset.visibility, Asset.original_path, Asset.original_file_name),
            *(AssetExif.asset_id.label("exif_id"), AssetExif.colorspace, AssetExif.profile_description),
            *(AssetExif.bits_per_sample, AssetExif.projection_type, AssetVideo.facts.label("video_facts")),
        )
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .outerjoin(AssetVideo, AssetVideo.asset_id == Asset.id)
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> ThumbnailInput | Skipped | Failed:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.exif_id is None:
        return Failed(f"{row.original_file_name}: nothing is known of the file, extract its metadata first")
    if row.visibility == "hidden":
        return Skipped("hidden", _facts(row.type, row.visibility))
    if row.type not in ("IMAGE", "VIDEO"):
        return Skipped("neither a picture nor a video", _facts(row.type, row.visibility))
    moving = row.type == "VIDEO" or extension(row.original_file_name) == ".gif"
    if moving and row.video_facts is None:
        return Failed(f"{row.original_file_name}: no video stream is known, extract its metadata first")
    image = context.config.image
    return ThumbnailInput(
        original_path=row.original_path,
        original_file_name=row.original_file_name,
        renditions=_renditions(row, context, still=not moving),
        video=VideoFacts.from_values({"audio": None, **row.video_facts}) if moving else None,
        colorspace=image.colorspace,
        is_srgb=counts_as_srgb(row.colorspace, row.profile_description, row.bits_per_sample),
        extract_embedded=image.extract_embedded,
        process_invalid=context.settings.process_invalid_images,
    )


def _renditions(row: Any, context: Context, *, still: bool) -> tuple[Rendition, ...]:
    image = context.config.image
    wanted: list[tuple[ThumbnailKind, Any, int | None]] = [
        ("thumbnail", image.thumbnail, image.thumbnail.size),
        ("preview", image.preview, image.preview.size),
    ]
    panorama = row.projection_type == "EQUIRECTANGULAR"
    if still and (image.fullsize.enabled or panorama) and not is_web_displayable(row.original_file_name):
        wanted.append(("fullsize", image.fullsize, None))
    return tuple(
        Rendition(
            kind=kind,
            path=context.layout.thumbnail_path(row.owner_id, row.id, kind, chosen.format),
            format=chosen.format,
            size_px=size_px,
            quality=chosen.quality,
            progressive=chosen.progressive,
        )
        for kind, chosen, size_px in wanted
    )


def counts_as_srgb(colorspace: str | None, profile: str | None, bits_per_sample: int | None) -> bool:
    """What the tags say; a file that names no colours is taken for sRGB unless it has more than 8 bits."""
    if colorspace or profile:
        return "srgb" in f"{colorspace} {profile}".lower()
    return bits_per_sample in (None, 8)


def _facts(asset_type: str, visibility: str) -> frozenset[Fact]:
    known = {VIDEO: asset_type == "VIDEO", VISIBLE: visibility in VISIBILITIES_SHOWN}
    return frozenset(fact for fact, holds in known.items() if holds)


def work(given: ThumbnailInput, tools: Tools) -> Thumbnails:
    """Raises UnreadableMedia in all its kinds, where a retry will not help, and NoSpace."""
    source = Path(given.original_path)
    fenced = [replace(one, path=tools.fenced(one.path)) for one in given.renditions]
    with _removed_on_error([one.path for one in fenced]):
        made = _render(source, fenced, given)
    final = {one.kind: one.path for one in given.renditions}
    return replace(made, files=tuple(replace(file, path=final[file.kind]) for file in made.files))


def _render(source: Path, renditions: Sequence[Rendition], given: ThumbnailInput) -> Thumbnails:
    if given.video is not None:
        return render_video(source, renditions, given.video)
    return render_image(
        source,
        renditions,
        name=given.original_file_name,
        colorspace=given.colorspace,
        is_srgb=given.is_srgb,
        extract_embedded=given.extract_embedded,
        process_invalid=given.process_invalid,
        limits=Limits(),
    )


@contextmanager
def _removed_on_error(paths: Sequence[Path]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
        raise


def save(context: Context, lease: Lease, output: Thumbnails) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    known = (
        select(Asset.type, Asset.visibility, Asset.thumbhash)
        .where(Asset.id == asset_id)
        .with_for_update(key_share=True)
    )
    asset = session.execute(known).one_or_none()
    if asset is None:  # deleted while we worked: the files that were just put in place are nobody's
        context.store.enqueue(session, [delete_files(files(output))])
        return frozenset({GONE})
    _save_files(context, asset_id, output)
    if asset.thumbhash != output.thumbhash:
        changes = {"thumbhash": output.thumbhash, "updated_at": context.now}
        session.execute(update(Asset).where(Asset.id == asset_id).values(**changes))
    return _facts(asset.type, asset.visibility)


def _save_files(context: Context, asset_id: str, output: Thumbnails) -> None:
    """One row per file that was made; rows of kinds that are no longer made, and replaced files, go."""
    session = context.session
    ours = (AssetFile.asset_id == asset_id, AssetFile.type.in_(KINDS), AssetFile.is_edited.is_(False))
    before = session.execute(select(AssetFile.type, AssetFile.path).where(*ours)).all()
    upsert(
        session,
        AssetFile,
        [_file_row(context, asset_id, file) for file in output.files],
        key=["asset_id", "type", "is_edited"],
        keep=["id", "created_at"],
    )
    made = {file.kind for file in output.files}
    if unmade := [row.type for row in before if row.type not in made]:
        session.execute(delete(AssetFile).where(*ours, AssetFile.type.in_(unmade)))
    if replaced := [row.path for row in before if row.path not in files(output)]:
        context.store.enqueue(session, [delete_files(replaced)])


def _file_row(context: Context, asset_id: str, file: Any) -> Mapping[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "asset_id": asset_id,
        "type": file.kind,
        "path": str(file.path),
        "is_edited": False,
        "is_progressive": file.is_progressive,
        "is_transparent": file.is_transparent,
        "created_at": context.now,
        "updated_at": context.now,
    }


def files(output: Thumbnails) -> Sequence[str]:
    return [str(file.path) for file in output.files]


JOB = Job(SPEC, load, work, save, files)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL), select_page)
