"""Searching in Immich's spelling. A filter that is left out asks for nothing; null asks for what has no value.

Source: spec/api.md §5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt
from pydantic_core import PydanticCustomError

from cluster.db.queries.asset_search import ANY_TAGS, AssetFilter, SortField, Sorting
from serve_app.services.check_upload import parse_checksum
from serve_app.services.get_asset import SeenAsset
from serve_app.services.search_assets import Page, Shown
from serve_app.services.smart_search import Likeness
from serve_app.wire.album import AlbumResponse
from serve_app.wire.asset import AssetResponse, Date, Visibility, parse_date, seen_asset
from serve_app.wire.common import LARGEST, PlainText, WhenKnown, Wire, WireId
from tasks.media.places import FoundPlace

NOT_GIVEN: Final[Any] = None
"""The default of fields that may not be null: only what a client names is read."""

Size = Annotated[StrictInt, Field(ge=1, le=1000)]
Stars = Annotated[StrictInt, Field(ge=1, le=5)]
Order = Literal["asc", "desc"]
OrderBy = Literal["fileCreatedAt", "originalFileName", "fileSizeInByte"]

SORT_FIELDS: dict[str, SortField] = {
    "fileCreatedAt": SortField.FILE_CREATED_AT,
    "originalFileName": SortField.ORIGINAL_FILE_NAME,
    "fileSizeInByte": SortField.FILE_SIZE,
}
EQUAL = {
    "id": "id",
    "type": "type",
    "visibility": "visibility",
    "library_id": "library_id",
    "is_favorite": "favorite",
    "is_offline": "offline",
    "make": "make",
    "model": "model",
    "lens_model": "lens_model",
    "city": "city",
    "state": "state",
    "country": "country",
    "rating": "rating",
}
CONTAINS = ("original_file_name", "original_path", "description")
TIMES = ("created", "updated", "taken", "trashed")
FILES = {"encoded_video_path": "encoded_video", "preview_path": "preview", "thumbnail_path": "thumbnail"}
"""Our field of a request → what it is called in AssetFilter."""


def _checksum(text: str) -> str:
    if parse_checksum(text) is None:
        raise PydanticCustomError("checksum", "Invalid checksum: expected a SHA-1 in base64 or hex")
    return text


Some = Annotated[list[WireId], Field(max_length=500)]
"""Each is a condition, and SQLite bears a thousand."""


class Filters(Wire):
    """What every search takes."""

    album_ids: Some = NOT_GIVEN
    person_ids: Some = NOT_GIVEN
    tag_ids: Some | None = NOT_GIVEN
    library_id: WireId | None = NOT_GIVEN
    city: PlainText | None = NOT_GIVEN
    state: PlainText | None = NOT_GIVEN
    country: PlainText | None = NOT_GIVEN
    make: PlainText | None = NOT_GIVEN
    model: PlainText | None = NOT_GIVEN
    lens_model: PlainText | None = NOT_GIVEN
    rating: Stars | None = NOT_GIVEN
    type: Literal["IMAGE", "VIDEO", "AUDIO", "OTHER"] = NOT_GIVEN
    visibility: Visibility = NOT_GIVEN
    ocr: PlainText = NOT_GIVEN
    created_after: Date = NOT_GIVEN
    created_before: Date = NOT_GIVEN
    updated_after: Date = NOT_GIVEN
    updated_before: Date = NOT_GIVEN
    taken_after: Date = NOT_GIVEN
    taken_before: Date = NOT_GIVEN
    trashed_after: Date = NOT_GIVEN
    trashed_before: Date = NOT_GIVEN
    is_encoded: StrictBool = NOT_GIVEN
    is_favorite: StrictBool = NOT_GIVEN
    is_motion: StrictBool = NOT_GIVEN
    is_not_in_album: StrictBool = NOT_GIVEN
    is_offline: StrictBool = NOT_GIVEN

    def filter(self, owner_id: str) -> AssetFilter:
        """Of this user's assets."""
        given = self.model_fields_set
        since, until = self._times("after"), self._times("before")
        return AssetFilter(
            owner_id=owner_id,
            equal=dict(self._equal()),
            contains={name: getattr(self, name) for name in CONTAINS if name in given},
            since=since,
            until=until,
            files={FILES[name]: getattr(self, name) for name in FILES if name in given},
            album_ids=self.album_ids or (),
            person_ids=self.person_ids or (),
            tag_ids=ANY_TAGS if "tag_ids" not in given or self.tag_ids == [] else self.tag_ids,
            outside_albums=bool(self.is_not_in_album) and not self.album_ids,
            motion=self.is_motion,
            encoded=self.is_encoded,
            has_text=self.ocr,
            with_deleted=bool(getattr(self, "with_deleted", False) or self.is_offline or "trashed" in {*since, *until}),
        )

    def _equal(self) -> Iterator[tuple[str, Any]]:
        for name in EQUAL.keys() & self.model_fields_set:
            yield EQUAL[name], getattr(self, name)
        checksum = getattr(self, "checksum", None)
        if checksum is not None:
            yield "checksum", parse_checksum(checksum)

    def _times(self, side: str) -> dict[str, datetime]:
        return {
            name: parse_date(getattr(self, f"{name}_{side}"))
            for name in TIMES
            if f"{name}_{side}" in self.model_fields_set
        }


class StatisticsSearch(Filters):
    """Only the number is asked for."""

    description: PlainText = NOT_GIVEN


class RandomSearch(Filters):
    """Any that fit."""

    size: Size = 250
    with_deleted: StrictBool = False
    with_exif: StrictBool = False
    with_people: StrictBool = False
    with_stacked: StrictBool = False

    def shown(self) -> Shown:
        return Shown(exif=self.with_exif, people=self.with_people, stack=self.with_stacked)


