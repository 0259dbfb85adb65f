"""The lines that a client's copy of the library is made from, in Immich's spelling.

Source: Immich's published API, its `Sync…` models. Types of rows say their form in `FORMS`.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool, StrictStr
from pydantic_core import to_json

from serve_app.services.sync_acks import SyncType
from serve_app.services.sync_stream import Line
from serve_app.wire.common import STORABLE, PlainText, Wire, WireTime
from serve_app.wire.preferences import preferences

T = SyncType


class SyncRequestType(StrEnum):
    """What a client may ask for."""

    ALBUMS_V1 = "AlbumsV1"
    ALBUMS_V2 = "AlbumsV2"
    ALBUM_USERS_V1 = "AlbumUsersV1"
    ALBUM_TO_ASSETS_V1 = "AlbumToAssetsV1"
    ALBUM_ASSETS_V1 = "AlbumAssetsV1"
    ALBUM_ASSETS_V2 = "AlbumAssetsV2"
    ALBUM_ASSET_EXIFS_V1 = "AlbumAssetExifsV1"
    ASSETS_V1 = "AssetsV1"
    ASSETS_V2 = "AssetsV2"
    ASSET_EXIFS_V1 = "AssetExifsV1"
    ASSET_EDITS_V1 = "AssetEditsV1"
    ASSET_METADATA_V1 = "AssetMetadataV1"
    ASSET_OCR_V1 = "AssetOcrV1"
    AUTH_USERS_V1 = "AuthUsersV1"
    MEMORIES_V1 = "MemoriesV1"
    MEMORY_TO_ASSETS_V1 = "MemoryToAssetsV1"
    PARTNERS_V1 = "PartnersV1"
    PARTNER_ASSETS_V1 = "PartnerAssetsV1"
    PARTNER_ASSETS_V2 = "PartnerAssetsV2"
    PARTNER_ASSET_EXIFS_V1 = "PartnerAssetExifsV1"
    PARTNER_STACKS_V1 = "PartnerStacksV1"
    STACKS_V1 = "StacksV1"
    USERS_V1 = "UsersV1"
    PEOPLE_V1 = "PeopleV1"
    ASSET_FACES_V1 = "AssetFacesV1"
    ASSET_FACES_V2 = "AssetFacesV2"
    USER_METADATA_V1 = "UserMetadataV1"


class SyncStream(Wire):
    """What a device wants told. `reset`: it has nothing."""

    types: list[SyncRequestType]
    reset: StrictBool = False


class SyncAck(Wire):
    """Up to where a device has a type."""

    type: SyncType
    ack: str


class SyncAckSet(Wire):
    """What a device has."""

    acks: Annotated[list[Annotated[StrictStr, Field(max_length=256), STORABLE]], Field(max_length=1000)]


class SyncAckDelete(Wire):
    """Of which types a device wants everything told again; without it, of all."""

    types: list[SyncType] | None = None


def _base64(data: Any) -> Any:
    return base64.b64encode(data).decode("ascii") if isinstance(data, bytes | memoryview) else data


Base64 = Annotated[PlainText, BeforeValidator(_base64)]


class SyncUser(Wire):
    """`UserV1`."""

    id: str
    name: str
    email: str
    avatar_color: str | None
    deleted_at: WireTime | None
    has_profile_image: bool
    profile_changed_at: WireTime


class SyncAuthUser(SyncUser):
    """`AuthUserV1`. The hash of a PIN code is nobody's business, not even its owner's devices'."""

    is_admin: bool
    pin_code: None = None
    oauth_id: str = ""
    storage_label: str | None
    quota_size_in_bytes: int | None
    quota_usage_in_bytes: int


class SyncAssetV2(Wire):
    """`AssetV2` and its kin. `duration`: milliseconds."""

    id: str
    owner_id: str
    original_file_name: str
    thumbhash: Base64 | None
    checksum: Base64
    file_created_at: WireTime | None
    file_modified_at: WireTime | None
    created_at: WireTime
    local_date_time: WireTime | None
    duration: int | None
    type: str
    deleted_at: WireTime | None
    is_favorite: bool
    visibility: str
    live_photo_video_id: str | None
    stack_id: str | None
    library_id: str | None
    width: int | None
    height: int | None
    is_edited: bool


class SyncAssetV1(SyncAssetV2):
    """`AssetV1` and its kin. `duration`: `00:01:02.345`."""

    duration: str | None  # type: ignore[assignment]


