"""Who may see which assets and albums: the one place that decides it.

An asset is shown to its owner, to those who see an album with it, and to partners of its owner while it is on the
timeline. What is locked is shown through nothing but to its owner; what is in the trash, to its owner alone.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from cluster.db.dialects import unindexed
from cluster.db.queries.assets import LOCKED, TIMELINE, in_pages, owned_ids
from cluster.db.queries.partners import sharing_with
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset

OWNER, EDITOR, VIEWER = "owner", "editor", "viewer"
"""What somebody is to an album; the owner stands in the album itself."""


def visible_albums(user_id: str) -> Select[str]:
    """The ids of albums that the user owns or that are shared with them."""
    shared = select(AlbumUser.album_id).where(AlbumUser.user_id == user_id)
    mine = or_(Album.owner_id == user_id, Album.id.in_(shared))
    return select(Album.id).where(Album.deleted_at.is_(None), mine)


def album_for(session: Session, user_id: str, album_id: str) -> tuple[Album, str] | None:
    """The album and what the user is to it; None when they may not see it."""
    album = session.get(Album, album_id)
    if album is None or album.deleted_at is not None:
        return None
    if album.owner_id == user_id:
        return album, OWNER
    member = session.get(AlbumUser, (album_id, user_id))
    return None if member is None else (album, member.role)


def visible_album_ids(session: Session, user_id: str, ids: Collection[str]) -> set[str]:
    """Of these albums, those that the user may see."""
    found: set[str] = set()
    for page in in_pages(ids):
        found.update(session.scalars(visible_albums(user_id).where(Album.id.in_(page))))
    return found


def readable_ids(session: Session, user_id: str, ids: Collection[str], *, with_locked: bool = False) -> set[str]:
    """Of these assets, those that the user may see: their own, and what others show them."""
    found = owned_ids(session, user_id, ids, with_locked=with_locked)
    rest = [one for one in ids if one not in found]
    return found | shared_ids(session, user_id, rest) if rest else found


def shared_ids(session: Session, user_id: str, ids: Collection[str]) -> set[str]:
    """Of these assets, those that albums and partners show the user, whoever's they are."""
    return _shown(session, [_in_albums(user_id), _of_partners(user_id)], ids)


def givable_ids(session: Session, user_id: str, ids: Collection[str]) -> set[str]:
    """Of these assets, those that the user may put into an album or a link: their own, and what partners show them."""
    found = owned_ids(session, user_id, ids)
    rest = [one for one in ids if one not in found]
    return found | _shown(session, [_of_partners(user_id)], rest) if rest else found


def _in_albums(user_id: str) -> Select[str]:
    return (
        select(Asset.id)
        .join(AlbumAsset, AlbumAsset.asset_id == Asset.id)
        .where(
            unindexed(AlbumAsset.album_id).in_(visible_albums(user_id)),  # few are asked for, and albums have many
            Asset.deleted_at.is_(None),
            Asset.visibility != LOCKED,
        )
    )


def _of_partners(user_id: str) -> Select[str]:
    return select(Asset.id).where(
        unindexed(Asset.owner_id).in_(sharing_with(user_id)),
        Asset.deleted_at.is_(None),
        unindexed(Asset.visibility) == TIMELINE,
    )


def _shown(session: Session, ways: Sequence[Select[str]], ids: Collection[str]) -> set[str]:
    """Of these assets, those that one of `ways` selects, and the moving parts of photos that it selects."""
    found: set[str] = set()
    for page in in_pages(ids):
        rest = set(page)
        for seen in ways:
            rest.difference_update(session.scalars(seen.where(Asset.id.in_(rest))) if rest else ())
        for seen in ways:
            rest.difference_update(_moving(session, seen, rest) if rest else ())
        found.update(one for one in page if one not in rest)
    return found


def _moving(session: Session, seen: Select[str], ids: Collection[str]) -> set[str]:
    parts = seen.with_only_columns(Asset.live_photo_video_id).where(Asset.live_photo_video_id.in_(ids))
    unlocked = select(Asset.id).where(Asset.id.in_(list(session.scalars(parts))), Asset.visibility != LOCKED)
    return set(session.scalars(unlocked))
