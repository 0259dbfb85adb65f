"""External libraries: made, changed, validated, scanned, deleted. Source: spec/api.md §7, spec/pipeline.md §6."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.db.queries import libraries, users
from cluster.db.queries.libraries import LibraryStatistics
from cluster.db.tables.asset import Library
from cluster.errors import BadRequest
from cluster.queue.job import Priority
from cluster.storage.globs import Exclusions, PatternTooLarge
from cluster.storage.import_paths import problem
from serve_app.deps import Services
from tasks.libraries import delete_job, scan_jobs


@dataclass(frozen=True, slots=True)
class LibraryWithCount:
    """A library and how many assets lie in it."""

    library: Library
    asset_count: int


@dataclass(frozen=True, slots=True)
class CheckedPath:
    """An import path. `problem`: why it cannot be used, None when it can."""

    import_path: str
    problem: str | None


def list_libraries(services: Services) -> list[LibraryWithCount]:
    """In the order in which they came."""
    with services.database.reader() as session:
        return _with_counts(session, libraries.libraries(session))


def get_library(services: Services, library_id: str) -> LibraryWithCount:
    """Raises BadRequest when there is none."""
    with services.database.reader() as session:
        return _with_counts(session, [_library(session, library_id)])[0]


def library_statistics(services: Services, library_id: str) -> LibraryStatistics:
    """Raises BadRequest when there is none."""
    with services.database.reader() as session:
        return libraries.statistics(session, _library(session, library_id).id)


def create_library(
    services: Services, owner_id: str, name: str, import_paths: Sequence[str], exclusion_patterns: Sequence[str]
) -> LibraryWithCount:
    """Import paths are not looked at before they are scanned. Raises BadRequest for an unknown owner."""
    _check_patterns(exclusion_patterns)
    now = services.clock.now()
    library = Library(
        id=str(uuid.uuid4()),
        owner_id=owner_id,
        name=name,
        import_paths=list(import_paths),
        exclusion_patterns=list(exclusion_patterns),
        created_at=now,
        updated_at=now,
    )
    with services.database.session(durable=True) as session:
        owner = users.by_id(session, owner_id)
        if owner is None or owner.deleted_at is not None:
            raise BadRequest("User not found")
        session.add(library)
    return LibraryWithCount(library, 0)


def update_library(
    services: Services,
    library_id: str,
    *,
    name: str | None = None,
    import_paths: Sequence[str] | None = None,
    exclusion_patterns: Sequence[str] | None = None,
) -> LibraryWithCount:
    """Change what is given; what that means for the files is for the next scan. Raises BadRequest."""
    _check_patterns(exclusion_patterns or ())
    for checked in _checked(services, import_paths or ()):
        if checked.problem is not None:
            raise BadRequest(f"Invalid import path: {checked.problem}")
    with services.database.session(durable=True) as session:
        library = _library(session, library_id)
        library.name = name if name is not None else library.name
        library.import_paths = list(import_paths) if import_paths is not None else library.import_paths
        if exclusion_patterns is not None:
            library.exclusion_patterns = list(exclusion_patterns)
        library.updated_at = services.clock.now()
        session.flush()
        return _with_counts(session, [library])[0]


def validate_import_paths(services: Services, library_id: str, import_paths: Sequence[str]) -> list[CheckedPath]:
    """In order. Raises BadRequest when there is no such library."""
    with services.database.reader() as session:
        _library(session, library_id)
    return _checked(services, import_paths)


def scan_library(services: Services, library_id: str) -> None:
    """Look for what is new, and after what is known. Raises BadRequest when there is no such library."""
    with services.database.session(durable=True) as session:
        library = _library(session, library_id)
        services.store.enqueue(session, scan_jobs(library.id, Priority.PERSON_WAITS))


def delete_library(services: Services, library_id: str) -> None:
    """It is gone at once for whoever asks; its assets follow, and its files stay. Raises BadRequest."""
    with services.database.session(durable=True) as session:
        library = _library(session, library_id)
        library.deleted_at = services.clock.now()
        services.store.enqueue(session, [delete_job(library.id)])


def _library(session: Session, library_id: str) -> Library:
    library = libraries.library(session, library_id)
    if library is None:
        raise BadRequest("Library not found")
    return library


def _with_counts(session: Session, found: Sequence[Library]) -> list[LibraryWithCount]:
    counts = libraries.asset_counts(session, [library.id for library in found])
    return [LibraryWithCount(library, counts[library.id]) for library in found]


def _checked(services: Services, import_paths: Sequence[str]) -> list[CheckedPath]:
    media_root = services.settings.media_root
    return [CheckedPath(path, problem(path, media_root)) for path in import_paths]


def _check_patterns(patterns: Sequence[str]) -> None:
    try:
        Exclusions(patterns)
    except PatternTooLarge as error:
        raise BadRequest(f"Invalid exclusion pattern: {error}") from error