class SyncExif(Wire):
    """`AssetExifV1` and its kin."""

    asset_id: str
    description: str | None
    exif_image_width: int | None
    exif_image_height: int | None
    file_size_in_byte: int | None
    orientation: str | None
    date_time_original: WireTime | None
    modify_date: WireTime | None
    time_zone: str | None
    latitude: float | None
    longitude: float | None
    projection_type: str | None
    city: str | None
    state: str | None
    country: str | None
    make: str | None
    model: str | None
    lens_model: str | None
    f_number: float | None
    focal_length: float | None
    iso: int | None
    exposure_time: str | None
    profile_description: str | None
    rating: int | None
    fps: float | None


class SyncAssetMetadata(Wire):
    """`AssetMetadataV1`."""

    asset_id: str
    key: str
    value: dict[str, Any]


class SyncFaceV1(Wire):
    """`AssetFaceV1`."""

    id: str
    asset_id: str
    person_id: str | None
    image_width: int
    image_height: int
    bounding_box_x1: int
    bounding_box_y1: int
    bounding_box_x2: int
    bounding_box_y2: int
    source_type: str


class SyncFaceV2(SyncFaceV1):
    """`AssetFaceV2`."""

    deleted_at: WireTime | None
    is_visible: bool


class SyncPerson(Wire):
    """`PersonV1`."""

    id: str
    created_at: WireTime
    updated_at: WireTime
    owner_id: str
    name: str
    birth_date: date | None
    is_hidden: bool
    is_favorite: bool
    color: str | None
    face_asset_id: str | None


class SyncStack(Wire):
    """`StackV1`."""

    id: str
    created_at: WireTime
    updated_at: WireTime
    primary_asset_id: str
    owner_id: str


class SyncMemory(Wire):
    """`MemoryV1`."""

    id: str
    created_at: WireTime
    updated_at: WireTime
    deleted_at: WireTime | None
    owner_id: str
    type: str
    data: dict[str, Any]
    is_saved: bool
    memory_at: WireTime
    seen_at: WireTime | None
    show_at: WireTime | None
    hide_at: WireTime | None


class SyncAlbumV2(Wire):
    """`AlbumV2`; who owns it says `AlbumUserV1`."""

    id: str
    name: str
    description: str
    created_at: WireTime
    updated_at: WireTime
    thumbnail_asset_id: str | None
    is_activity_enabled: bool
    order: str


class SyncAlbumV1(SyncAlbumV2):
    """`AlbumV1`."""

    owner_id: str


class SyncAlbumUser(Wire):
    """`AlbumUserV1`."""

    album_id: str
    user_id: str
    role: str


class SyncPartner(Wire):
    """`PartnerV1`."""

    shared_by_id: str
    shared_with_id: str
    in_timeline: bool


def jsonlines(lines: Iterable[Line]) -> bytes:
    """A line each: type, data and ack."""
    return b"".join(
        b'{"type":"%s","data":%s,"ack":%s}\n' % (line.type.encode(), FORMS[line.type](line.data), to_json(line.ack))
        for line in lines
    )


Form = Callable[[Any], bytes]


def _row(model: type[Wire]) -> Form:
    serializer = model.__pydantic_serializer__
    return lambda row: serializer.to_json(model(**row), by_alias=True)


def _key(*names: str) -> Form:
    """Of rows that say nothing but their key."""
    return lambda key: to_json(dict(zip(names, key.split("/", len(names) - 1), strict=True)))


def _user(model: type[SyncUser]) -> Form:
    def form(row: Mapping[str, Any]) -> bytes:
        quota: dict[str, Any] = {
            "quota_size_in_bytes": row.get("quota_size_bytes"),
            "quota_usage_in_bytes": row.get("quota_usage_bytes"),
        }
        return to_json(model(**row, **quota, has_profile_image=bool(row["profile_image_path"])), by_alias=True)

    return form


def _asset_v1(row: Mapping[str, Any]) -> bytes:
    return to_json(SyncAssetV1(**{**row, "duration": duration_text(row["duration"])}), by_alias=True)


def duration_text(milliseconds: int | None) -> str | None:
    """`00:01:02.345`, as clients of the first version read it."""
    if milliseconds is None:
        return None
    minutes, rest_ms = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest_ms // 1000:02}.{rest_ms % 1000:03}"


