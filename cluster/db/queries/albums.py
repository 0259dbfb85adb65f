"""Albums: what is in them, and who is a member.

An album is its owner's; others see it by a row of `album_user`. What is deleted, hidden or locked is in no album that
anybody looks at.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, exists, func, or_, select
from sqlalchemy.orm import Session

from cluster.db.queries.access import OWNER, visible_albums
from cluster.db.queries.assets import ARCHIVE, TIMELINE, in_pages
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset
from cluster.db.tables.shared_link import SharedLink
from cluster.db.tables.user import User
from cluster.db.upsert import upsert


@dataclass(frozen=True, slots=True)
class Contents:
    """What an album shows. `first`, `last`: local times of its oldest and newest asset."""

    count: int
    first: datetime
    last: datetime
    changed_at: datetime


def list_albums(
    session: Session,
    user_id: str,
    *,
    album_id: str | None = None,
    name: str | None = None,
    owned: bool | None = None,
    shared: bool | None = None,
    asset_id: str | None = None,
) -> list[Album]:
    """Newest first. `shared`: whether somebody other than the owner sees it, or a link shows it. `asset_id` outweighs
    the others."""
    query = select(Album).where(Album.id.in_(visible_albums(user_id)))
    if asset_id is not None:
        query = query.where(Album.id.in_(select(AlbumAsset.album_id).where(AlbumAsset.asset_id == asset_id)))
    else:
        query = query.where(*_wanted(user_id, album_id, name, owned, shared))
    return list(session.scalars(query.order_by(Album.created_at.desc(), Album.id)))


def _wanted(
    user_id: str, album_id: str | None, name: str | None, owned: bool | None, shared: bool | None
) -> Iterable[ColumnElement[bool]]:
    if album_id is not None:
        yield Album.id == album_id
    if name is not None:
        yield Album.name == name
    if owned is not None:
        yield Album.owner_id == user_id if owned else Album.owner_id != user_id
    if shared is not None:
        yield _is_shared() if shared else ~_is_shared()


def _is_shared() -> ColumnElement[bool]:
    return or_(exists().where(AlbumUser.album_id == Album.id), exists().where(SharedLink.album_id == Album.id))


def count_albums(session: Session, user_id: str) -> tuple[int, int, int]:
    """(owned, shared with or by the user, owned and not shared)."""
    rows = session.execute(select(Album.owner_id, _is_shared()).where(Album.id.in_(visible_albums(user_id)))).all()
    mine = [shared for owner, shared in rows if owner == user_id]
    return len(mine), sum(shared for _, shared in rows), mine.count(False)


def members_of(session: Session, album_ids: Collection[str]) -> dict[str, list[tuple[User, str]]]:
    """Per album (user, role): the owner first, the others by name."""
    found: dict[str, list[tuple[User, str]]] = {}
    for page in in_pages(album_ids):
        owners = select(Album.id, User).join(User, User.id == Album.owner_id).where(Album.id.in_(page))
        for album_id, user in session.execute(owners):
            found[album_id] = [(user, OWNER)]
        others = (
            select(AlbumUser.album_id, User, AlbumUser.role)
            .join(User, User.id == AlbumUser.user_id)
            .where(AlbumUser.album_id.in_(page), User.deleted_at.is_(None))
            .order_by(User.name, User.id)
        )
        for album_id, user, role in session.execute(others):
            found[album_id].append((user, role))
    return found


def contents_of(session: Session, album_ids: Collection[str]) -> dict[str, Contents]:
    """What the albums show; empty ones are left out."""
    found: dict[str, Contents] = {}
    for page in in_pages(album_ids):
        counted = (
            select(
                AlbumAsset.album_id,
                func.count(),
                func.min(Asset.local_date_time),
                func.max(Asset.local_date_time),
                func.max(Asset.updated_at),
            )
            .join(Asset, Asset.id == AlbumAsset.asset_id)
            .where(AlbumAsset.album_id.in_(page), *shown())
            .group_by(AlbumAsset.album_id)
        )
        found |= {row[0]: Contents(*row[1:]) for row in session.execute(counted)}
    return found


def contributors_of(session: Session, album_id: str) -> list[tuple[str, int]]:
    """(user, number of their assets), the most first."""
    count = func.count()
    counted = (
        select(Asset.owner_id, count)
        .join(AlbumAsset, AlbumAsset.asset_id == Asset.id)
        .where(AlbumAsset.album_id == album_id, *shown())
        .group_by(Asset.owner_id)
        .order_by(count.desc(), Asset.owner_id)
    )
    return [(row[0], row[1]) for row in session.execute(counted)]


def newest_asset(session: Session, album_id: str) -> str | None:
    """What stands for an album that has no picture of its own."""
    newest = (
        select(Asset.id)
        .join(AlbumAsset, AlbumAsset.asset_id == Asset.id)
        .where(AlbumAsset.album_id == album_id, *shown())
        .order_by(Asset.local_date_time.desc(), Asset.id)
    )
    return session.scalar(newest.limit(1))


def shown() -> tuple[ColumnElement[bool], ...]:
    """Of an album's assets, those that people see."""
    return Asset.deleted_at.is_(None), Asset.visibility.in_([TIMELINE, ARCHIVE])


def ids_in_album(session: Session, album_id: str, ids: Collection[str]) -> set[str]:
    """Of these assets, those that are in the album."""
    found: set[str] = set()
    for page in in_pages(ids):
        inside = select(AlbumAsset.asset_id).where(AlbumAsset.album_id == album_id, AlbumAsset.asset_id.in_(page))
        found.update(session.scalars(inside))
    return found


def albums_with(session: Session, ids: Collection[str]) -> dict[str, set[str]]:
    """Which of these assets are in each album that has any."""
    found: dict[str, set[str]] = {}
    for page in in_pages(ids):
        for row in session.execute(select(AlbumAsset).where(AlbumAsset.asset_id.in_(page))).scalars():
            found.setdefault(row.album_id, set()).add(row.asset_id)
    return found


def add_to_album(session: Session, album_id: str, ids: Sequence[str], at: datetime) -> None:
    """What is there already stays as it is."""
    rows = [{"album_id": album_id, "asset_id": asset_id, "created_at": at} for asset_id in ids]
    upsert(session, AlbumAsset, rows, key=["album_id", "asset_id"], keep=["created_at"])


def leave_albums(session: Session, ids: Collection[str]) -> set[str]:
    """These assets are in no album any more; returns the albums that had one."""
    left = albums_with(session, ids)
    for page in in_pages(ids):
        session.execute(
            delete(AlbumAsset).where(AlbumAsset.asset_id.in_(page)).execution_options(synchronize_session=False)
        )
    return set(left)


def remove_from_album(session: Session, album_id: str, ids: Collection[str]) -> None:
    for page in in_pages(ids):
        session.execute(
            delete(AlbumAsset)
            .where(AlbumAsset.album_id == album_id, AlbumAsset.asset_id.in_(page))
            .execution_options(synchronize_session=False)
        )
