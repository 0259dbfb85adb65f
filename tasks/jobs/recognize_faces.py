"""Says whose a new face is, one face after the other, by the faces that are near it.

Before: AssetDetectFaces; a person, or FacialRecognitionQueueAll, for faces that nobody has. After: the same once more
for a face that is not at the heart of a group, when those that wait now are done; the picture of a person who is new.
`Reset` and the nightly run look at all faces together instead (`gather_people`). Source: spec/jobs-ml.md §7.
"""

import uuid
from datetime import datetime

from sqlalchemy import func, select

from cluster.db.queries import embeddings, faces, notes
from cluster.db.queries.assets import TIMELINE
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.queries.faces import MACHINE_LEARNING, FaceFacts
from cluster.db.tables.asset import AssetJobStatus
from cluster.names import JobName, QueueName
from cluster.queue.job import Done, Failed, JobSpec, Lease, More, NewJob, Place, Skipped, Snooze
from cluster.vectors.index import Match
from tasks.job import Context, RowJob
from tasks.jobs.detect_faces import OFF, face_model, faces_on
from tasks.jobs.gather_people import gather_people
from tasks.pipeline import picture_person, recognize_face
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec

SPEC = JobSpec(JobName.FACIAL_RECOGNITION, place=Place.ROW_JOBS, batch=64, timeout_s=60)

LAST_RUN = "facial-recognition-state"
"""When all faces were last looked at together."""
STILL_FINDING_S = 5.0
FINDING = (QueueName.THUMBNAIL_GENERATION, QueueName.FACE_DETECTION)
"""While jobs of these run, more faces are about to come."""


def run(context: Context, lease: Lease) -> Done | Skipped | Failed:
    if not faces_on(context.config):
        return OFF
    face = faces.face_facts(context.session, lease.payload["id"])
    if face is None or not face.is_shown:
        return Skipped("the face is gone")
    if face.source_type != MACHINE_LEARNING:
        return Skipped("the picture itself, or a person, says whose it is")
    if face.person_id is not None:
        return Skipped("it is known whose it is")
    if face.model is None:
        return Failed("no model has looked at the face: find faces once more")
    if face.model != face_model(context.config):
        return Skipped("another model looked at the face: refresh the faces")
    return _recognize(context, lease, face)


def _recognize(context: Context, lease: Lease, face: FaceFacts) -> Done | Skipped:
    wanted = context.config.machine_learning.facial_recognition
    near = _near(context, face, wanted.min_faces)
    if wanted.min_faces > 1 and len(near) <= 1:
        return Skipped("no face is near it")
    is_core = len(near) >= wanted.min_faces and face.visibility == TIMELINE
    if not is_core and not lease.payload.get("deferred"):
        context.store.enqueue(context.session, [recognize_face(face.face_id, face.asset_id, deferred=True)])
        return Skipped("not in the middle of a group: once more when others are done")
    person_id = _person_near(context, face, near)
    if person_id is None and is_core:
        person_id = _new_person(context, face)
    if person_id is None:
        return Skipped("nobody is near it")
    faces.give_to_person(context.session, [face.face_id], person_id, context.now)
    return Done()


def _near(context: Context, face: FaceFacts, limit: int, *, known: bool = False) -> list[Match]:
    """The nearest `limit` faces, those of them that are near enough; the face itself is one."""
    wanted, session = context.config.machine_learning.facial_recognition, context.session
    point = embeddings.embedding_of(session, EmbeddingKind.FACE_SEARCH, face.face_id)
    assert point is not None, "its model is known"
    among = faces.comparable_faces(face.owner_id, face_model(context.config), face.taken_on, known=known)
    kind, owner_id = EmbeddingKind.FACE_SEARCH, face.owner_id
    return context.vectors.within(session, kind, point, wanted.max_distance, limit, among, owner_id)


def _person_near(context: Context, face: FaceFacts, near: list[Match]) -> str | None:
    people = faces.people_of_faces(context.session, [match.id for match in near])
    if not people:
        near = _near(context, face, 1, known=True)
        people = faces.people_of_faces(context.session, [match.id for match in near])
    return next((people[match.id] for match in near if match.id in people), None)


def _new_person(context: Context, face: FaceFacts) -> str:
    person_id = str(uuid.uuid4())
    faces.add_people(context.session, face.owner_id, {person_id: face.face_id}, context.now)
    context.store.enqueue(context.session, [picture_person(person_id)])
    return person_id


def queue_all(context: Context, lease: Lease) -> Done | More | Skipped | Snooze:
    """Unless all faces are looked at together: a job for every face that nobody has."""
    if not faces_on(context.config):
        return OFF
    nightly, together = bool(lease.payload.get("nightly")), forced(lease) or bool(lease.payload.get("nightly"))
    if not cursor(lease):
        counts = context.store.counts(context.session)
        if not together and counts[QueueName.FACIAL_RECOGNITION].waiting > 0:
            # those that were looked at before others came would stay nobody's
            return Snooze(STILL_FINDING_S, "faces wait already: once more when they are done")
        if any(counts[queue].active for queue in FINDING):
            return Snooze(STILL_FINDING_S, "faces are still being found")
        if nightly and not forced(lease) and _nothing_new(context):
            return Skipped("no picture was looked at since the last run")
    return _gather(context) if together else _queue_page(context, lease)


def _nothing_new(context: Context) -> bool:
    last = notes.read(context.session, LAST_RUN)
    newest = context.session.scalar(select(func.max(AssetJobStatus.faces_recognized_at)))
    return newest is None or (last is not None and datetime.fromisoformat(last["lastRun"]) > newest)


def _gather(context: Context) -> Done:
    notes.write(context.session, LAST_RUN, {"lastRun": context.now.isoformat()})
    owners = faces.owners_of_faces(context.session)
    context.store.enqueue(context.session, [gather_people(owner_id) for owner_id in owners])
    return Done()


def _queue_page(context: Context, lease: Lease) -> Done | More:
    page = faces.unknown_faces_after(context.session, cursor(lease), PAGE)
    jobs: list[NewJob] = [recognize_face(face_id, asset_id) for face_id, asset_id in page]
    context.store.enqueue(context.session, jobs)
    return Done() if len(page) < PAGE else More(None, {**lease.payload, "after": page[-1][0]})


JOB = RowJob(SPEC, run)
QUEUE_ALL = RowJob(queue_all_spec(JobName.FACIAL_RECOGNITION_QUEUE_ALL), queue_all)
