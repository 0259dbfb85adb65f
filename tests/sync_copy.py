"""A client that keeps a copy of its library, as Immich's app does: it applies what it is told and says so."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.api_stack import AppClient

KINDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "AuthUserV1": ("account", ("id",)),
    "UserV1": ("user", ("id",)),
    "AssetV2": ("asset", ("id",)),
    "AlbumAssetCreateV2": ("asset", ("id",)),
    "AlbumAssetUpdateV2": ("asset", ("id",)),
    "AlbumAssetBackfillV2": ("asset", ("id",)),
    "PartnerV1": ("partner", ("sharedById", "sharedWithId")),
    "PartnerAssetV2": ("asset", ("id",)),
    "PartnerAssetBackfillV2": ("asset", ("id",)),
    "PartnerAssetExifV1": ("exif", ("assetId",)),
    "PartnerAssetExifBackfillV1": ("exif", ("assetId",)),
    "PartnerStackV1": ("partner_stack", ("id",)),
    "PartnerStackBackfillV1": ("partner_stack", ("id",)),
    "AssetExifV1": ("exif", ("assetId",)),
    "AlbumAssetExifCreateV1": ("exif", ("assetId",)),
    "AlbumAssetExifUpdateV1": ("exif", ("assetId",)),
    "AlbumAssetExifBackfillV1": ("exif", ("assetId",)),
    "AssetMetadataV1": ("metadata", ("assetId", "key")),
    "AssetFaceV2": ("face", ("id",)),
    "PersonV1": ("person", ("id",)),
    "StackV1": ("stack", ("id",)),
    "MemoryV1": ("memory", ("id",)),
    "MemoryToAssetV1": ("memory_asset", ("memoryId", "assetId")),
    "AlbumV2": ("album", ("id",)),
    "AlbumUserV1": ("album_user", ("albumId", "userId")),
    "AlbumUserBackfillV1": ("album_user", ("albumId", "userId")),
    "AlbumToAssetV1": ("album_asset", ("albumId", "assetId")),
    "AlbumToAssetBackfillV1": ("album_asset", ("albumId", "assetId")),
    "UserMetadataV1": ("user_metadata", ("userId", "key")),
}
"""A line's type → the table that it goes to, and its key."""

DELETES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "UserDeleteV1": ("user", ("userId",)),
    "PartnerDeleteV1": ("partner", ("sharedById", "sharedWithId")),
    "PartnerAssetDeleteV1": ("asset", ("assetId",)),
    "PartnerStackDeleteV1": ("partner_stack", ("stackId",)),
    "AssetDeleteV1": ("asset", ("assetId",)),
    "AssetMetadataDeleteV1": ("metadata", ("assetId", "key")),
    "AssetFaceDeleteV1": ("face", ("assetFaceId",)),
    "PersonDeleteV1": ("person", ("personId",)),
    "StackDeleteV1": ("stack", ("stackId",)),
    "MemoryDeleteV1": ("memory", ("memoryId",)),
    "MemoryToAssetDeleteV1": ("memory_asset", ("memoryId", "assetId")),
    "AlbumDeleteV1": ("album", ("albumId",)),
    "AlbumUserDeleteV1": ("album_user", ("albumId", "userId")),
    "AlbumToAssetDeleteV1": ("album_asset", ("albumId", "assetId")),
}

OF_ASSET = (("exif", "assetId"), ("metadata", "assetId"), ("face", "assetId"), ("album_asset", "assetId"))
OF_ALBUM = (("album_user", "albumId"), ("album_asset", "albumId"))
PARENTS: Mapping[str, Sequence[tuple[str, str]]] = {
    "asset": (*OF_ASSET, ("memory_asset", "assetId")),
    "album": OF_ALBUM,
    "memory": (("memory_asset", "memoryId"),),
}
"""What goes with a row, as foreign keys do in the app."""

EVERYTHING = (
    *(
        "AuthUsersV1",
        "UsersV1",
        "PartnersV1",
        "AssetsV2",
        "StacksV1",
        "PartnerAssetsV2",
        "PartnerStacksV1",
        "AlbumAssetsV2",
        "AlbumsV2",
        "AlbumUsersV1",
    ),
    *(
        "AlbumToAssetsV1",
        "AssetExifsV1",
        "AlbumAssetExifsV1",
        "PartnerAssetExifsV1",
        "MemoriesV1",
        "MemoryToAssetsV1",
        "PeopleV1",
    ),
    *("AssetFacesV2", "UserMetadataV1", "AssetMetadataV1"),
)

Row = dict[str, Any]


@dataclass
class Copy:
    """One device of one user."""

    client: AppClient
    token: str
    tables: dict[str, dict[tuple[str, ...], Row]] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def lines(self, types: Sequence[str] = EVERYTHING, **body: Any) -> list[Row]:
        """What there is to tell; nothing is applied."""
        answer = self.client.post("/sync/stream", json={"types": list(types), **body}, headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/jsonlines+json"
        return [json.loads(line) for line in answer.text.splitlines()]

    def sync(self, types: Sequence[str] = EVERYTHING, only: int | None = None) -> list[Row]:
        """Apply and acknowledge; `only`: so many lines, as if the connection broke there."""
        lines = self.lines(types)[:only]
        for line in lines:
            self.apply(line)
        acks = {line["ack"].partition("|")[0]: line["ack"] for line in lines}
        self.acknowledge(list(acks.values()))
        return lines

    def acknowledge(self, acks: Sequence[str]) -> None:
        answer = self.client.post("/sync/ack", json={"acks": list(acks)}, headers=self.headers)
        assert answer.status_code == 204, answer.text

    def apply(self, line: Row) -> None:
        kind, data = line["type"], line["data"]
        if kind in KINDS:
            table, names = KINDS[kind]
            self.tables.setdefault(table, {})[tuple(data[name] for name in names)] = data
        elif kind in DELETES:
            table, names = DELETES[kind]
            self._forget(table, tuple(data[name] for name in names))
            if table == "partner" and (data["sharedById"],) not in self.tables.get("account", {}):
                self._prune(data["sharedById"])
        elif kind == "SyncResetV1":
            self.tables.clear()
        else:
            assert kind in {"SyncAckV1", "SyncCompleteV1"}, kind

    def rows(self, table: str) -> Iterator[Row]:
        yield from self.tables.get(table, {}).values()

    def _prune(self, owner_id: str) -> None:
        """What somebody showed, and no album does."""
        shown = {asset_id for _, asset_id in self.tables.get("album_asset", {})}
        for row in list(self.rows("asset")):
            if row["ownerId"] == owner_id and row["id"] not in shown:
                self._forget("asset", (row["id"],))

    def _forget(self, table: str, key: tuple[str, ...]) -> None:
        self.tables.get(table, {}).pop(key, None)
        for child, name in PARENTS.get(table, ()):
            rows = self.tables.get(child, {})
            for child_key in [each for each, row in rows.items() if row[name] == key[0]]:
                del rows[child_key]
