"""Finds the files of an external library that it does not know yet, page by page.

Before: a scan. After: LibrarySyncFiles for what is new. `load` ships the known paths after the cursor, `work` walks the
import paths beside them and returns the difference, so neither holds more than a page. Import paths that cannot be used
are left out with a warning; with none left the job is skipped. Source: spec/pipeline.md §6.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.db.queries import libraries
from cluster.names import JobName
from cluster.queue.job import Fact, Failed, JobSpec, Lease, Loaded, More, Skipped
from cluster.storage.crawl import Walk, Wanted
from cluster.storage.globs import PatternTooLarge
from cluster.storage.import_paths import past, problem, roots
from tasks.job import NO_FACTS, Context, Job
from tasks.libraries import import_jobs, wanted_files
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.LIBRARY_SYNC_FILES_QUEUE_ALL, timeout_s=3600)

FILES_PER_PAGE = 10_000
"""Source: spec/queues.md §2."""
PAGE_S = 20.0
"""A page ends after this time, however few files it has: on a slow disk, what was found is kept."""


@dataclass(frozen=True, slots=True)
class CrawlInput:
    """`after`: the path where the page before ended. `known`: what the library knows after it, in order; up to its last
    entry, or (`knows_rest`) all."""

    library_id: str
    import_paths: tuple[str, ...]
    exclusion_patterns: tuple[str, ...]
    media_root: str
    after: str
    known: tuple[str, ...]
    knows_rest: bool


@dataclass(frozen=True, slots=True)
class CrawlOutput:
    """Paths that are new to the library. `complete`: the last page of the walk."""

    new: tuple[str, ...]
    complete: bool


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_input(context, lease) for lease in leases]


def _input(context: Context, lease: Lease) -> CrawlInput | Skipped:
    library = libraries.library(context.session, lease.payload["id"])
    if library is None:
        return Skipped("the library is gone")
    after = str(lease.payload.get("after", ""))
    known = libraries.paths_after(context.session, library.id, after, FILES_PER_PAGE)
    return CrawlInput(
        library_id=library.id,
        import_paths=tuple(library.import_paths),
        exclusion_patterns=tuple(library.exclusion_patterns),
        media_root=str(context.layout.media_root),
        after=after,
        known=tuple(known),
        knows_rest=len(known) < FILES_PER_PAGE,
    )


def work(given: CrawlInput, tools: Tools) -> CrawlOutput | More | Skipped | Failed:
    """One page, as far as the known paths reach. Raises nothing for what cannot be read: it is logged and left out."""
    usable = _usable(given)
    if not usable:
        return Skipped("no import path can be used")
    try:
        wanted = wanted_files(given.exclusion_patterns, given.media_root)
    except PatternTooLarge as error:
        return Failed(str(error))
    new, cursor = _page(given, _paths(usable, wanted, given.after), tools)
    if cursor is None:
        return CrawlOutput(new, complete=True)
    return More(CrawlOutput(new, complete=False), {"id": given.library_id, "after": cursor})


def _usable(given: CrawlInput) -> list[str]:
    media_root = Path(given.media_root)
    reasons = {path: problem(path, media_root) for path in given.import_paths}
    for path, reason in reasons.items():
        if reason is not None:
            logger.warning("import path %s is left out: %s", path, reason)
    return roots([path for path, reason in reasons.items() if reason is None])


def _paths(folders: Sequence[str], wanted: Wanted, after: str) -> Iterator[str]:
    for root in folders:
        if past(root) > after:
            yield from Walk(root, wanted, after)


def _page(given: CrawlInput, paths: Iterator[str], tools: Tools) -> tuple[tuple[str, ...], str | None]:
    """The new ones of a page's paths, and where the next page begins, None when there is none."""
    known, new = set(given.known), list[str]()
    end = "" if given.knows_rest else given.known[-1]
    until_s = time.monotonic() + PAGE_S
    for seen, path in enumerate(paths, start=1):
        if end and path > end:
            return tuple(new), end
        if path not in known:
            new.append(path)
        if seen >= FILES_PER_PAGE or (seen % 256 == 0 and (tools.cancelled.is_set() or time.monotonic() > until_s)):
            return tuple(new), path
    return tuple(new), None


def save(context: Context, lease: Lease, output: CrawlOutput) -> frozenset[Fact]:
    library = libraries.library(context.session, lease.payload["id"])
    if library is None:
        return NO_FACTS
    context.store.enqueue(context.session, import_jobs(library.id, output.new))
    if output.complete:
        library.refreshed_at = context.now
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
