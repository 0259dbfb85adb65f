"""Reads the text that is printed in a picture, or in a video's preview frame, so that it can be searched for.

Before: thumbnails (uploads, and whoever is to be told), a person. After: nothing. It costs the most of all that is done
to a photo and is missed the least, so it goes last: in a queue and processes of its own. Source: spec/jobs-ml.md §8.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, and_, exists, not_, select

from cluster.db.queries.assets import HIDDEN, ids_where
from cluster.db.queries.printed_text import forget_text, replace_text
from cluster.db.tables.asset import Asset, AssetFile, AssetJobStatus
from cluster.db.tables.learned import AssetOcr
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, ModelPool, More, Skipped
from cluster.system_config import SystemConfig
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.missing import Missing
from tasks.ml.model_names import clean_name
from tasks.ml.ocr import BUNDLED, PrintedLine, TextReader, ocr_files
from tasks.ml.picture import read_picture
from tasks.ml.weights import ModelKind, Weights, stamp
from tasks.pipeline import GONE
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools

SPEC = JobSpec(JobName.OCR, batch=2, pool=ModelPool("ocr", cpus=2, gpus=0.2, memory_mb=900))


@dataclass(frozen=True, slots=True)
class TextInput:
    """`preview_path`: the picture to read, upright. The rest is what an admin has set."""

    preview_path: str
    original_file_name: str
    model_folder: Path
    model_name: str
    max_resolution: int
    min_detection_score: float
    min_recognition_score: float


def select_page(context: Context, lease: Lease) -> Done | More | Skipped:
    """Queue every asset that has a preview and is neither deleted nor hidden, or those that were never read. For all of
    them what was read before is forgotten at once, that of hidden and deleted ones too."""
    if not is_on(context.config):
        return Skipped("text recognition is off")
    chosen = _readable() if forced(lease) else _unread()
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    page = context.session.scalars(statement).all()
    if forced(lease):
        forget_text(context.session, cursor(lease), page[-1] if len(page) == PAGE else None)
    return queue_page(context, lease, MISSING, page)


def is_on(config: SystemConfig) -> bool:
    return config.machine_learning.enabled and config.machine_learning.ocr.enabled


def model_of(config: SystemConfig) -> str:
    """The model in force, by Immich's name."""
    return clean_name(config.machine_learning.ocr.model_name)


def _readable() -> list[ColumnElement[bool]]:
    return [Asset.deleted_at.is_(None), Asset.visibility != HIDDEN, exists().where(_preview())]


def _preview() -> ColumnElement[bool]:
    return and_(AssetFile.asset_id == Asset.id, AssetFile.type == "preview", AssetFile.is_edited.is_(False))


def _unread() -> list[ColumnElement[bool]]:
    read = exists().where(AssetJobStatus.asset_id == Asset.id, AssetJobStatus.ocr_at.is_not(None))
    return [*_readable(), not_(read)]


MISSING = Missing(
    SPEC.name,
    lambda context, ids: ids_where(context.session, ids, _unread()) if is_on(context.config) else set(),
)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    statement = (
        select(Asset.id, Asset.visibility, Asset.original_file_name, AssetFile.path)
        .outerjoin(AssetFile, _preview())
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def _input(row: Any, context: Context) -> TextInput | Skipped | Failed:
    if not is_on(context.config):
        return Skipped("text recognition is off")
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.visibility == HIDDEN:
        return Skipped("hidden")
    if row.path is None:
        return Failed(f"{row.original_file_name}: it has no preview, generate its thumbnails first")
    ocr = context.config.machine_learning.ocr
    return TextInput(
        preview_path=row.path,
        original_file_name=row.original_file_name,
        model_folder=context.settings.model_folder,
        model_name=model_of(context.config),
        max_resolution=ocr.max_resolution,
        min_detection_score=ocr.min_detection_score,
        min_recognition_score=ocr.min_recognition_score,
    )


def work(given: TextInput, tools: Tools) -> tuple[PrintedLine, ...]:
    """Raises UnreadableMedia in all its kinds, where a retry will not help, and ModelUnavailable."""
    lines = load_reader(given, tools).read(
        read_picture(given.preview_path),
        max_resolution=given.max_resolution,
        min_detection_score=given.min_detection_score,
        min_recognition_score=given.min_recognition_score,
    )
    return tuple(lines)


def load_reader(given: TextInput, tools: Tools) -> TextReader:
    """The model of this process. Raises ModelUnavailable."""
    folder, name = given.model_folder, given.model_name
    files = ocr_files(folder, name)  # also while a model is held: what lies there counts
    key = (name, stamp([files.detection, files.recognition]), tools.threads)
    return tools.models.get("ocr", key, lambda: TextReader(ocr_files(folder, name, verify=True), tools.threads))


def save(context: Context, lease: Lease, output: tuple[PrintedLine, ...]) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    asset = select(Asset.id).where(Asset.id == asset_id).with_for_update(key_share=True)
    if session.execute(asset).one_or_none() is None:
        return frozenset({GONE})
    rows = [_row(asset_id, number, line) for number, line in enumerate(output)]
    replace_text(session, asset_id, rows, context.now)
    return NO_FACTS


def _row(asset_id: str, number: int, line: PrintedLine) -> AssetOcr:
    x1, y1, x2, y2, x3, y3, x4, y4 = line.corners
    return AssetOcr(
        id=str(uuid.uuid4()),
        asset_id=asset_id,
        number=number,
        **{"x1": x1, "y1": y1, "x2": x2, "y2": y2, "x3": x3, "y3": y3, "x4": x4, "y4": y4},
        box_score=line.box_score,
        text_score=line.text_score,
        text=line.text,
        is_visible=True,
    )


def wanted_weights(config: SystemConfig) -> Weights | None:
    """None where the model needs none, or nothing is to be read."""
    name = model_of(config)
    return Weights(ModelKind.OCR, name) if is_on(config) and name not in BUNDLED else None


JOB = Job(SPEC, load, work, save, warm=load_reader, weights=wanted_weights)
QUEUE_ALL = RowJob(queue_all_spec(JobName.OCR_QUEUE_ALL), select_page)
