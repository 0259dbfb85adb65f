"""Likes and comments of albums and of assets in them. What is put away, and who is deleted, says nothing."""

from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlalchemy.orm import Session

from cluster.db.queries.albums import shown
from cluster.db.tables.activity import Activity
from cluster.db.tables.asset import Asset
from cluster.db.tables.user import User


def activities_of(
    session: Session,
    album_id: str,
    *,
    asset_id: str | None = None,
    of_album: bool = False,
    user_id: str | None = None,
    liked: bool | None = None,
) -> list[tuple[Activity, User]]:
    """The oldest first. `of_album`: of the album itself alone."""
    query = _said(select(Activity, User), album_id, asset_id)
    if of_album:
        query = query.where(Activity.asset_id.is_(None))
    if user_id is not None:
        query = query.where(Activity.user_id == user_id)
    if liked is not None:
        query = query.where(Activity.is_liked.is_(liked))
    rows = session.execute(query.order_by(Activity.created_at, Activity.id))
    return [(row[0], row[1]) for row in rows]


def count_activities(session: Session, album_id: str, asset_id: str | None) -> tuple[int, int]:
    """(comments, likes) of this asset, or (None) of the album and all that is in it."""
    counted = _said(select(Activity.is_liked, func.count()), album_id, asset_id).group_by(Activity.is_liked)
    found = {bool(row[0]): row[1] for row in session.execute(counted)}
    return found.get(False, 0), found.get(True, 0)


def like_of(session: Session, album_id: str, asset_id: str | None, user_id: str) -> Activity | None:
    same: ColumnElement[bool] = Activity.asset_id.is_(None) if asset_id is None else Activity.asset_id == asset_id
    mine = (Activity.album_id == album_id, Activity.user_id == user_id, Activity.is_liked)
    return session.scalar(select(Activity).where(same, *mine))


def _said(query: Select[*tuple[Any, ...]], album_id: str, asset_id: str | None) -> Select[*tuple[Any, ...]]:
    joined = (
        query.join_from(Activity, User, User.id == Activity.user_id)
        .outerjoin(Asset, Asset.id == Activity.asset_id)
        .where(Activity.album_id == album_id, User.deleted_at.is_(None))
        .where(or_(Activity.asset_id.is_(None), and_(*shown())))
    )
    return joined if asset_id is None else joined.where(Activity.asset_id == asset_id)