def _user_metadata(row: Mapping[str, Any]) -> bytes:
    if "preferences" in row:
        key, value = "preferences", preferences(row["preferences"]).model_dump(mode="json", by_alias=True)
    else:
        key, value = "onboarding", {"isOnboarded": row["is_onboarded"]}
    return to_json({"userId": row["id"], "key": key, "value": value})


def _nothing(_data: object) -> bytes:
    return b"{}"


_assets, _exif = _row(SyncAssetV2), _row(SyncExif)
_link = _key("albumId", "assetId")

FORMS: Mapping[SyncType, Form] = {
    T.AUTH_USER_V1: _user(SyncAuthUser),
    T.USER_V1: _user(SyncUser),
    T.USER_DELETE_V1: _key("userId"),
    T.ASSET_V1: _asset_v1,
    T.ASSET_V2: _assets,
    T.ASSET_DELETE_V1: _key("assetId"),
    T.ASSET_EXIF_V1: _exif,
    T.ASSET_METADATA_V1: _row(SyncAssetMetadata),
    T.ASSET_METADATA_DELETE_V1: _key("assetId", "key"),
    T.PARTNER_V1: _row(SyncPartner),
    T.PARTNER_DELETE_V1: _key("sharedById", "sharedWithId"),
    T.PARTNER_ASSET_V1: _asset_v1,
    T.PARTNER_ASSET_V2: _assets,
    T.PARTNER_ASSET_BACKFILL_V1: _asset_v1,
    T.PARTNER_ASSET_BACKFILL_V2: _assets,
    T.PARTNER_ASSET_DELETE_V1: _key("assetId"),
    T.PARTNER_ASSET_EXIF_V1: _exif,
    T.PARTNER_ASSET_EXIF_BACKFILL_V1: _exif,
    T.PARTNER_STACK_V1: _row(SyncStack),
    T.PARTNER_STACK_BACKFILL_V1: _row(SyncStack),
    T.PARTNER_STACK_DELETE_V1: _key("stackId"),
    T.ALBUM_V1: _row(SyncAlbumV1),
    T.ALBUM_V2: _row(SyncAlbumV2),
    T.ALBUM_DELETE_V1: lambda key: to_json({"albumId": key.partition("/")[0]}),
    T.ALBUM_USER_V1: _row(SyncAlbumUser),
    T.ALBUM_USER_BACKFILL_V1: _row(SyncAlbumUser),
    T.ALBUM_USER_DELETE_V1: _key("albumId", "userId"),
    T.ALBUM_ASSET_CREATE_V1: _asset_v1,
    T.ALBUM_ASSET_CREATE_V2: _assets,
    T.ALBUM_ASSET_UPDATE_V1: _asset_v1,
    T.ALBUM_ASSET_UPDATE_V2: _assets,
    T.ALBUM_ASSET_BACKFILL_V1: _asset_v1,
    T.ALBUM_ASSET_BACKFILL_V2: _assets,
    T.ALBUM_ASSET_EXIF_CREATE_V1: _exif,
    T.ALBUM_ASSET_EXIF_UPDATE_V1: _exif,
    T.ALBUM_ASSET_EXIF_BACKFILL_V1: _exif,
    T.ALBUM_TO_ASSET_V1: _link,
    T.ALBUM_TO_ASSET_BACKFILL_V1: _link,
    T.ALBUM_TO_ASSET_DELETE_V1: _link,
    T.MEMORY_V1: _row(SyncMemory),
    T.MEMORY_DELETE_V1: _key("memoryId"),
    T.MEMORY_TO_ASSET_V1: _key("memoryId", "assetId"),
    T.MEMORY_TO_ASSET_DELETE_V1: _key("memoryId", "assetId"),
    T.STACK_V1: _row(SyncStack),
    T.STACK_DELETE_V1: _key("stackId"),
    T.PERSON_V1: _row(SyncPerson),
    T.PERSON_DELETE_V1: _key("personId"),
    T.ASSET_FACE_V1: _row(SyncFaceV1),
    T.ASSET_FACE_V2: _row(SyncFaceV2),
    T.ASSET_FACE_DELETE_V1: _key("assetFaceId"),
    T.USER_METADATA_V1: _user_metadata,
    T.SYNC_ACK_V1: _nothing,
    T.SYNC_RESET_V1: _nothing,
    T.SYNC_COMPLETE_V1: _nothing,
}
"""A line's type → its data as JSON."""
