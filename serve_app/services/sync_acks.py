"""Acknowledgements: a device says up to where it has what it was told. Source: Immich's published API, `/sync/ack`."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cluster.db.queries import sync_checkpoints
from cluster.db.queries.sync_changes import Place
from cluster.db.tables.sync import SyncCheckpoint
from cluster.errors import BadRequest, Forbidden
from serve_app.deps import Caller, Services

_PLACE = r"[0-9]{1,18}\.-?[0-9]{1,18}"
COMPLETE = "complete"
"""In place of a row's place: all that had to be made up for was told."""


class SyncType(StrEnum):
    """What a line of the stream is about, in Immich's spelling, since acks hold it."""

    AUTH_USER_V1 = "AuthUserV1"
    USER_V1 = "UserV1"
    USER_DELETE_V1 = "UserDeleteV1"
    ASSET_V1 = "AssetV1"
    ASSET_V2 = "AssetV2"
    ASSET_DELETE_V1 = "AssetDeleteV1"
    ASSET_EXIF_V1 = "AssetExifV1"
    ASSET_EDIT_V1 = "AssetEditV1"
    ASSET_EDIT_DELETE_V1 = "AssetEditDeleteV1"
    ASSET_METADATA_V1 = "AssetMetadataV1"
    ASSET_METADATA_DELETE_V1 = "AssetMetadataDeleteV1"
    ASSET_OCR_V1 = "AssetOcrV1"
    ASSET_OCR_DELETE_V1 = "AssetOcrDeleteV1"
    PARTNER_V1 = "PartnerV1"
    PARTNER_DELETE_V1 = "PartnerDeleteV1"
    PARTNER_ASSET_V1 = "PartnerAssetV1"
    PARTNER_ASSET_V2 = "PartnerAssetV2"
    PARTNER_ASSET_BACKFILL_V1 = "PartnerAssetBackfillV1"
    PARTNER_ASSET_BACKFILL_V2 = "PartnerAssetBackfillV2"
    PARTNER_ASSET_DELETE_V1 = "PartnerAssetDeleteV1"
    PARTNER_ASSET_EXIF_V1 = "PartnerAssetExifV1"
    PARTNER_ASSET_EXIF_BACKFILL_V1 = "PartnerAssetExifBackfillV1"
    PARTNER_STACK_BACKFILL_V1 = "PartnerStackBackfillV1"
    PARTNER_STACK_DELETE_V1 = "PartnerStackDeleteV1"
    PARTNER_STACK_V1 = "PartnerStackV1"
    ALBUM_V1 = "AlbumV1"
    ALBUM_V2 = "AlbumV2"
    ALBUM_DELETE_V1 = "AlbumDeleteV1"
    ALBUM_USER_V1 = "AlbumUserV1"
    ALBUM_USER_BACKFILL_V1 = "AlbumUserBackfillV1"
    ALBUM_USER_DELETE_V1 = "AlbumUserDeleteV1"
    ALBUM_ASSET_CREATE_V1 = "AlbumAssetCreateV1"
    ALBUM_ASSET_CREATE_V2 = "AlbumAssetCreateV2"
    ALBUM_ASSET_UPDATE_V1 = "AlbumAssetUpdateV1"
    ALBUM_ASSET_UPDATE_V2 = "AlbumAssetUpdateV2"
    ALBUM_ASSET_BACKFILL_V1 = "AlbumAssetBackfillV1"
    ALBUM_ASSET_BACKFILL_V2 = "AlbumAssetBackfillV2"
    ALBUM_ASSET_EXIF_CREATE_V1 = "AlbumAssetExifCreateV1"
    ALBUM_ASSET_EXIF_UPDATE_V1 = "AlbumAssetExifUpdateV1"
    ALBUM_ASSET_EXIF_BACKFILL_V1 = "AlbumAssetExifBackfillV1"
    ALBUM_TO_ASSET_V1 = "AlbumToAssetV1"
    ALBUM_TO_ASSET_DELETE_V1 = "AlbumToAssetDeleteV1"
    ALBUM_TO_ASSET_BACKFILL_V1 = "AlbumToAssetBackfillV1"
    MEMORY_V1 = "MemoryV1"
    MEMORY_DELETE_V1 = "MemoryDeleteV1"
    MEMORY_TO_ASSET_V1 = "MemoryToAssetV1"
    MEMORY_TO_ASSET_DELETE_V1 = "MemoryToAssetDeleteV1"
    STACK_V1 = "StackV1"
    STACK_DELETE_V1 = "StackDeleteV1"
    PERSON_V1 = "PersonV1"
    PERSON_DELETE_V1 = "PersonDeleteV1"
    ASSET_FACE_V1 = "AssetFaceV1"
    ASSET_FACE_V2 = "AssetFaceV2"
    ASSET_FACE_DELETE_V1 = "AssetFaceDeleteV1"
    USER_METADATA_V1 = "UserMetadataV1"
    USER_METADATA_DELETE_V1 = "UserMetadataDeleteV1"
    SYNC_ACK_V1 = "SyncAckV1"
    SYNC_RESET_V1 = "SyncResetV1"
    SYNC_COMPLETE_V1 = "SyncCompleteV1"


