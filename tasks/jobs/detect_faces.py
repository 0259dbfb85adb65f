"""Finds the faces in an asset's preview, and makes of each what tells people apart.

Before: thumbnails, for uploads; a person. After: FacialRecognition for every face that is new, and once
FacialRecognitionQueueAll, for those that were left over. Faces that were known keep their rows, and with them whose
they are. "Reset" begins with deleting what was found before; "Refresh" ends with PersonCleanup.

Source: spec/jobs-ml.md §6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, exists, not_, select

from cluster.db.queries.assets import HIDDEN, ids_where
from cluster.db.queries.faces import SeenFace, forget_found_faces, replace_found_faces
from cluster.db.tables.asset import Asset, AssetFile, AssetJobStatus
from cluster.db.upsert import upsert
from cluster.errors import UnreadableMedia
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, ModelPool, More, NewJob, Priority, Skipped
from cluster.system_config import SystemConfig
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.missing import Missing
from tasks.ml.faces import FaceModel, FoundFace, load_faces
from tasks.ml.model_names import clean_name
from tasks.ml.picture import Pixels, read_picture
from tasks.ml.weights import ModelKind, Weights, find_weights, stamp
from tasks.pipeline import GONE, recognize_face, recognize_faces, uploaded_or_notify
from tasks.queue_all import PAGE, cursor, queue_all_spec, queue_page
from tasks.tools import Tools

SPEC = JobSpec(
    JobName.ASSET_DETECT_FACES,
    batch=4,
    pool=ModelPool("faces", cpus=1.0, gpus=0.25, memory_mb=1500),
)


@dataclass(frozen=True, slots=True)
class DetectInput:
    """`preview_path`: the picture to look at; `model_folder`: where all models lie."""

    preview_path: str
    original_file_name: str
    model_folder: Path
    model: str
    min_score: float


@dataclass(frozen=True, slots=True)
class Faces:
    """What was found by `model` in a picture of this size."""

    width_px: int
    height_px: int
    model: str
    faces: tuple[FoundFace, ...]


def faces_on(config: SystemConfig) -> bool:
    """Whether faces are looked for at all."""
    return config.machine_learning.enabled and config.machine_learning.facial_recognition.enabled


def face_weights(config: SystemConfig) -> Weights | None:
    return Weights(ModelKind.FACES, face_model(config)) if faces_on(config) else None


def face_model(config: SystemConfig) -> str:
    """The model in force, by Immich's name. Faces of two models do not compare, so each carries its model's."""
    return clean_name(config.machine_learning.facial_recognition.model_name)


OFF = Skipped("facial recognition is switched off")


def select_page(context: Context, lease: Lease) -> Done | More | Skipped:
    """Queue every asset that has a preview and is neither hidden nor deleted, or those that were never looked at."""
    if not faces_on(context.config):
        return OFF
    wanted = lease.payload.get("force")
    if wanted is True and not cursor(lease):
        if forget_found_faces(context.session, PAGE):
            return More(None, lease.payload)
        _clean_up(context)
    statement = select(Asset.id).where(*_shown(), Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    ids = context.session.scalars(statement).all()
    outcome = queue_page(context, lease, MISSING, ids, everything=wanted is not False)
    if wanted is None and isinstance(outcome, Done):
        _clean_up(context)
    return outcome


def _clean_up(context: Context) -> None:
    name = JobName.PERSON_CLEANUP
    context.store.enqueue(context.session, [NewJob(name, dedup_key=str(name))])


def _shown() -> list[ColumnElement[bool]]:
    preview = exists().where(
        AssetFile.asset_id == Asset.id, AssetFile.type == "preview", AssetFile.is_edited.is_(False)
    )
    return [Asset.deleted_at.is_(None), Asset.visibility != HIDDEN, preview]


def _lacking(context: Context, asset_ids: Sequence[str]) -> set[str]:
    """Nothing is lacking where nothing is wanted."""
    if not faces_on(context.config):
        return set()
    looked_at = exists().where(AssetJobStatus.asset_id == Asset.id, AssetJobStatus.faces_recognized_at.is_not(None))
    return ids_where(context.session, asset_ids, [*_shown(), not_(looked_at)])


MISSING = Missing(SPEC.name, _lacking)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    if not faces_on(context.config):
        return [OFF] * len(leases)
    preview = (AssetFile.asset_id == Asset.id) & (AssetFile.type == "preview") & AssetFile.is_edited.is_(False)
    statement = (
        select(Asset.id, Asset.visibility, Asset.original_file_name, AssetFile.path)
        .outerjoin(AssetFile, preview)
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(context, rows.get(lease.payload["id"])) for lease in leases]


def _input(context: Context, row: Any) -> DetectInput | Skipped | Failed:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.visibility == HIDDEN:
        return Skipped("hidden")
    if row.path is None:
        return Failed(f"{row.original_file_name}: it has no preview yet, make its thumbnails first")
    folder, model = context.settings.model_folder, face_model(context.config)
    min_score = context.config.machine_learning.facial_recognition.min_score
    return DetectInput(row.path, row.original_file_name, folder, model, min_score)


def work(given: DetectInput, tools: Tools) -> Faces:
    """Raises UnreadableMedia in all its kinds, and ModelUnavailable."""
    return _find([given], [read_picture(given.preview_path)], tools)[0]


def work_batch(inputs: Sequence[DetectInput], tools: Tools) -> list[Faces | UnreadableMedia]:
    """What recognizes takes the faces of all pictures together."""
    read = [_read(given) for given in inputs]
    good = [(given, one) for given, one in zip(inputs, read, strict=True) if not isinstance(one, UnreadableMedia)]
    found = iter(_find([given for given, _ in good], [picture for _, picture in good], tools))
    return [one if isinstance(one, UnreadableMedia) else next(found) for one in read]


def _read(given: DetectInput) -> Pixels | UnreadableMedia:
    try:
        return read_picture(given.preview_path)
    except UnreadableMedia as error:
        return error


def _find(inputs: Sequence[DetectInput], pictures: Sequence[Pixels], tools: Tools) -> list[Faces]:
    if not inputs:
        return []
    first = inputs[0]  # one call is loaded with one config
    found = _model(first, tools).find(pictures, first.min_score)
    return [
        Faces(picture.shape[1], picture.shape[0], first.model, tuple(faces))
        for picture, faces in zip(pictures, found, strict=True)
    ]


def _model(given: DetectInput, tools: Tools) -> FaceModel:
    weights = Weights(ModelKind.FACES, given.model)
    files = find_weights(given.model_folder, weights)  # also while the model is held: what lies there counts
    key = (given.model, stamp(files), tools.threads)
    return tools.models.get("faces", key, lambda: load_faces(given.model_folder, given.model, tools.threads))


def save(context: Context, lease: Lease, output: Faces) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    asset = select(Asset.id).where(Asset.id == asset_id).with_for_update(key_share=True)
    if session.scalar(asset) is None:
        return frozenset({GONE})
    seen = [SeenFace(face.box, face.embedding) for face in output.faces]
    size = (output.width_px, output.height_px)
    new = replace_found_faces(session, asset_id, seen, size, output.model, context.now)
    done = {"asset_id": asset_id, "faces_recognized_at": context.now}
    upsert(session, AssetJobStatus, [done], key=["asset_id"])
    if new:
        priority = Priority.PERSON_WAITS if uploaded_or_notify(lease.payload) else Priority.BACKLOG
        follow_ups = [recognize_faces(), *(recognize_face(face_id, asset_id, priority) for face_id in new)]
        context.store.enqueue(session, follow_ups)
    return NO_FACTS


JOB = Job(SPEC, load, work, save, work_batch=work_batch, weights=face_weights, warm=_model)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_DETECT_FACES_QUEUE_ALL), select_page)
