"""Removes assets whose files somebody deleted from an external library while it was watched.

Before: the watcher. After: AssetDelete for each. A path that is there again by now is left alone, a disk that is away
makes the job wait, and a folder that went as a whole is left to LibraryScanAssetsQueueAll, which takes its files
offline: it may have been moved, or be a disk of its own. Source: spec/pipeline.md §6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import lexists

from cluster.db.queries import libraries
from cluster.db.tables.asset import Library
from cluster.names import JobName
from cluster.queue.job import Fact, Failed, JobSpec, Lease, Loaded, Snooze
from cluster.storage.import_paths import absence, is_inside, normalised, roots
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.delete_assets import delete_asset
from tasks.libraries import ABSENT_S, check_job
from tasks.tools import Tools

SPEC = JobSpec(JobName.LIBRARY_REMOVE_ASSET, timeout_s=60)


@dataclass(frozen=True, slots=True)
class RemoveInput:
    """Absolute paths that went away below import paths."""

    paths: tuple[str, ...]
    import_paths: tuple[str, ...]


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    wanted = {lease.payload["libraryId"] for lease in leases}
    known = {library.id: library for library in libraries.libraries(context.session, wanted)}
    return [_input(lease.payload, known) for lease in leases]


def _input(payload: Mapping[str, object], known: Mapping[str, Library]) -> RemoveInput | Failed:
    library = known.get(str(payload["libraryId"]))
    if library is None:
        return Failed("the library is gone")
    paths = payload["paths"]
    assert isinstance(paths, list)
    return RemoveInput(tuple(map(normalised, paths)), tuple(library.import_paths))


def work(given: RemoveInput, tools: Tools) -> tuple[str, ...] | Snooze:
    gone: list[str] = []
    for root in roots(given.import_paths):
        missing = [path for path in given.paths if is_inside(path, root) and not lexists(path)]
        if missing and (reason := absence(root, expects_files=True)):
            return Snooze(ABSENT_S, reason)
        gone += missing
    return tuple(gone)


def save(context: Context, lease: Lease, output: Sequence[str]) -> frozenset[Fact]:
    session, library_id = context.session, lease.payload["libraryId"]
    known = libraries.files_at(session, library_id, output)
    jobs = [delete_asset(file.asset_id, delete_on_disk=False) for file in known.values()]
    if any(libraries.holds_below(session, library_id, path) for path in output if path not in known):
        jobs.append(check_job(library_id))
    context.store.enqueue(session, jobs)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
