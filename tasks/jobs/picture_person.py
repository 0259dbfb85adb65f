"""Makes the picture of a person: a square around the face that stands for them, at most 250 pixels wide.

Before: a new person (from a picture's own names, or recognised), a run for "All" or "Missing", a person who chose
another face. After: clients are told. Without a face there is nothing to show, which fails the job.
Source: spec/jobs-media.md §4.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select, update

from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.db.tables.person import AssetFace, Person
from cluster.names import JobName
from cluster.queue.job import Fact, Failed, JobSpec, Lease, Loaded, NewEvent, Skipped
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.delete_files import delete_files
from tasks.jobs.generate_thumbnails import counts_as_srgb
from tasks.media.image import decoded
from tasks.media.renditions import Limits, Rendition, write_renditions
from tasks.pipeline import GONE
from tasks.tools import Tools

SPEC = JobSpec(JobName.PERSON_GENERATE_THUMBNAIL, batch=8, media_memory=True)

SIDE_PX = 250
MARGIN = 1.1
"""How much farther than the face the square reaches."""


@dataclass(frozen=True, slots=True)
class FaceInput:
    """`source`: the original, or a video's preview. `box`: left, top, right, bottom in pixels of the upright picture of
    `width_px` x `height_px`. `path`: the final one."""

    source: str
    original_file_name: str
    box: tuple[int, int, int, int]
    width_px: int
    height_px: int
    path: str
    quality: int
    colorspace: str
    is_srgb: bool
    extract_embedded: bool
    process_invalid: bool


@dataclass(frozen=True, slots=True)
class FaceOutput:
    """Where the picture is."""

    path: str


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    preview = (AssetFile.asset_id == Asset.id) & (AssetFile.type == "preview") & AssetFile.is_edited.is_(False)
    statement = (
        select(
            *(Person.id, Person.owner_id, AssetFace, Asset.type, Asset.original_path, Asset.original_file_name),
            *(AssetExif.colorspace, AssetExif.profile_description, AssetExif.bits_per_sample),
            AssetFile.path.label("preview_path"),
        )
        .outerjoin(AssetFace, AssetFace.id == Person.face_asset_id)
        .outerjoin(Asset, Asset.id == AssetFace.asset_id)
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .outerjoin(AssetFile, preview)
        .where(Person.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> FaceInput | Skipped | Failed:
    if row is None:
        return Skipped("the person is gone", frozenset({GONE}))
    face = row.AssetFace
    if face is None:
        return Failed("no face stands for this person")
    is_video, image = row.type == "VIDEO", context.config.image
    if is_video and row.preview_path is None:
        return Failed(f"{row.original_file_name}: the video has no preview yet")
    return FaceInput(
        source=row.preview_path if is_video else row.original_path,
        original_file_name="preview.jpeg" if is_video else row.original_file_name,
        box=(face.box_x1_px, face.box_y1_px, face.box_x2_px, face.box_y2_px),
        width_px=face.image_width_px,
        height_px=face.image_height_px,
        path=str(context.layout.person_thumbnail_path(row.owner_id, row.id)),
        quality=image.thumbnail.quality,
        colorspace=image.colorspace,
        is_srgb=is_video or counts_as_srgb(row.colorspace, row.profile_description, row.bits_per_sample),
        extract_embedded=image.extract_embedded,
        process_invalid=context.settings.process_invalid_images,
    )


def work(given: FaceInput, tools: Tools) -> FaceOutput | Failed:
    """Raises UnreadableMedia in all its kinds, and NoSpace."""
    if given.width_px < 1 or given.height_px < 1:
        return Failed(f"{given.original_file_name}: the face does not say where it is")
    picture = decoded(
        Path(given.source),
        name=given.original_file_name,
        short_edge_px=_short_edge_px(given),
        space="srgb" if given.is_srgb else given.colorspace,
        extract_embedded=given.extract_embedded,
        process_invalid=given.process_invalid,
        limits=Limits(),
    )
    image = picture.crop(square(given.box, (given.width_px, given.height_px), picture.size))
    made = Rendition("person", tools.fenced(given.path), "jpeg", SIDE_PX, given.quality)
    write_renditions(image, [made], "srgb" if given.is_srgb else given.colorspace, image.size)
    return FaceOutput(given.path)


def _short_edge_px(given: FaceInput) -> int | None:
    """So much of the picture that the square has its size, without reading more pixels; None for all of them."""
    left, top, right, bottom = square(given.box, (given.width_px, given.height_px), (given.width_px, given.height_px))
    scale = SIDE_PX / max(1, min(right - left, bottom - top))
    return math.ceil(min(given.width_px, given.height_px) * scale) if scale < 1 else None


def square(
    box: tuple[int, int, int, int], of_size: tuple[int, int], size: tuple[int, int]
) -> tuple[int, int, int, int]:
    """The part of a picture of `size` to show, where the box is in pixels of `of_size`: around its middle, a little
    larger than its longer side, and never out of the picture."""
    x_scale, y_scale = size[0] / of_size[0], size[1] / of_size[1]
    left, right = (_within(edge * x_scale, size[0]) for edge in (box[0], box[2]))
    top, bottom = (_within(edge * y_scale, size[1]) for edge in (box[1], box[3]))
    x, y = round((left + right) / 2), round((top + bottom) / 2)
    half = math.floor(max((right - left) / 2, (bottom - top) / 2) * MARGIN)
    half = max(1, min(half, x, y, size[0] - x, size[1] - y))
    x, y = max(x, half), max(y, half)
    return x - half, y - half, min(x + half, size[0]), min(y + half, size[1])


def _within(edge: float, limit: int) -> float:
    return min(max(edge, 0.0), float(limit))


def save(context: Context, lease: Lease, output: FaceOutput) -> frozenset[Fact]:
    person_id, session = lease.payload["id"], context.session
    known = select(Person.owner_id, Person.thumbnail_path).where(Person.id == person_id)
    person = session.execute(known.with_for_update(key_share=True)).one_or_none()
    if person is None:
        context.store.enqueue(session, [delete_files([output.path])])
        return frozenset({GONE})
    changes = {"thumbnail_path": output.path, "updated_at": context.now}
    session.execute(update(Person).where(Person.id == person_id).values(**changes))
    if person.thumbnail_path not in ("", output.path):
        context.store.enqueue(session, [delete_files([person.thumbnail_path])])
    context.store.emit(session, [NewEvent("person_thumbnail", person.owner_id, {"person_id": person_id})])
    return NO_FACTS


def files(output: FaceOutput) -> Sequence[str]:
    return [output.path]


JOB = Job(SPEC, load, work, save, files)
