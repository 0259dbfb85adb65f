"""Tags: a tree of paths per user, made part by part, and the assets that hang on it.

Source: spec/jobs-media.md §1.2.
"""

import uuid
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.asset import AssetExif
from cluster.db.tables.tag import Tag, TagAsset
from cluster.db.upsert import upsert

LONGEST_VALUE_BYTES: Final = 1000
"""What an index of PostgreSQL takes with room to spare. Longer words stay in the metadata and become no tag."""

# A tag that somebody else made a moment ago stays as it is.
_KEPT = ("id", "parent_id", "created_at", "updated_at")


def plain_value(value: str) -> str:
    """The path without empty parts: `/Places//Rome/` → `Places/Rome`."""
    return "/".join(part for part in value.split("/") if part)


def is_storable(value: str) -> bool:
    return len(value.encode()) <= LONGEST_VALUE_BYTES


def upsert_tags(session: Session, owner_id: str, values: Iterable[str], now: datetime) -> dict[str, str]:
    """Plain value → id of its tag, for all of them; they, and the tags above them, are made where they are missing."""
    wanted = {plain for value in values if (plain := plain_value(value)) and is_storable(plain)}
    paths = {above for value in wanted for above in _with_parents(value)}
    known = _ids_of(session, owner_id, paths)
    missing = sorted(paths - known.keys(), key=lambda value: (value.count("/"), value))
    while missing:
        depth = missing[0].count("/")
        level = [value for value in missing if value.count("/") == depth]
        rows = [_row(owner_id, value, known, now) for value in level]
        upsert(session, Tag, rows, key=["owner_id", "value"], keep=_KEPT)
        known |= _ids_of(session, owner_id, level)
        missing = missing[len(level) :]
    return {value: known[value] for value in wanted}


def _with_parents(value: str) -> list[str]:
    parts = value.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _ids_of(session: Session, owner_id: str, values: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for page in in_pages(values):
        rows = session.execute(select(Tag.value, Tag.id).where(Tag.owner_id == owner_id, Tag.value.in_(page)))
        found |= {row.value: row.id for row in rows}
    return found


def _row(owner_id: str, value: str, known: dict[str, str], now: datetime) -> dict[str, object]:
    parent = known.get(value.rpartition("/")[0])
    times = {"created_at": now, "updated_at": now}
    return {"id": str(uuid.uuid4()), "owner_id": owner_id, "value": value, "parent_id": parent, **times}


def replace_tags(session: Session, asset_id: str, tag_ids: Collection[str]) -> None:
    """The asset hangs on these tags and no others."""
    session.execute(delete(TagAsset).where(TagAsset.asset_id == asset_id, TagAsset.tag_id.not_in(tag_ids)))
    rows = [{"asset_id": asset_id, "tag_id": tag_id} for tag_id in sorted(tag_ids)]
    upsert(session, TagAsset, rows, key=["asset_id", "tag_id"])


def tags_of(session: Session, owner_id: str) -> list[Tag]:
    """All of a user's tags, parents before children."""
    return list(session.scalars(select(Tag).where(Tag.owner_id == owner_id).order_by(Tag.value)))


def owned_tags(session: Session, owner_id: str, tag_ids: Collection[str]) -> list[Tag]:
    """Of these tags, those that belong to the user."""
    return [
        tag
        for page in in_pages(tag_ids)
        for tag in session.scalars(select(Tag).where(Tag.id.in_(page), Tag.owner_id == owner_id))
    ]


def tag_by_value(session: Session, owner_id: str, value: str) -> Tag | None:
    return session.scalar(select(Tag).where(Tag.owner_id == owner_id, Tag.value == value))


def below(tag: Tag) -> ColumnElement[bool]:
    """The tag itself and everything under it: of the same owner, by the beginning of their paths."""
    prefix = f"{tag.value}/"
    within = func.substr(Tag.value, 1, len(prefix)) == prefix
    return (Tag.owner_id == tag.owner_id) & or_(Tag.id == tag.id, within)


def counts_of(session: Session, tag_ids: Collection[str]) -> dict[str, int]:
    """How many assets hang on each tag itself."""
    found: dict[str, int] = {}
    for page in in_pages(tag_ids):
        counted = select(TagAsset.tag_id, func.count()).where(TagAsset.tag_id.in_(page)).group_by(TagAsset.tag_id)
        found |= {row[0]: row[1] for row in session.execute(counted)}
    return found


def tagged_assets(session: Session, *conditions: ColumnElement[bool]) -> list[str]:
    """The assets that hang on tags of this kind."""
    statement = select(TagAsset.asset_id).join(Tag, Tag.id == TagAsset.tag_id).where(*conditions).distinct()
    return list(session.scalars(statement.order_by(TagAsset.asset_id)))


def links_between(session: Session, tag_ids: Collection[str], asset_ids: Collection[str]) -> set[tuple[str, str]]:
    """The (tag, asset) pairs that are linked already."""
    found: set[tuple[str, str]] = set()
    for page in in_pages(asset_ids):
        links = select(TagAsset.tag_id, TagAsset.asset_id).where(
            TagAsset.asset_id.in_(page), TagAsset.tag_id.in_(list(tag_ids))
        )
        found.update((row.tag_id, row.asset_id) for row in session.execute(links))
    return found


def link(session: Session, pairs: Collection[tuple[str, str]]) -> None:
    """Hang assets on tags: (tag, asset)."""
    rows = [{"asset_id": asset_id, "tag_id": tag_id} for tag_id, asset_id in sorted(pairs)]
    upsert(session, TagAsset, rows, key=["asset_id", "tag_id"])


def unlink(session: Session, tag_id: str, asset_ids: Collection[str]) -> None:
    """Take assets off a tag."""
    for page in in_pages(asset_ids):
        session.execute(delete(TagAsset).where(TagAsset.tag_id == tag_id, TagAsset.asset_id.in_(page)))


def lock_tags(session: Session, asset_ids: Collection[str], now: datetime) -> None:
    """Note in the metadata of these assets what they are tagged with now, as something that a person said."""
    for page in in_pages(sorted(asset_ids)):
        values: dict[str, list[str]] = {}
        tagged = select(TagAsset.asset_id, Tag.value).join(Tag, Tag.id == TagAsset.tag_id)
        for row in session.execute(tagged.where(TagAsset.asset_id.in_(page)).order_by(Tag.value)):
            values.setdefault(row.asset_id, []).append(row.value)
        rows = (
            select(AssetExif).where(AssetExif.asset_id.in_(page)).order_by(AssetExif.asset_id)
        )  # as assets are locked
        for exif in session.scalars(rows.with_for_update()):
            exif.tags = values.get(exif.asset_id, [])
            exif.locked_properties = sorted({*exif.locked_properties, "tags"})
            exif.updated_at = now
        session.flush()
