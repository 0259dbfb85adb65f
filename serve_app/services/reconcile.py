"""Asks for a look at everything that may be missing, and tells what came of it."""

from dataclasses import dataclass
from typing import Any

from cluster.db.queries import jobs, notes
from cluster.queue.states import JobState
from serve_app.deps import Services
from tasks.jobs.reconcile import LAST, SPEC, reconcile_asked


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was looked at, how many files were broken, and what was enqueued: job name → how many."""

    assets: int
    people: int
    broken_files: int
    enqueued: dict[str, int]


def ask_for_reconciliation(services: Services) -> None:
    """One more while one waits changes nothing. Blocks."""
    with services.database.session(durable=True) as session:
        services.store.enqueue(session, [reconcile_asked()])


def reconciliation_states(services: Services) -> set[JobState]:
    """Of the one that runs and the one that waits; empty when all has ended well."""
    with services.database.reader() as session:
        return {job.state for job in jobs.with_keys(session, [str(SPEC.name)])}


def last_reconciliation(services: Services) -> Reconciled | None:
    """The last that ended, None before the first."""
    with services.database.reader() as session:
        note: dict[str, Any] = notes.read(session, LAST) or {}
    if not note.get("ended_at"):
        return None
    return Reconciled(note["assets"], note["people"], note["broken_files"], note["enqueued"])