TYPES = frozenset(kind.value for kind in SyncType)


@dataclass(frozen=True, slots=True)
class Ack:
    """What a client gives back to say that it has a line, and all before it of that type. Opaque to clients.

    `extra`: of what is made up for (backfill), the place within, or `complete`; of a whole sync, its time.
    """

    type: SyncType
    place: Place
    extra: str = ""

    def __str__(self) -> str:
        return "|".join(filter(None, (self.type, place_text(self.place), self.extra)))

    @classmethod
    def read(cls, text: str) -> Self:
        """Raises BadRequest for what we did not write."""
        kind, _, rest = text.partition("|")
        if kind not in TYPES:
            raise BadRequest(f"Invalid ack type: {kind}")
        place, _, extra = rest.partition("|")
        wanted = r"[0-9]{1,14}" if kind == SyncType.SYNC_COMPLETE_V1 else rf"(?:{_PLACE}|{COMPLETE})?"
        if not re.fullmatch(_PLACE, place) or not re.fullmatch(wanted, extra):
            raise BadRequest(f"Invalid ack: {text}")
        try:
            return cls(SyncType(kind), read_place(place), extra)
        except ValueError:
            raise BadRequest(f"Invalid ack: {text}") from None


RESET_ACK = f"{SyncType.SYNC_RESET_V1}|reset"


def place_text(place: Place) -> str:
    return f"{place.tx}.{place.seq}"


def read_place(text: str) -> Place:
    """Raises ValueError."""
    tx, _, seq = text.partition(".")
    return Place(int(tx), int(seq))


def session_of(caller: Caller) -> str:
    """The device that asks. Raises Forbidden: a key is no device, and nobody knows what it was told."""
    if caller.session_id is None:
        raise Forbidden("Sync endpoints cannot be used with API keys")
    return caller.session_id


def list_acks(services: Services, caller: Caller) -> list[SyncCheckpoint]:
    session_id = session_of(caller)
    with services.database.reader() as session:
        return sync_checkpoints.checkpoints_of(session, session_id)


def set_acks(services: Services, caller: Caller, texts: Sequence[str]) -> None:
    """The last of each type counts. Raises BadRequest, and then none does."""
    session_id = session_of(caller)
    if any(text.startswith(SyncType.SYNC_RESET_V1) for text in texts):
        with services.database.session() as session:
            sync_checkpoints.start_over(session, session_id)
        return
    acks = {Ack.read(text).type.value: text for text in texts}
    with services.database.session() as session:
        sync_checkpoints.set_checkpoints(session, session_id, acks, services.clock.now())


def delete_acks(services: Services, caller: Caller, types: Collection[SyncType] | None) -> None:
    """What was told of these types, or of all, is told again."""
    session_id = session_of(caller)
    with services.database.session() as session:
        sync_checkpoints.delete_checkpoints(session, session_id, types)
