"""Moves an asset to where the storage template wants it: its original, its sidecar, a live photo's motion part.

Before: extract_metadata, which knows the date. After: generate_thumbnails, for uploads and copies; the old names are
taken away by migrate_library. Without the template all stays in `upload/`. Source: spec/jobs-media.md §6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.db.queries import moves as queries
from cluster.errors import TemplateInvalid
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, More, Skipped, Snooze
from cluster.storage.moves import sync_folders
from tasks.job import NO_FACTS, Context, Job
from tasks.pipeline import GONE, PASSED_BY
from tasks.template_moves import (
    IN_USE_S,
    AssetMove,
    Moved,
    Plan,
    Planner,
    clear_old_names,
    intend,
    move_asset,
    save_moved,
)
from tasks.tools import Tools

SPEC = JobSpec(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, batch=64, timeout_s=6 * 3600)  # a long video may be copied


@dataclass(frozen=True, slots=True)
class MoveInput:
    """`again`: an earlier attempt began something that is ended first; then the job runs once more with `payload`."""

    move: AssetMove
    payload: Mapping[str, Any]
    again: bool

    @property
    def original_file_name(self) -> str:
        return self.move.original_file_name


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    """The moves are written down here, in the leasing transaction."""
    if not context.config.storage_template.enabled:
        return [Skipped("the storage template is disabled")] * len(leases)
    rows = queries.movable(context.session, [lease.payload["id"] for lease in leases])
    numbers = {lease.payload["id"]: int(lease.payload.get("number", 0)) for lease in leases}
    try:
        planner = Planner(context, list(rows.values()), numbers)
    except TemplateInvalid as error:  # a config file is not checked as what an admin saves
        return [Skipped(str(error))] * len(leases)
    loaded = [_input(rows.get(lease.payload["id"]), lease, planner) for lease in leases]
    intend(context, [one.move for one in loaded if isinstance(one, MoveInput)])
    if any(isinstance(one, Snooze) for one in loaded):  # whoever was told to take the old names away may be gone
        context.store.enqueue(context.session, [clear_old_names()])
    return loaded


def _input(row: Any, lease: Lease, planner: Planner) -> MoveInput | Skipped | Failed | Snooze:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.deleted_at is not None or row.visibility == "hidden":
        return Skipped("hidden or in the trash: it stays for now", frozenset({PASSED_BY}))
    if row.exif_id is None:
        return Failed(f"{row.original_file_name}: nothing is known of the file, extract its metadata first")
    return _decided(planner.plan(row), lease)


def _decided(plan: Plan, lease: Lease) -> MoveInput | Skipped | Snooze:
    if plan.in_use:
        return Snooze(IN_USE_S, "it has just moved, and a job may still read it under its old name")
    if not plan.move.parts:
        return Skipped(plan.reason or "it lies where it should")
    return MoveInput(plan.move, lease.payload, plan.begun)


def work(given: MoveInput, tools: Tools) -> Done | More:
    touched: set[Path] = set()
    moved = move_asset(given.move, tools.token, touched)
    sync_folders(touched)
    if moved.occupied is not None:
        return More(moved, {**given.payload, "number": moved.occupied})
    return More(moved, given.payload) if given.again else Done(moved)


def save(context: Context, lease: Lease, output: Moved) -> frozenset[Fact]:
    save_moved(context, [output])
    if output.done:
        context.store.enqueue(context.session, [clear_old_names()])
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
