"""/libraries: folders outside the media root whose files are assets in place. Admins only. Source: spec/api.md §7."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import libraries
from serve_app.services.libraries import LibraryWithCount
from serve_app.wire.common import WireId
from serve_app.wire.library import (
    ImportPathSeen,
    ImportPathsToValidate,
    LibrarySeen,
    LibraryStatisticsSeen,
    LibraryUpdate,
    NewLibrary,
    ValidationSeen,
    library_seen,
    statistics_seen,
)

router = APIRouter(prefix="/libraries", tags=["libraries"])

Admin = Annotated[Caller, Depends(allow(admin=True))]
Reader = Annotated[Caller, Depends(allow("library.read", admin=True))]
Updater = Annotated[Caller, Depends(allow("library.update", admin=True))]


@router.get("")
def get_all_libraries(caller: Reader, services: ServicesOf) -> list[LibrarySeen]:
    """Everybody's."""
    return [_seen(found) for found in libraries.list_libraries(services)]


@router.post("", status_code=201)
def create_library(
    body: NewLibrary, caller: Annotated[Caller, Depends(allow("library.create", admin=True))], services: ServicesOf
) -> LibrarySeen:
    """Make a library for a user; nothing is scanned yet."""
    made = libraries.create_library(services, body.owner_id, body.name, body.import_paths, body.exclusion_patterns)
    return _seen(made)


@router.get("/{id}")
def get_library(id: WireId, caller: Reader, services: ServicesOf) -> LibrarySeen:
    """One library."""
    return _seen(libraries.get_library(services, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_library(id: WireId, body: LibraryUpdate, caller: Updater, services: ServicesOf) -> LibrarySeen:
    """Change what is given."""
    changed = libraries.update_library(
        services,
        id,
        name=body.name,
        import_paths=body.import_paths,
        exclusion_patterns=body.exclusion_patterns,
    )
    return _seen(changed)


@router.delete("/{id}", status_code=204)
def delete_library(
    id: WireId, caller: Annotated[Caller, Depends(allow("library.delete", admin=True))], services: ServicesOf
) -> None:
    """Delete a library with its assets; the files stay."""
    libraries.delete_library(services, id)


@router.post("/{id}/scan", status_code=204)
def scan_library(id: WireId, caller: Updater, services: ServicesOf) -> None:
    """Look for new, changed and missing files."""
    libraries.scan_library(services, id)


@router.post("/{id}/validate")
def validate(id: WireId, body: ImportPathsToValidate, caller: Admin, services: ServicesOf) -> ValidationSeen:
    """Whether these import paths can be used, and why not."""
    checked = libraries.validate_import_paths(services, id, body.import_paths)
    return ValidationSeen(
        import_paths=[
            ImportPathSeen(import_path=one.import_path, is_valid=one.problem is None, message=one.problem)
            for one in checked
        ]
    )


@router.get("/{id}/statistics")
def get_library_statistics(
    id: WireId, caller: Annotated[Caller, Depends(allow("library.statistics", admin=True))], services: ServicesOf
) -> LibraryStatisticsSeen:
    """How many photos and videos, and how much room they take."""
    return statistics_seen(libraries.library_statistics(services, id))


def _seen(found: LibraryWithCount) -> LibrarySeen:
    return library_seen(found.library, found.asset_count)