class LargeSearch(Filters):
    """The largest that fit. It comes as a query, where everything is text. Their sizes, which are part of the exif, are
    what it is asked for, so they always come along."""

    rating: Annotated[int, Field(ge=1, le=5)] | None = NOT_GIVEN
    is_encoded: bool = NOT_GIVEN
    is_favorite: bool = NOT_GIVEN
    is_motion: bool = NOT_GIVEN
    is_not_in_album: bool = NOT_GIVEN
    is_offline: bool = NOT_GIVEN
    min_file_size: Annotated[int, Field(ge=0, le=LARGEST)] = NOT_GIVEN
    size: Annotated[int, Field(ge=1, le=1000)] = 250
    with_deleted: bool = False
    with_exif: bool = False

    def filter(self, owner_id: str) -> AssetFilter:
        return replace(super().filter(owner_id), least_bytes=self.min_file_size)

    def shown(self) -> Shown:
        return Shown(exif=True)


class SmartSearch(Filters):
    """One page of what is most like a text, or like an asset. The text wins where both are given."""

    query: PlainText = NOT_GIVEN
    query_asset_id: WireId = NOT_GIVEN
    language: PlainText = NOT_GIVEN
    page: Annotated[StrictInt, Field(ge=1, le=LARGEST)] = 1
    size: Size = 100
    with_deleted: StrictBool = False
    with_exif: StrictBool = False

    def likeness(self) -> Likeness:
        return Likeness(self.query, self.query_asset_id, self.language)

    def shown(self) -> Shown:
        return Shown(exif=self.with_exif)


class SortCriterion(Wire):
    """The earlier, the stronger."""

    field: OrderBy
    order: Order


class MetadataSearch(RandomSearch):
    """One page in an order."""

    id: WireId = NOT_GIVEN
    checksum: Annotated[PlainText, AfterValidator(_checksum)] = NOT_GIVEN
    description: PlainText = NOT_GIVEN
    original_file_name: PlainText = NOT_GIVEN
    original_path: PlainText = NOT_GIVEN
    encoded_video_path: PlainText = NOT_GIVEN
    preview_path: PlainText = NOT_GIVEN
    thumbnail_path: PlainText = NOT_GIVEN
    page: Annotated[StrictInt, Field(ge=1, le=LARGEST)] = 1
    order: Order = "desc"
    order_by: OrderBy = "fileCreatedAt"
    sort: Annotated[list[SortCriterion], Field(min_length=1, max_length=4)] = NOT_GIVEN

    def sorting(self) -> list[Sorting]:
        """`sort` outweighs the older `orderBy` and `order`."""
        criteria = self.sort or [SortCriterion(field=self.order_by, order=self.order)]
        return [Sorting(SORT_FIELDS[one.field], one.order == "desc") for one in criteria]


class FacetCount(Wire):
    """How many share a value."""

    count: int
    value: str


class Facet(Wire):
    """How results are spread over a field; nothing counts that yet."""

    field_name: str
    counts: list[FacetCount]


class FoundAlbums(Wire):
    """Albums are not searched: always empty."""

    total: int = 0
    count: int = 0
    items: list[AlbumResponse] = Field(default_factory=list)
    facets: list[Facet] = Field(default_factory=list)


class FoundAssets(Wire):
    """`total` and `count` are both of this page; `next_page` None: it is the last."""

    total: int
    count: int
    items: list[AssetResponse]
    facets: list[Facet] = Field(default_factory=list)
    next_page: str | None


class SearchResponse(Wire):
    """What was found."""

    albums: FoundAlbums = FoundAlbums()
    assets: FoundAssets


class SearchStatistics(Wire):
    """How many were found."""

    total: int


class ExploreItem(Wire):
    """A value, and an asset that has it."""

    value: str
    data: AssetResponse


class ExploreResponse(Wire):
    """Values of one field."""

    field_name: str
    items: list[ExploreItem]


class PlaceResponse(Wire):
    """A town. `admin1name`: its state."""

    name: str
    latitude: float
    longitude: float
    admin1name: WhenKnown[str] = Field(None, alias="admin1name")


class SuggestionKind(StrEnum):
    """What is being typed."""

    COUNTRY = "country"
    STATE = "state"
    CITY = "city"
    CAMERA_MAKE = "camera-make"
    CAMERA_MODEL = "camera-model"
    CAMERA_LENS_MODEL = "camera-lens-model"


SUGGESTED: dict[SuggestionKind, str] = {
    SuggestionKind.COUNTRY: "country",
    SuggestionKind.STATE: "state",
    SuggestionKind.CITY: "city",
    SuggestionKind.CAMERA_MAKE: "make",
    SuggestionKind.CAMERA_MODEL: "model",
    SuggestionKind.CAMERA_LENS_MODEL: "lens_model",
}
"""As `queries.places.WORDS` calls them."""


def search_response(page: Page) -> SearchResponse:
    items = [seen_asset(seen) for seen in page.assets]
    next_page = None if page.next_page is None else str(page.next_page)
    return SearchResponse(assets=FoundAssets(total=len(items), count=len(items), items=items, next_page=next_page))


def explore_response(cities: Sequence[tuple[str, SeenAsset]]) -> list[ExploreResponse]:
    items = [ExploreItem(value=city, data=seen_asset(seen)) for city, seen in cities]
    return [ExploreResponse(field_name="exifInfo.city", items=items)]


def place_response(place: FoundPlace) -> PlaceResponse:
    return PlaceResponse(
        name=place.name, latitude=place.latitude, longitude=place.longitude, admin1name=place.state or None
    )
