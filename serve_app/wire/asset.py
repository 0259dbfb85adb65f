"""Assets in Immich's spelling: what clients send, and what they are shown. Source: spec/api.md §4, spec/workers.md §8.

Ids are checked on the way in alone.
"""

import base64
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Json,
    StrictBool,
    StrictInt,
    StrictStr,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import PydanticCustomError, PydanticSerializationError, to_json

from cluster.db.queries.asset_details import AssetDetails
from cluster.db.queries.stacks import StackFacts
from cluster.db.tables.asset import Asset, AssetExif, AssetMetadata
from cluster.db.tables.learned import AssetOcr
from serve_app.services.asset_statistics import AssetCounts
from serve_app.services.check_upload import Checked
from serve_app.services.copy_asset import Copied
from serve_app.services.get_asset import SeenAsset
from serve_app.services.run_asset_jobs import AssetJob
from serve_app.services.update_asset import AssetChanges
from serve_app.services.upload import UploadDetails, Uploaded
from serve_app.wire.common import STORABLE, PlainText, WhenKnown, Wire, WireId, WireTime
from serve_app.wire.person import PersonResponse, person_response
from serve_app.wire.tag import TagResponse, tag_response
from tasks.media.formats import mime_type

Visibility = Literal["archive", "timeline", "hidden", "locked"]
AssetJobName = Literal["refresh-faces", "refresh-metadata", "regenerate-thumbnail", "transcode-video"]

ASSET_JOBS: Mapping[AssetJobName, AssetJob] = {
    "refresh-faces": AssetJob.REFRESH_FACES,
    "refresh-metadata": AssetJob.REFRESH_METADATA,
    "regenerate-thumbnail": AssetJob.REGENERATE_THUMBNAIL,
    "transcode-video": AssetJob.TRANSCODE_VIDEO,
}


_FORM_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _date(text: str) -> str:
    try:
        parse_date(text)
    except (ValueError, OverflowError):
        raise PydanticCustomError("datetime_parsing", "Invalid ISO datetime") from None
    return text


def _form_date(text: str) -> str:
    if not _FORM_DATE.fullmatch(text):
        raise PydanticCustomError("datetime_parsing", "Invalid ISO datetime")
    return _date(text)


def _zone(name: str) -> str:
    if name not in available_timezones():
        raise PydanticCustomError("time_zone", "Invalid time zone")
    return name


def _rating(rating: int) -> int:
    if rating == 0:
        raise PydanticCustomError("rating", "Invalid input: expected -1 or a number from 1 to 5")
    return rating


def _storable(value: dict[str, Any]) -> dict[str, Any]:
    try:
        to_json([[[[value]]]])  # as deep as an answer holds it
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (PydanticSerializationError, ValueError):
        raise PydanticCustomError("json", "Invalid input: no JSON that can be stored") from None
    return value


def _unless_empty(text: Any) -> Any:
    # A form cannot leave out a field that it shows; clients then send it empty.
    return None if text == "" else text


FormDate = Annotated[str, AfterValidator(_form_date), WithJsonSchema({"type": "string", "format": "date-time"})]
Date = Annotated[PlainText, AfterValidator(_date)]
Zone = Annotated[PlainText, AfterValidator(_zone)]
Rating = Annotated[StrictInt, Field(ge=-1, le=5), AfterValidator(_rating)]
Latitude = Annotated[float, Field(ge=-90, le=90, strict=True)]
Longitude = Annotated[float, Field(ge=-180, le=180, strict=True)]
DurationMs = Annotated[int, Field(ge=0, le=2**53 - 1)]


class MetadataItem(Wire):
    """One thing that a client wants remembered."""

    key: Annotated[StrictStr, Field(min_length=1, max_length=255), STORABLE]
    value: Annotated[dict[str, Any], AfterValidator(_storable)]


class UploadForm(Wire):
    """The texts of `POST /assets`."""

    file_created_at: FormDate
    file_modified_at: FormDate
    filename: str | None = None
    duration: Annotated[DurationMs | None, BeforeValidator(_unless_empty)] = None
    is_favorite: Literal["true", "false"] = "false"
    visibility: Visibility = "timeline"
    live_photo_video_id: Annotated[WireId | None, BeforeValidator(_unless_empty)] = None
    metadata: Annotated[Json[list[MetadataItem]] | None, BeforeValidator(_unless_empty)] = None

    def details(self) -> UploadDetails:
        return UploadDetails(
            file_created_at=parse_date(self.file_created_at),
            file_modified_at=parse_date(self.file_modified_at),
            file_name=self.filename,
            duration_ms=self.duration,
            favorite=self.is_favorite == "true",
            visibility=self.visibility,
            live_photo_video_id=self.live_photo_video_id,
            metadata={item.key: item.value for item in self.metadata or ()},
        )


