"""Turns an asset's preview into a point, near which texts and pictures of the same thing lie.

Before: thumbnails, a person. After, for uploads: duplicates. Points of two models do not compare, so each carries its
model's name; when an admin chooses another model, those of the one before are not found any more and are deleted page
by page. Nothing is embedded anew by that alone: "Missing" does it, and the reconciler at night.
Source: spec/jobs-ml.md §4.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, exists, not_, select

from cluster.db.queries import embeddings
from cluster.db.queries.assets import ids_where
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import Asset, AssetFile, AssetVideo
from cluster.db.tables.learned import SmartSearch
from cluster.errors import UnreadableMedia
from cluster.names import JobName
from cluster.queue.job import (
    Done,
    Fact,
    Failed,
    JobSpec,
    Lease,
    Loaded,
    ModelPool,
    More,
    NewJob,
    Skipped,
)
from cluster.system_config import SystemConfig
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.media.probe import VideoFacts
from tasks.media.sampled_frames import sample_frames
from tasks.missing import Missing
from tasks.ml.clip import ImageEncoder, load_image_encoder
from tasks.ml.clip_pixels import pixels_of
from tasks.ml.model_names import clean_name
from tasks.ml.weights import ModelKind, Weights, find_weights, stamp
from tasks.pipeline import GONE, OUTDATED
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools

log = logging.getLogger(__name__)

SPEC = JobSpec(
    JobName.SMART_SEARCH,
    batch=32,
    pool=ModelPool("clip", cpus=4, gpus=0.5, gpu_batch=64, memory_mb=1000),
)

OFF = "smart search is off"
FORGET, FORGOTTEN = "forget", "forgotten"
"""In the payload of the job that queues all: delete what other models made, and do no more; all were deleted."""


@dataclass(frozen=True, slots=True)
class PreviewInput:
    """`model`: by Immich's name, without what Immich ignores of it. `video`: what is known of the original's stream,
    where `frames` of it are wanted instead of the preview."""

    preview_path: str
    original_path: str
    original_file_name: str
    model: str
    model_folder: str
    video: VideoFacts | None
    frames: int


@dataclass(frozen=True, slots=True)
class Point:
    """`embedding`: float32 (dimensions,), unit length."""

    model: str
    embedding: NDArray[np.float32]


def is_on(config: SystemConfig) -> bool:
    """Whether the admin wants smart search."""
    return config.machine_learning.enabled and config.machine_learning.clip.enabled


def model_of(config: SystemConfig) -> str:
    """The model in force, by Immich's name."""
    return clean_name(config.machine_learning.clip.model_name)


def forget_others() -> NewJob:
    """The job that deletes what models made that are not in force any more."""
    name = JobName.SMART_SEARCH_QUEUE_ALL
    return NewJob(name, {FORGET: True}, dedup_key=f"{name}:{FORGET}")


def select_page(context: Context, lease: Lease) -> Done | More | Skipped:
    """Queue every asset with a preview that is neither deleted nor hidden, once all embeddings are deleted; or those
    of them that have none."""
    if lease.payload.get(FORGET):
        return Done() if _forget(context, keep=model_of(context.config)) else More(None, lease.payload)
    if not is_on(context.config):
        return Skipped(OFF)
    if forced(lease) and not lease.payload.get(FORGOTTEN):
        return More(None, {**lease.payload, FORGOTTEN: _forget(context, keep=None)})
    chosen = _seen() if forced(lease) else [*_seen(), _not_embedded(context)]
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    return queue_page(context, lease, MISSING, context.session.scalars(statement).all())


def _forget(context: Context, keep: str | None) -> bool:
    """Delete a page of embeddings, but for those of one model; whether that was the last."""
    return embeddings.delete_some(context.session, EmbeddingKind.SMART_SEARCH, PAGE, keep_model=keep) < PAGE


def _seen() -> list[ColumnElement[bool]]:
    preview = exists().where(AssetFile.asset_id == Asset.id, *_PREVIEW)
    return [Asset.deleted_at.is_(None), Asset.visibility != "hidden", preview]


def _not_embedded(context: Context) -> ColumnElement[bool]:
    return not_(exists().where(SmartSearch.asset_id == Asset.id, SmartSearch.model == model_of(context.config)))


def _lacking(context: Context, asset_ids: Sequence[str]) -> set[str]:
    if not is_on(context.config):
        return set()
    return ids_where(context.session, asset_ids, [*_seen(), _not_embedded(context)])


_PREVIEW = (AssetFile.type == "preview", AssetFile.is_edited.is_(False))

