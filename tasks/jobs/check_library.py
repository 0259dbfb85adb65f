"""Looks after the files that an external library knows: gone ones go offline, found ones come back, changed ones anew.

Before: a scan. After: SidecarCheck, with the chain of an upload, for files that changed. LibraryScanAssetsQueueAll cuts
the library into ranges of paths; LibrarySyncAssets looks at the files of one range, on any node, several at a time. An
import path whose disk is away makes its ranges wait: nothing of it goes offline. Source: spec/pipeline.md §6.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cluster.db.queries import libraries
from cluster.db.tables.asset import Library
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, More, NewJob, Skipped, Snooze
from cluster.storage.globs import Exclusions, PatternTooLarge
from cluster.storage.import_paths import Insides, absence, below, past, roots
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.libraries import ABSENT_S, SAME_TIME_S, modified_s, sidecar_job
from tasks.queue_all import queue_all_spec
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.LIBRARY_SYNC_ASSETS, timeout_s=3600)

FILES_PER_RANGE = 2_000
"""Files that one LibrarySyncAssets looks at."""
RANGES_PER_PAGE = 50
OFFLINE_PER_PAGE = 1_000


def cut_page(context: Context, lease: Lease) -> Done | More | Skipped:
    """First, page by page, what no import path holds any more goes offline; then come ranges, root by root.

    A range is (root, after, before): paths below `root`, greater than `after`, less than `before`.
    """
    library = libraries.library(context.session, lease.payload["id"])
    if library is None:
        return Skipped("the library is gone")
    folders = roots(library.import_paths)
    after = lease.payload.get("after")
    if after is None:
        bounds = [(below(root), past(root)) for root in folders]
        outside = libraries.online_outside(context.session, library.id, bounds, OFFLINE_PER_PAGE)
        libraries.set_offline(context.session, outside, context.now)
        if len(outside) == OFFLINE_PER_PAGE:
            return More(None, {"id": library.id})
    jobs, cursor = _ranges(context, library.id, folders, str(after or ""))
    context.store.enqueue(context.session, jobs)
    return Done() if cursor is None else More(None, {"id": library.id, "after": cursor})


def _ranges(context: Context, library_id: str, folders: Sequence[str], after: str) -> tuple[list[NewJob], str | None]:
    """The jobs of one page, and where the next one begins, None when there is none."""
    jobs: list[NewJob] = []
    for root in folders:
        cursor, end = max(after, below(root)), past(root)
        while cursor < end:
            if len(jobs) == RANGES_PER_PAGE:
                return jobs, cursor
            last = libraries.nth_path_after(context.session, library_id, cursor, end, FILES_PER_RANGE)
            if last is None and libraries.nth_path_after(context.session, library_id, cursor, end, 1) is None:
                break
            # the last range is open, so that what is added meanwhile belongs somewhere
            before = end if last is None else f"{last}\x01"  # nothing lies between the two
            jobs.append(_range_job(library_id, root, cursor, before))
            cursor = end if last is None else last
    return jobs, None


def _range_job(library_id: str, root: str, after: str, before: str) -> NewJob:
    name = JobName.LIBRARY_SYNC_ASSETS
    key = hashlib.sha1(f"{root}\0{after}".encode(), usedforsecurity=False).hexdigest()
    payload = {"libraryId": library_id, "root": root, "after": after, "before": before}
    return NewJob(name, payload, dedup_key=f"{name}:{library_id}:{key}")


@dataclass(frozen=True, slots=True)
class CheckInput:
    """`files`: (path, modified at in seconds since 1970, offline) in order. `next_after`: where the range goes on after
    them; None when they are all."""

    library_id: str
    root: str
    before: str
    exclusion_patterns: tuple[str, ...]
    files: tuple[tuple[str, float, bool], ...]
    next_after: str | None


@dataclass(slots=True)
class CheckOutput:
    """Paths by what became of their files."""

    missing: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    wanted = {lease.payload["libraryId"] for lease in leases}
    known = {library.id: library for library in libraries.libraries(context.session, wanted)}
    return [_input(context, lease.payload, known) for lease in leases]


def _input(context: Context, payload: Mapping[str, str], known: Mapping[str, Library]) -> CheckInput | Skipped:
    library = known.get(payload["libraryId"])
    if library is None:
        return Skipped("the library is gone")
    root, limit = payload["root"], 2 * FILES_PER_RANGE
    if root not in roots(library.import_paths):
        return Skipped(f"{root} is no import path any more")
    files = libraries.files_between(context.session, library.id, payload["after"], payload["before"], limit)
    return CheckInput(
        library_id=library.id,
        root=root,
        before=payload["before"],
        exclusion_patterns=tuple(library.exclusion_patterns),
        files=tuple((file.path, file.modified_s, file.offline) for file in files),
        next_after=files[-1].path if len(files) == limit else None,
    )


def work(given: CheckInput, tools: Tools) -> CheckOutput | More | Snooze | Failed:
    expects_files = any(not offline for _, _, offline in given.files)
    if reason := absence(given.root, expects_files):
        return Snooze(ABSENT_S, reason)
    try:
        exclusions = Exclusions(given.exclusion_patterns)
    except PatternTooLarge as error:
        return Failed(str(error))
    output = _compared(given, exclusions)
    # a disk may go away while it is read, and with it all files that were looked for since
    if output.missing and (reason := absence(given.root, expects_files=True)):
        return Snooze(ABSENT_S, reason)
    if given.next_after is None:
        return output
    ends = {"root": given.root, "after": given.next_after, "before": given.before}
    return More(output, {"libraryId": given.library_id, **ends})


def _compared(given: CheckInput, exclusions: Exclusions) -> CheckOutput:
    output, insides = CheckOutput(), Insides(given.root)
    for (path, known_s, offline), excluded in zip(given.files, _excluded(given, exclusions), strict=True):
        try:
            status = None if excluded else insides.stat(path)
        except OSError as error:
            logger.warning("%s cannot be looked at, it stays as it is: %s", path, error.strerror)
            continue
        if status is None:
            if not offline:
                output.missing.append(path)
            continue
        if offline:
            output.back.append(path)
        if abs(modified_s(status) - known_s) >= SAME_TIME_S:
            output.changed.append(path)
    return output


def _excluded(given: CheckInput, exclusions: Exclusions) -> Iterator[bool]:
    """Per file; a folder is asked for once."""
    last_folder, folder_excluded = "", False
    for path, _, _ in given.files:
        folder, _, name = path.rpartition("/")
        if folder != last_folder:
            last_folder, folder_excluded = folder, exclusions.excludes(folder)
        yield folder_excluded or exclusions.excludes_name(name, path)


def save(context: Context, lease: Lease, output: CheckOutput) -> frozenset[Fact]:
    session, library_id = context.session, lease.payload["libraryId"]
    known = libraries.files_at(session, library_id, [*output.missing, *output.back, *output.changed])

    def ids(paths: Sequence[str]) -> list[str]:
        return [known[path].asset_id for path in paths if path in known]

    libraries.set_offline(session, ids(output.missing), context.now)
    libraries.set_online(session, ids(output.back), context.now)
    context.store.enqueue(session, [sidecar_job(asset_id) for asset_id in ids(output.changed)])
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = RowJob(queue_all_spec(JobName.LIBRARY_SCAN_ASSETS_QUEUE_ALL), cut_page)
