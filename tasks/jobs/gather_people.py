"""Looks at all faces of an owner together and gathers them into people: the same faces give the same people, whatever
the order in which they came.

Before: FacialRecognitionQueueAll, nightly and for "Reset". After: pictures of who is new, PersonCleanup. It reads
and groups outside any transaction and writes in short ones; begun anew, it ends the same. It shares its queue with
FacialRecognition: one job of either at a time. A job of ours: clients see FacialRecognitionQueueAll.
Source: spec/jobs-ml.md §7; how faces are grouped is in cluster/README.md.
"""

import logging
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from cluster.db.engine import Database
from cluster.db.queries import faces, people
from cluster.db.queries.embeddings import unpacked
from cluster.db.queries.faces import GatheredFace
from cluster.errors import Cancelled
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, NewJob, Place, Priority, Skipped, Snooze
from cluster.vectors.quick_shift import NOBODY, cluster_faces
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.detect_faces import OFF, face_model, faces_on
from tasks.people_groups import Plan, plan_people
from tasks.pipeline import picture_person
from tasks.tools import Tools

log = logging.getLogger(__name__)

SPEC = JobSpec(
    JobName.GATHER_PEOPLE,
    place=Place.ROW_JOBS,
    timeout_s=3600,
    wire_name=JobName.FACIAL_RECOGNITION_QUEUE_ALL,
)

FACES_AT_ONCE = 500
"""Per transaction."""
FOLLOWING_AT_ONCE = 64
"""Faces that are compared with all that stand in a group: 50 MB for a hundred thousand of those."""


@dataclass(frozen=True, slots=True)
class GatherInput:
    """Whose faces, and by which rules. `began_at`: aware UTC."""

    owner_id: str
    model: str
    max_distance: float
    min_faces: int
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Gathered:
    """People who are new, and how many faces changed hands."""

    new_people: tuple[str, ...]
    moved: int


def gather_people(owner_id: str) -> NewJob:
    """The job; at most one waits per owner."""
    name = SPEC.name
    return NewJob(name, {"id": owner_id}, Priority.BACKLOG, dedup_key=f"{name}:{owner_id}")


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    if not faces_on(context.config):
        return [OFF] * len(leases)
    wanted, model = context.config.machine_learning.facial_recognition, face_model(context.config)
    return [
        GatherInput(lease.payload["id"], model, wanted.max_distance, wanted.min_faces, context.now) for lease in leases
    ]


def work(given: GatherInput, tools: Tools) -> Gathered | Skipped | Snooze:
    assert tools.database_url is not None, "runs beside the database"
    database = Database(tools.database_url)
    try:
        return _gather(given, database, tools)
    finally:
        database.close()


def _gather(given: GatherInput, database: Database, tools: Tools) -> Gathered | Skipped | Snooze:
    with database.reader() as session:
        found = list(faces.gathered_faces(session, given.owner_id, given.model))
    if not found:
        return Skipped("no face to gather")
    everybody = [face for face, _ in found]
    points = np.stack([unpacked(embedding) for _, embedding in found])
    try:
        groups = _grouped(points, everybody, given, tools)
    except Cancelled:
        return Snooze(0.0, "cancelled")
    with database.reader() as session:  # what people said while that took its minutes counts
        now = {face.face_id: face for face, _ in faces.gathered_faces(session, given.owner_id, given.model)}
        known = faces.known_people(session, given.owner_id)
    everybody = [_as_it_is(face, now, known) for face in everybody]
    plan = plan_people(everybody, groups.tolist(), known, lambda: str(uuid.uuid4()))
    moved = sum(len(face_ids) for face_ids in plan.moves.values())
    log.info("%d faces, %d new people, %d faces change hands", len(found), len(plan.new_people), moved)
    _carry_out(plan, given, database)
    return Gathered(tuple(one for one in plan.new_people if one in plan.moves), moved)


def _as_it_is(face: GatheredFace, now: Mapping[str, GatheredFace], known: Collection[str]) -> GatheredFace:
    """What is said of a face now. One that is gone moves nowhere; whoever is gone has none."""
    current = now.get(face.face_id)
    if current is None:
        return replace(face, person_id=None, is_settled=True)
    return current if current.person_id in known else replace(current, person_id=None)


def _grouped(
    points: NDArray[np.float32], everybody: Sequence[GatheredFace], given: GatherInput, tools: Tools
) -> NDArray[np.int64]:
    """Per face the index of the one that stands for its group. Faces of pictures outside the timeline make no group,
    but join one that is near. Raises Cancelled."""

    def tell(share: float) -> None:
        if tools.cancelled.is_set():
            raise Cancelled("gathering was cancelled")
        tools.progress(share)

    leading = np.array([index for index, face in enumerate(everybody) if face.may_lead], np.int64)
    ids = [everybody[index].face_id for index in leading]
    found = cluster_faces(points[leading], ids, given.max_distance, given.min_faces, tell)
    groups = np.full(len(points), NOBODY, np.int64)
    grouped = found != NOBODY
    groups[leading[grouped]] = leading[found[grouped]]
    settled = leading[grouped]
    following = np.array([index for index, face in enumerate(everybody) if not face.may_lead], np.int64)
    standing = points[settled]
    for start in range(0, len(following) if len(settled) else 0, FOLLOWING_AT_ONCE):
        tell(1.0)  # nothing is left but these: still to be told when nobody waits for it any more
        some = following[start : start + FOLLOWING_AT_ONCE]
        far = np.round(1 - (points[some] @ standing.T).astype(np.float64), 6)
        nearest = far.argmin(axis=1)
        near = far[np.arange(len(some)), nearest] <= given.max_distance
        groups[some[near]] = groups[settled[nearest[near]]]
    return groups


def _carry_out(plan: Plan, given: GatherInput, database: Database) -> None:
    """In short transactions: whoever waits for the database does not wait for all of it. Who is new comes together with
    faces, since people without any are cleaned up."""
    with database.session() as session:
        people.propose_merges(session, given.owner_id, plan.proposals, given.began_at)
    for person_id, face_ids in plan.moves.items():
        for start in range(0, len(face_ids), FACES_AT_ONCE):
            with database.session() as session:
                if person_id is not None and start == 0 and person_id in plan.new_people:
                    faces.add_people(session, given.owner_id, {person_id: plan.new_people[person_id]}, given.began_at)
                if person_id is None or people.keep_person(session, person_id):
                    faces.give_to_person(session, face_ids[start : start + FACES_AT_ONCE], person_id, given.began_at)


def save(context: Context, lease: Lease, output: Gathered) -> frozenset[Fact]:
    cleanup = NewJob(JobName.PERSON_CLEANUP, dedup_key=str(JobName.PERSON_CLEANUP))
    context.store.enqueue(context.session, [*map(picture_person, output.new_people), cleanup])
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