class UploadResponse(Wire):
    """Where the file is now."""

    id: str
    status: Literal["created", "duplicate"]


class BulkUploadCheckItem(Wire):
    """`id` is the client's own name of the file."""

    id: PlainText
    checksum: PlainText


class BulkUploadCheck(Wire):
    """Files that a client has in mind."""

    assets: list[BulkUploadCheckItem]


class BulkUploadCheckResult(Wire):
    """What to do with one of them."""

    id: str
    action: Literal["accept", "reject"]
    reason: Literal["duplicate", "unsupported-format"] | None = None
    asset_id: str | None = None
    is_trashed: bool | None = None


class BulkUploadCheckResponse(Wire):
    """In the order in which they were asked for."""

    results: list[BulkUploadCheckResult]


class ChangeableFields(Wire):
    """What a person may say of an asset. What is not named stays; a default is never read."""

    is_favorite: StrictBool = False
    visibility: Visibility = "timeline"
    date_time_original: Date = ""
    latitude: Latitude = 0
    longitude: Longitude = 0
    rating: Rating | None = None
    description: PlainText = ""
    lens_model: Annotated[StrictStr, Field(min_length=1), STORABLE] | None = None

    @model_validator(mode="after")
    def _position_is_whole(self) -> Self:
        if len({"latitude", "longitude"} & self.model_fields_set) == 1:
            raise PydanticCustomError("position", "Latitude and longitude must be provided together")
        return self

    def changes(self) -> AssetChanges:
        """Only what the client named."""
        return AssetChanges(**{_CHANGES[name]: self._changed(name) for name in self.model_fields_set & _CHANGES.keys()})

    def _changed(self, name: str) -> Any:
        value = getattr(self, name)
        match name:
            case "date_time_original":
                return parse_date(value)
            case "date_time_relative":
                return timedelta(minutes=value)
            case _:
                return value


class UpdateAsset(ChangeableFields):
    """For one. No `livePhotoVideoId` (null): the photo stands still again."""

    live_photo_video_id: WireId | None = None


class UpdateAssets(ChangeableFields):
    """For many. `dateTimeRelative`: minutes."""

    ids: list[WireId]
    duplicate_id: PlainText | None = None
    date_time_relative: Annotated[StrictInt, Field(ge=-(10**9), le=10**9)] = 0
    time_zone: Zone = "UTC"

    @model_validator(mode="after")
    def _one_way_to_move_time(self) -> Self:
        if {"date_time_original", "date_time_relative"} <= self.model_fields_set:
            raise PydanticCustomError("dates", "dateTimeRelative cannot be used with dateTimeOriginal")
        return self


_CHANGES = {
    "is_favorite": "favorite",
    "visibility": "visibility",
    "date_time_original": "taken_at",
    "date_time_relative": "shift",
    "time_zone": "time_zone",
    "latitude": "latitude",
    "longitude": "longitude",
    "rating": "rating",
    "description": "description",
    "lens_model": "lens_model",
    "live_photo_video_id": "live_photo_video_id",
    "duplicate_id": "duplicate_id",
}
"""The wire's field → ours."""


class DeleteAssets(Wire):
    """`force`: past the trash."""

    ids: list[WireId]
    force: StrictBool = False


class Ids(Wire):
    """Any things of one kind."""

    ids: list[WireId]


class RunAssetJobs(Wire):
    """One job for each asset."""

    asset_ids: list[WireId]
    name: AssetJobName


class Count(Wire):
    """How many the action touched."""

    count: int


class AssetStatistics(Wire):
    """How many there are."""

    images: int
    videos: int
    total: int


class MetadataResponse(MetadataItem):
    """One thing that a client had remembered."""

    updated_at: WireTime


class PutMetadata(Wire):
    """For one asset."""

    items: list[MetadataItem]


class MetadataItemOfAsset(MetadataItem):
    """And of which asset."""

    asset_id: WireId


class PutMetadataOfMany(Wire):
    """For any."""

    items: list[MetadataItemOfAsset]


class MetadataKeyOfAsset(Wire):
    """What to forget."""

    asset_id: WireId
    key: Annotated[StrictStr, Field(min_length=1, max_length=255), STORABLE]


class DeleteMetadataOfMany(Wire):
    """For any."""

    items: list[MetadataKeyOfAsset]


class MetadataOfAsset(MetadataResponse):
    """And of which asset."""

    asset_id: str


