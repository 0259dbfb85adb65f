"""Adds files of an external library in place; one that is known already is looked after instead.

Before: crawl_library, the watcher. After: the chain of an upload, from SidecarCheck on. A path that no walk comes by is
not added, whoever names it; a file that cannot be read is logged and left out. Two scans that find a file together add
it once. Source: spec/pipeline.md §6.
"""

import hashlib
import logging
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cluster.db.queries import libraries
from cluster.db.tables.asset import Library
from cluster.names import JobName
from cluster.queue.job import Fact, Failed, JobSpec, Lease, Loaded
from cluster.storage.crawl import Walk, Wanted
from cluster.storage.globs import PatternTooLarge
from cluster.storage.import_paths import Insides, is_inside, normalised, roots
from tasks.job import NO_FACTS, Context, Job
from tasks.libraries import SAME_TIME_S, modified_s, sidecar_job, wanted_files
from tasks.media.formats import is_video
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.LIBRARY_SYNC_FILES, timeout_s=600)

CHECKSUM_ALGORITHM = "sha1-path"
GONE = "the library is gone"


@dataclass(frozen=True, slots=True)
class ImportInput:
    """Absolute paths, and what says whether they belong to the library."""

    paths: tuple[str, ...]
    import_paths: tuple[str, ...]
    exclusion_patterns: tuple[str, ...]
    media_root: str


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that is there. `modified_s`: seconds since 1970."""

    path: str
    modified_s: float


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    wanted = {lease.payload["libraryId"] for lease in leases}
    known = {library.id: library for library in libraries.libraries(context.session, wanted)}
    return [_input(context, lease, known) for lease in leases]


def _input(context: Context, lease: Lease, known: Mapping[str, Library]) -> ImportInput | Failed:
    library = known.get(lease.payload["libraryId"])
    if library is None:
        return Failed(GONE)
    return ImportInput(
        paths=tuple(lease.payload["paths"]),
        import_paths=tuple(library.import_paths),
        exclusion_patterns=tuple(library.exclusion_patterns),
        media_root=str(context.layout.media_root),
    )


def work(given: ImportInput, tools: Tools) -> tuple[FoundFile, ...] | Failed:
    try:
        wanted = wanted_files(given.exclusion_patterns, given.media_root)
    except PatternTooLarge as error:
        return Failed(str(error))
    found: list[FoundFile] = []
    paths = sorted({normalised(path) for path in given.paths})  # the order in which other transactions add them, too
    for root in roots(given.import_paths):
        found += _found([path for path in paths if is_inside(path, root)], root, wanted)
    return tuple(found)


def _found(paths: Sequence[str], root: str, wanted: Wanted) -> list[FoundFile]:
    insides, walk = Insides(root), Walk(root, wanted)
    found: list[FoundFile] = []
    for path in paths:
        try:
            status = insides.stat(path) if walk.finds(path) else None
        except OSError as error:
            logger.warning("%s is left out: %s", path, error.strerror)
            continue
        if status is not None:
            found.append(FoundFile(path, modified_s(status)))
    return found


def save(context: Context, lease: Lease, output: Sequence[FoundFile]) -> frozenset[Fact]:
    session, library_id = context.session, lease.payload["libraryId"]
    if not output or not libraries.lock(session, library_id):
        return NO_FACTS
    owner_id = session.get_one(Library, library_id).owner_id
    known = libraries.files_at(session, library_id, [file.path for file in output])
    rows = [asset_row(library_id, owner_id, file, context.now) for file in output if file.path not in known]
    changed = [
        known[file.path].asset_id
        for file in output
        if file.path in known and abs(known[file.path].modified_s - file.modified_s) >= SAME_TIME_S
    ]
    back = [known[file.path].asset_id for file in output if file.path in known and known[file.path].offline]
    added = libraries.add_files(session, rows) if rows else []
    libraries.set_online(session, back, context.now)
    context.store.enqueue(session, [sidecar_job(asset_id) for asset_id in [*added, *changed]])
    return NO_FACTS


def asset_row(library_id: str, owner_id: str, file: FoundFile, now: datetime) -> dict[str, Any]:
    """The columns of a new asset. Until its file has been read, its date is that of the file."""
    modified_at = datetime.fromtimestamp(file.modified_s, UTC)
    name = file.path.rpartition("/")[2]
    return {
        "id": str(uuid.uuid4()),
        "owner_id": owner_id,
        "library_id": library_id,
        "type": "VIDEO" if is_video(name) else "IMAGE",
        "original_path": file.path,
        "original_file_name": name,
        "checksum": hashlib.sha1(f"path:{file.path}".encode(), usedforsecurity=False).digest(),
        "checksum_algorithm": CHECKSUM_ALGORITHM,
        "file_created_at": modified_at,
        "file_modified_at": modified_at,
        "local_date_time": modified_at,
        "is_external": True,
        "created_at": now,
        "updated_at": now,
    }


JOB = Job(SPEC, load, work, save)
