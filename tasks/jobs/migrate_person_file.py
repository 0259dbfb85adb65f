"""Moves a person's picture to where the layout wants it by now.

Before: migrate_files, which queues it for everybody. After: FileDelete takes the old name away. Source:
spec/jobs-media.md §7.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, update

from cluster.db.tables.person import Person
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped
from cluster.storage.moves import FileMove
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.migrate_files import FilesMoved, let_go, move_files, try_again
from tasks.tools import Tools

SPEC = JobSpec(JobName.PERSON_FILE_MIGRATION, batch=64)


@dataclass(frozen=True, slots=True)
class FaceInput:
    """`original_file_name`: the person's name, for messages."""

    move: FileMove
    original_file_name: str


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    ids = [lease.payload["id"] for lease in leases]
    columns = select(Person.id, Person.owner_id, Person.name, Person.thumbnail_path).where(Person.id.in_(ids))
    people = {row.id: row for row in context.session.execute(columns)}
    loaded: list[Loaded] = []
    for person_id in ids:
        row = people.get(person_id)
        if row is None or not row.thumbnail_path:
            loaded.append(Skipped("the person is gone" if row is None else "there is no picture"))
            continue
        target = str(context.layout.person_thumbnail_path(row.owner_id, row.id))
        move = FileMove(row.id, row.id, "face", row.thumbnail_path, target)
        loaded.append(FaceInput(move, row.name) if move.source != target else Skipped("it lies where it should"))
    return loaded


def work(given: FaceInput, tools: Tools) -> FilesMoved:
    return move_files([given.move], tools)


def save(context: Context, lease: Lease, output: FilesMoved) -> frozenset[Fact]:
    for move in output.done:
        changed = context.session.execute(
            update(Person)
            .where(Person.id == move.entity_id, Person.thumbnail_path == move.source)
            .values(thumbnail_path=move.target, updated_at=context.now)
        )
        let_go(context, move, moved=bool(changed.rowcount))  # type: ignore[attr-defined]
    try_again(context, lease, output)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