class CopyAsset(Wire):
    """What of `source_id` goes to `target_id`, too."""

    source_id: WireId
    target_id: WireId
    albums: StrictBool = True
    favorite: StrictBool = True
    shared_links: StrictBool = True
    sidecar: StrictBool = True
    stack: StrictBool = True

    def what(self) -> frozenset[Copied]:
        return frozenset(one for one in Copied if getattr(self, one.value))


class OcrResponse(Wire):
    """A piece of text in a picture; the corners' coordinates are fractions of its sides."""

    id: str
    asset_id: str
    text: str
    box_score: float
    text_score: float
    x1: float
    y1: float
    x2: float
    y2: float
    x3: float
    y3: float
    x4: float
    y4: float


class EditsResponse(Wire):
    """What was done to the picture; nothing, as long as there is no editor."""

    asset_id: str
    edits: list[dict[str, Any]] = Field(default_factory=list)


class ExifResponse(Wire):
    """What the file says."""

    make: str | None = None
    model: str | None = None
    exif_image_width: int | None = None
    exif_image_height: int | None = None
    file_size_in_byte: int | None = None
    orientation: str | None = None
    date_time_original: WireTime | None = None
    modify_date: WireTime | None = None
    time_zone: str | None = None
    lens_model: str | None = None
    f_number: float | None = None
    focal_length: float | None = None
    iso: int | None = None
    exposure_time: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    description: str | None = None
    projection_type: str | None = None
    rating: int | None = None


class StackOfAsset(Wire):
    """The stack that an asset is in."""

    id: str
    primary_asset_id: str
    asset_count: int


class AssetResponse(Wire):
    """A photo or video as somebody sees it. `checksum` and `thumbhash` are base64, `duration` is milliseconds."""

    id: str
    owner_id: str
    type: Literal["IMAGE", "VIDEO", "AUDIO", "OTHER"]
    original_path: str
    original_file_name: str
    original_mime_type: str
    thumbhash: str | None
    checksum: str
    file_created_at: WireTime
    file_modified_at: WireTime
    local_date_time: WireTime
    created_at: WireTime
    updated_at: WireTime
    is_favorite: bool
    is_archived: bool
    is_trashed: bool
    is_offline: bool
    is_edited: bool
    visibility: Visibility
    duration: int | None
    width: int | None
    height: int | None
    live_photo_video_id: str | None = None
    duplicate_id: str | None = None
    library_id: str | None = None
    has_metadata: bool = True
    resized: bool = True
    exif_info: WhenKnown[ExifResponse] = None
    people: WhenKnown[list[PersonResponse]] = None
    tags: WhenKnown[list[TagResponse]] = None
    stack: StackOfAsset | None = None


class BareAsset(Wire):
    """What somebody without an account is shown by a link without metadata."""

    id: str
    type: Literal["IMAGE", "VIDEO", "AUDIO", "OTHER"]
    original_mime_type: str
    thumbhash: str | None
    local_date_time: WireTime
    duration: int | None
    live_photo_video_id: str | None
    has_metadata: bool = False
    width: int | None
    height: int | None


class ReadyAsset(Wire):
    """An asset's row, for clients that keep their own database."""

    id: str
    owner_id: str
    original_file_name: str
    thumbhash: str | None
    checksum: str
    file_created_at: WireTime
    file_modified_at: WireTime
    created_at: WireTime
    local_date_time: WireTime
    duration: int | None
    type: str
    deleted_at: WireTime | None
    is_favorite: bool
    visibility: str
    live_photo_video_id: str | None
    stack_id: str | None = None
    library_id: str | None
    width: int | None
    height: int | None
    is_edited: bool


class ReadyExif(ExifResponse):
    """An exif row, for the same."""

    asset_id: str
    profile_description: str | None
    fps: float | None


class UploadReady(Wire):
    """The payload of `AssetUploadReadyV2`."""

    asset: ReadyAsset
    exif: ReadyExif


NOT_ASKED: Final = AssetDetails()


def parse_date(text: str) -> datetime:
    """An ISO date with its zone, or else in UTC. Raises ValueError, OverflowError."""
    parsed = datetime.fromisoformat(text)
    aware = parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    aware.astimezone(UTC)
    return aware


def uploaded_response(uploaded: Uploaded) -> UploadResponse:
    return UploadResponse(id=uploaded.asset_id, status="created" if uploaded.created else "duplicate")


def checked_response(checked: list[Checked]) -> BulkUploadCheckResponse:
    return BulkUploadCheckResponse(results=[_checked(one) for one in checked])


