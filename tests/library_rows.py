"""Assets, people, tags and albums as rows alone, without files: for tests that ask the database."""

import os
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from sqlalchemy import insert

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.base import Base
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.tag import Tag, TagAsset
from tests.api_stack import ApiStack
from tests.api_stack import Person as Caller

NOON = datetime(2024, 3, 5, 12, tzinfo=UTC)
EXIF = frozenset(column.name for column in AssetExif.__table__.columns) - {"asset_id", "updated_at"}


def add(stack: ApiStack, table: type[Base], **columns: Any) -> str:
    """A row with an id, unless one is given."""
    values = {"id": str(uuid.uuid4()), **columns}
    with stack.services.database.session() as session:
        session.execute(insert(table).values(**values))
    return str(values["id"])


def asset_values(owner_id: str, taken: datetime = NOON, **columns: Any) -> dict[str, Any]:
    """An image of the timeline, taken where clocks show UTC."""
    asset_id = str(uuid.uuid4())
    times = dict.fromkeys(("file_created_at", "file_modified_at", "local_date_time"), taken)
    path = {"original_path": f"/media/{asset_id}.jpg", "original_file_name": "a.jpg", "checksum": os.urandom(20)}
    arrival = {"created_at": NOON, "updated_at": NOON}
    return {"id": asset_id, "owner_id": owner_id, "type": "IMAGE", **path, **times, **arrival, **columns}


def add_asset(stack: ApiStack, owner: Caller, taken: datetime = NOON, **columns: Any) -> str:
    """Columns of `asset` and of `asset_exif` alike."""
    exif = {name: columns.pop(name) for name in EXIF & columns.keys()}
    values = asset_values(owner.user_id, taken, **columns)
    with stack.services.database.session() as session:
        session.execute(insert(Asset).values(**values))
        session.execute(insert(AssetExif).values(asset_id=values["id"], updated_at=NOON, **exif))
    return str(values["id"])


def add_person(stack: ApiStack, owner: Caller, name: str, *asset_ids: str) -> str:
    """Somebody with a face in each of these."""
    times = {"created_at": NOON, "updated_at": NOON}
    person_id = add(stack, Person, owner_id=owner.user_id, name=name, **times)
    for asset_id in asset_ids:
        add(stack, AssetFace, asset_id=asset_id, person_id=person_id, **times)
    return person_id


def add_tag(stack: ApiStack, owner: Caller, value: str, *asset_ids: str, parent_id: str | None = None) -> str:
    """On each of these."""
    times = {"created_at": NOON, "updated_at": NOON}
    tag_id = add(stack, Tag, owner_id=owner.user_id, value=value, parent_id=parent_id, **times)
    with stack.services.database.session() as session:
        for asset_id in asset_ids:
            session.execute(insert(TagAsset).values(asset_id=asset_id, tag_id=tag_id))
    return tag_id


def add_album(stack: ApiStack, owner: Caller, *asset_ids: str, shared_with: Caller | None = None) -> str:
    """With these in it, in the eyes of one more as a viewer."""
    album_id = add(stack, Album, owner_id=owner.user_id, name="Trip", created_at=NOON, updated_at=NOON)
    with stack.services.database.session() as session:
        for asset_id in asset_ids:
            session.execute(insert(AlbumAsset).values(album_id=album_id, asset_id=asset_id, created_at=NOON))
        if shared_with is not None:
            member = {"album_id": album_id, "user_id": shared_with.user_id, "role": "viewer", "created_at": NOON}
            session.execute(insert(AlbumUser).values(**member))
    return album_id


def embed(stack: ApiStack, points: Mapping[str, Sequence[float]], model: str = "ViT-B-32__openai") -> None:
    """Where these assets lie; a few numbers stand for all 512, the rest being zeros."""
    filled = {of: np.array([*point, *[0.0] * (512 - len(point))], np.float32) for of, point in points.items()}
    with stack.services.database.session() as session:
        embeddings.put(session, EmbeddingKind.SMART_SEARCH, model, filled)