MISSING = Missing(SPEC.name, _lacking)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    if not is_on(context.config):
        return [Skipped(OFF)] * len(leases)
    statement = (
        select(
            *(Asset.id, Asset.type, Asset.visibility, Asset.original_path, Asset.original_file_name, AssetFile.path),
            AssetVideo.facts.label("video_facts"),
        )
        .outerjoin(AssetFile, (AssetFile.asset_id == Asset.id) & _PREVIEW[0] & _PREVIEW[1])
        .outerjoin(AssetVideo, AssetVideo.asset_id == Asset.id)
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> PreviewInput | Skipped | Failed:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.visibility == "hidden":
        return Skipped("hidden")
    if row.path is None:
        return Failed(f"{row.original_file_name}: there is no preview, generate its thumbnails first")
    frames = context.settings.video_search_frames
    sampled = frames > 1 and row.type == "VIDEO" and row.video_facts is not None
    return PreviewInput(
        preview_path=row.path,
        original_path=row.original_path,
        original_file_name=row.original_file_name,
        model=model_of(context.config),
        model_folder=str(context.settings.model_folder),
        video=VideoFacts.from_values({"audio": None, **row.video_facts}) if sampled else None,
        frames=frames,
    )


def work(given: PreviewInput, tools: Tools) -> Point:
    """Raises UnreadableImage, SourceMissing and TooLarge, where a retry will not help, and ModelUnavailable."""
    (answer,) = work_batch([given], tools)
    if isinstance(answer, Exception):
        raise answer
    return answer


def work_batch(inputs: Sequence[PreviewInput], tools: Tools) -> Sequence[Point | Exception]:
    """All in one go. Inputs of one call were loaded together, so they want the same model."""
    encoder = _encoder(inputs[0], tools)
    answers = encoder.embed_files([Path(given.preview_path) for given in inputs])
    return [
        one if isinstance(one, Exception) else Point(given.model, _with_frames(given, one, encoder))
        for given, one in zip(inputs, answers, strict=True)
    ]


def _encoder(given: PreviewInput, tools: Tools) -> ImageEncoder:
    model, folder = given.model, Path(given.model_folder)
    files = find_weights(folder, Weights(ModelKind.CLIP, model))  # also while the model is held: what lies there counts
    key = (model, stamp(files), tools.threads)
    return tools.models.get("clip", key, lambda: load_image_encoder(folder, model, tools.threads))


def _with_frames(given: PreviewInput, preview: NDArray[np.float32], encoder: ImageEncoder) -> NDArray[np.float32]:
    """The middle of a video's frames, where those are wanted; a video of which none is to be had is its preview."""
    if given.video is None:
        return preview
    try:
        frames = sample_frames(Path(given.original_path), given.video, given.frames)
    except UnreadableMedia as error:
        log.warning("%s is embedded by its preview alone: %s", given.original_file_name, error)
        return preview
    points = encoder.embed(np.stack([pixels_of(frame, encoder.view) for frame in frames]))
    middle = points.mean(axis=0)
    point: NDArray[np.float32] = middle / np.linalg.norm(middle)
    return point


def save(context: Context, lease: Lease, output: Point) -> frozenset[Fact]:
    (facts,) = save_batch(context, [(lease, output)])
    return facts


def save_batch(context: Context, outputs: Sequence[tuple[Lease, Point]]) -> Sequence[frozenset[Fact]]:
    """Two statements for the assets and their points, however many there are."""
    points = {lease.payload["id"]: point for lease, point in outputs}
    in_order = select(Asset.id).where(Asset.id.in_(points)).order_by(Asset.id)
    known = set(context.session.scalars(in_order.with_for_update(key_share=True)))
    model = model_of(context.config)
    current = {asset_id for asset_id, point in points.items() if point.model == model}
    wanted = {asset_id: points[asset_id].embedding for asset_id in known & current}
    embeddings.put(context.session, EmbeddingKind.SMART_SEARCH, model, wanted)

    def facts_of(asset_id: str) -> frozenset[Fact]:
        if asset_id not in known:
            return frozenset({GONE})
        return NO_FACTS if asset_id in current else frozenset({OUTDATED})

    return [facts_of(lease.payload["id"]) for lease, _ in outputs]


def weights(config: SystemConfig) -> Weights | None:
    return Weights(ModelKind.CLIP, model_of(config)) if is_on(config) else None


JOB = Job(SPEC, load, work, save, work_batch=work_batch, save_batch=save_batch, warm=_encoder, weights=weights)
QUEUE_ALL = RowJob(queue_all_spec(JobName.SMART_SEARCH_QUEUE_ALL), select_page)