def _checked(one: Checked) -> BulkUploadCheckResult:
    if one.known is None:
        return BulkUploadCheckResult(id=one.client_id, action="accept")
    return BulkUploadCheckResult(
        id=one.client_id,
        action="reject",
        reason="duplicate",
        asset_id=one.known.asset_id,
        is_trashed=one.known.trashed,
    )


def statistics_response(counts: AssetCounts) -> AssetStatistics:
    return AssetStatistics(images=counts.images, videos=counts.videos, total=counts.total)


def metadata_response(row: AssetMetadata) -> MetadataResponse:
    return MetadataResponse(key=row.key, value=row.value, updated_at=row.updated_at)


def metadata_of_asset(row: AssetMetadata) -> MetadataOfAsset:
    return MetadataOfAsset(asset_id=row.asset_id, key=row.key, value=row.value, updated_at=row.updated_at)


def ocr_response(line: AssetOcr) -> OcrResponse:
    return OcrResponse.model_validate(line, from_attributes=True)


def asset_response(
    asset: Asset, exif: AssetExif | None, details: AssetDetails = NOT_ASKED, *, own: bool = True
) -> AssetResponse:
    """`own`: whether its owner looks. Others are not told what the owner likes, or who is in it."""
    people = details.people if own or details.people is None else ()
    fields = _shared(asset)
    fields["is_favorite"] = own and asset.is_favorite
    return AssetResponse(
        **fields,
        original_path=asset.original_path,
        original_mime_type=mime_type(asset.original_file_name),
        updated_at=asset.updated_at,
        is_archived=asset.visibility == "archive",
        is_trashed=asset.deleted_at is not None,
        is_offline=asset.is_offline,
        duplicate_id=asset.duplicate_id,
        exif_info=None if exif is None else ExifResponse(**_exif(exif)),
        people=None if people is None else [person_response(person) for person in people],
        tags=None if details.tags is None else [tag_response(tag) for tag in details.tags],
        stack=None if details.stack is None else stack_of_asset(details.stack),
    )


def seen_asset(seen: SeenAsset) -> AssetResponse:
    return asset_response(seen.asset, seen.exif, seen.details, own=seen.own)


def bare_asset(asset: Asset) -> BareAsset:
    shown = {name: value for name, value in _shared(asset).items() if name in BareAsset.model_fields}
    return BareAsset(**shown, original_mime_type=mime_type(asset.original_file_name))


def stack_of_asset(stack: StackFacts) -> StackOfAsset:
    return StackOfAsset(id=stack.stack_id, primary_asset_id=stack.primary_asset_id, asset_count=stack.count)


def upload_ready(asset: Asset, exif: AssetExif) -> UploadReady:
    return UploadReady(
        asset=ReadyAsset(**_shared(asset), deleted_at=asset.deleted_at),
        exif=ReadyExif(**_exif(exif), asset_id=asset.id, profile_description=exif.profile_description, fps=exif.fps),
    )


def _shared(asset: Asset) -> dict[str, Any]:
    """What the two forms of an asset have in common."""
    return {
        "id": asset.id,
        "owner_id": asset.owner_id,
        "type": asset.type,
        "original_file_name": asset.original_file_name,
        "thumbhash": None if asset.thumbhash is None else _base64(asset.thumbhash),
        "checksum": _base64(asset.checksum),
        "file_created_at": asset.file_created_at,
        "file_modified_at": asset.file_modified_at,
        "local_date_time": asset.local_date_time,
        "created_at": asset.created_at,
        "is_favorite": asset.is_favorite,
        "is_edited": asset.is_edited,
        "visibility": asset.visibility,
        "duration": asset.duration_ms,
        "width": asset.width_px,
        "height": asset.height_px,
        "live_photo_video_id": asset.live_photo_video_id,
        "library_id": asset.library_id,
    }


def _exif(exif: AssetExif) -> dict[str, Any]:
    return {
        "make": exif.make,
        "model": exif.model,
        "exif_image_width": exif.image_width_px,
        "exif_image_height": exif.image_height_px,
        "file_size_in_byte": exif.file_size_bytes,
        "orientation": exif.orientation,
        "date_time_original": exif.date_time_original,
        "modify_date": exif.modify_date,
        "time_zone": exif.time_zone,
        "lens_model": exif.lens_model,
        "f_number": exif.f_number,
        "focal_length": exif.focal_length,
        "iso": exif.iso,
        "exposure_time": exif.exposure_time,
        "latitude": exif.latitude,
        "longitude": exif.longitude,
        "city": exif.city,
        "state": exif.state,
        "country": exif.country,
        "description": exif.description,
        "projection_type": exif.projection_type,
        "rating": exif.rating,
    }


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
