"""External libraries in Immich's spelling. Source: spec/api.md §7."""

from typing import Annotated

from pydantic import AfterValidator, Field, StrictStr
from pydantic_core import PydanticCustomError

from cluster.db.queries.libraries import LibraryStatistics
from cluster.db.tables.asset import Library
from serve_app.wire.common import LARGEST, STORABLE, PlainText, WhenKnown, Wire, WireId, WireTime

MOST_ITEMS = 128

DEFAULT_EXCLUSIONS = (
    "**/@eaDir/**",
    "**/._*",
    "**/#recycle/**",
    "**/#snapshot/**",
    "**/.stversions/**",
    "**/.stfolder/**",
)

Count = Annotated[int, Field(ge=-LARGEST, le=LARGEST)]


def _distinct(texts: list[str]) -> list[str]:
    if len(set(texts)) < len(texts):
        raise PydanticCustomError("not_unique", "Array must have unique items")
    if not all(text.strip() for text in texts):
        raise PydanticCustomError("blank", "Array items must not be empty")
    return texts


Texts = Annotated[list[PlainText], Field(max_length=MOST_ITEMS), AfterValidator(_distinct)]
Name = Annotated[StrictStr, Field(min_length=1), STORABLE]


class NewLibrary(Wire):
    """A library to be made."""

    owner_id: WireId
    name: Name = "New External Library"
    import_paths: Texts = Field(default_factory=list)
    exclusion_patterns: Texts = Field(default_factory=lambda: list(DEFAULT_EXCLUSIONS))


class LibraryUpdate(Wire):
    """What is to be changed of a library."""

    name: Name | None = None
    import_paths: Texts | None = None
    exclusion_patterns: Texts | None = None


class ImportPathsToValidate(Wire):
    """Import paths to try, before they are saved."""

    import_paths: Texts = Field(default_factory=list)
    exclusion_patterns: Texts = Field(default_factory=list)


class LibrarySeen(Wire):
    """A library as clients see it."""

    id: str
    owner_id: str
    name: str
    import_paths: list[str]
    exclusion_patterns: list[str]
    asset_count: Count
    created_at: WireTime
    updated_at: WireTime
    refreshed_at: WireTime | None


class ImportPathSeen(Wire):
    """Whether an import path can be used. `message`: why not."""

    import_path: str
    is_valid: bool
    message: WhenKnown[str] = None


class ValidationSeen(Wire):
    """One entry per import path."""

    import_paths: list[ImportPathSeen] = Field(default_factory=list)


class LibraryStatisticsSeen(Wire):
    """`usage`: bytes."""

    photos: Count
    videos: Count
    total: Count
    usage: Count


def library_seen(library: Library, asset_count: int) -> LibrarySeen:
    return LibrarySeen(
        id=library.id,
        owner_id=library.owner_id,
        name=library.name,
        import_paths=library.import_paths,
        exclusion_patterns=library.exclusion_patterns,
        asset_count=asset_count,
        created_at=library.created_at,
        updated_at=library.updated_at,
        refreshed_at=library.refreshed_at,
    )


def statistics_seen(statistics: LibraryStatistics) -> LibraryStatisticsSeen:
    return LibraryStatisticsSeen(
        photos=statistics.photos,
        videos=statistics.videos,
        total=statistics.photos + statistics.videos,
        usage=statistics.usage_bytes,
    )
