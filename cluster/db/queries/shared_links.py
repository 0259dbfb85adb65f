"""Shared links: found by what a visitor brings, listed for their owner, and the assets that they name."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.shared_link import SharedLink, SharedLinkAsset
from cluster.db.tables.user import User
from cluster.db.upsert import upsert

ALBUM, INDIVIDUAL = "ALBUM", "INDIVIDUAL"
"""A link's `type`."""


@dataclass(frozen=True, slots=True)
class KnownLink:
    """What a link lets whoever has it do. `album_id` None: it shows its own assets. `password`: its hash."""

    id: str
    user_id: str
    album_id: str | None
    password: str | None
    upload: bool
    download: bool
    metadata: bool


def link_by_key(session: Session, key: str, now: datetime) -> KnownLink | None:
    """None also for a link that has expired, or whose owner is deleted."""
    return _known(session, SharedLink.key == key, now)


def link_by_slug(session: Session, slug: str, now: datetime) -> KnownLink | None:
    """The same by its name."""
    return _known(session, SharedLink.slug == slug, now)


def links_of(
    session: Session, user_id: str, *, link_id: str | None = None, album_id: str | None = None
) -> list[SharedLink]:
    """The user's own, the newest first, also those that have expired."""
    query = select(SharedLink).where(SharedLink.user_id == user_id)
    if link_id is not None:
        query = query.where(SharedLink.id == link_id)
    if album_id is not None:
        query = query.where(SharedLink.album_id == album_id)
    return list(session.scalars(query.order_by(SharedLink.created_at.desc(), SharedLink.id)))


def assets_of(session: Session, link_id: str) -> list[str]:
    """The ids of all that the link names, whatever became of it."""
    return list(session.scalars(select(SharedLinkAsset.asset_id).where(SharedLinkAsset.link_id == link_id)))


def links_with(session: Session, user_id: str, asset_id: str) -> list[str]:
    """The ids of the user's links that name this asset."""
    named = select(SharedLinkAsset.link_id).join(SharedLink, SharedLink.id == SharedLinkAsset.link_id)
    return list(session.scalars(named.where(SharedLinkAsset.asset_id == asset_id, SharedLink.user_id == user_id)))


def albums_with_link(session: Session, album_ids: Collection[str]) -> set[str]:
    """Of these albums, those that a link shows."""
    found: set[str] = set()
    for page in in_pages(album_ids):
        found.update(
            one for one in session.scalars(select(SharedLink.album_id).where(SharedLink.album_id.in_(page))) if one
        )
    return found


def add_to_link(session: Session, link_id: str, asset_ids: Collection[str]) -> None:
    rows = [{"link_id": link_id, "asset_id": asset_id} for asset_id in dict.fromkeys(asset_ids)]
    upsert(session, SharedLinkAsset, rows, key=["link_id", "asset_id"])


def remove_from_link(session: Session, link_id: str, asset_ids: Collection[str]) -> None:
    for page in in_pages(asset_ids):
        session.execute(
            delete(SharedLinkAsset)
            .where(SharedLinkAsset.link_id == link_id, SharedLinkAsset.asset_id.in_(page))
            .execution_options(synchronize_session=False)
        )


def _known(session: Session, given: ColumnElement[bool], now: datetime) -> KnownLink | None:
    row = session.execute(
        select(
            *(SharedLink.id, SharedLink.user_id, SharedLink.album_id, SharedLink.password),
            *(SharedLink.allow_upload, SharedLink.allow_download, SharedLink.show_metadata, SharedLink.expires_at),
        )
        .join(User, User.id == SharedLink.user_id)
        .where(given, User.deleted_at.is_(None))
    ).one_or_none()
    if row is None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return KnownLink(*row[:7])
