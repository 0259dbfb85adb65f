"""Who may see which assets and albums: the one place that decides it.

An asset is shown to its owner, to those who see an album with it, and to partners of its owner while it is on the
timeline. Who comes by a shared link sees what is in it and nothing else. What is locked, and what is in the trash, is
shown to its owner alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.orm import Session

from cluster.db.dialects import unindexed
from cluster.db.queries.assets import ARCHIVE, TIMELINE, in_pages, owned_ids, unlocked
from cluster.db.queries.partners import sharing_with
from cluster.db.queries.shared_links import KnownLink
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset
from cluster.db.tables.shared_link import SharedLinkAsset

OWNER, EDITOR, VIEWER = "owner", "editor", "viewer"
"""What somebody is to an album; the owner stands in the album itself."""

VISITOR = "visitor"
"""The same of who comes by a link."""


class Viewer(Protocol):
    """Who wants to see something. `elevated`: also what they have locked. `link`: they have come by this link of the
    user's, and see what it shows."""

    @property
    def user_id(self) -> str: ...

    @property
    def elevated(self) -> bool: ...

    @property
    def link(self) -> KnownLink | None: ...


@dataclass(frozen=True, slots=True)
class Account:
    """A user, wherever they are signed in."""

    user_id: str
    elevated: bool = False
    link: KnownLink | None = None


def visible_albums(user_id: str) -> Select[str]:
    """The ids of albums that the user owns or that are shared with them."""
    shared = select(AlbumUser.album_id).where(AlbumUser.user_id == user_id)
    mine = or_(Album.owner_id == user_id, Album.id.in_(shared))
    return select(Album.id).where(Album.deleted_at.is_(None), mine)


def album_for(session: Session, viewer: Viewer, album_id: str) -> tuple[Album, str] | None:
    """The album and what the viewer is to it; None when they may not see it."""
    album = session.get(Album, album_id)
    if album is None or album.deleted_at is not None:
        return None
    if viewer.link is not None:
        return (album, VISITOR) if viewer.link.album_id == album_id else None
    if album.owner_id == viewer.user_id:
        return album, OWNER
    member = session.get(AlbumUser, (album_id, viewer.user_id))
    return None if member is None else (album, member.role)


def visible_album_ids(session: Session, viewer: Viewer, ids: Collection[str]) -> set[str]:
    """Of these albums, those that the viewer may see."""
    if viewer.link is not None:
        return {one for one in ids if album_for(session, viewer, one) is not None}
    found: set[str] = set()
    for page in in_pages(ids):
        found.update(session.scalars(visible_albums(viewer.user_id).where(Album.id.in_(page))))
    return found


def readable_ids(session: Session, viewer: Viewer, ids: Collection[str]) -> set[str]:
    """Of these assets, those that the viewer may see: their own, and what others show them."""
    if viewer.link is not None:
        return shared_ids(session, viewer, ids)
    found = owned_ids(session, viewer.user_id, ids, with_locked=viewer.elevated)
    rest = [one for one in ids if one not in found]
    return found | shared_ids(session, viewer, rest) if rest else found


def shared_ids(session: Session, viewer: Viewer, ids: Collection[str]) -> set[str]:
    """Of these assets, those that albums, partners or a link show the viewer, whoever's they are."""
    if viewer.link is not None:
        return ids_in_link(session, viewer.link, ids)
    return _shown(session, [_in_albums(viewer.user_id), _of_partners(viewer.user_id)], ids)


def ids_in_link(session: Session, link: KnownLink, ids: Collection[str]) -> set[str]:
    """Of these assets, those that the link shows."""
    return _shown(session, [in_link(link, of_few=True)], ids)


def givable_ids(session: Session, user_id: str, ids: Collection[str]) -> set[str]:
    """Of these assets, those that the user may put into an album or a link: their own, and what partners show them."""
    found = owned_ids(session, user_id, ids)
    rest = [one for one in ids if one not in found]
    return found | _shown(session, [_of_partners(user_id)], rest) if rest else found


def in_link(link: KnownLink, *, of_few: bool = False) -> Select[str]:
    """The ids of what a link shows. What it names by itself must still be the owner's, or a partner must show it.
    `of_few`: it is asked for some assets, and should not walk through all of its own."""
    album_id, link_id = AlbumAsset.album_id, SharedLinkAsset.link_id
    seen = select(Asset.id).where(Asset.deleted_at.is_(None), unindexed(Asset.visibility).in_([TIMELINE, ARCHIVE]))
    if link.album_id is not None:
        inside = seen.join(AlbumAsset, AlbumAsset.asset_id == Asset.id).join(Album, Album.id == AlbumAsset.album_id)
        return inside.where((unindexed(album_id) if of_few else album_id) == link.album_id, Album.deleted_at.is_(None))
    of_partner = and_(Asset.owner_id.in_(sharing_with(link.user_id)), Asset.visibility == TIMELINE)
    named = seen.join(SharedLinkAsset, SharedLinkAsset.asset_id == Asset.id)
    theirs = or_(unindexed(Asset.owner_id) == link.user_id, of_partner)
    return named.where((unindexed(link_id) if of_few else link_id) == link.id, theirs)


def _in_albums(user_id: str) -> Select[str]:
    return (
        select(Asset.id)
        .join(AlbumAsset, AlbumAsset.asset_id == Asset.id)
        .where(
            unindexed(AlbumAsset.album_id).in_(visible_albums(user_id)),  # few are asked for, and albums have many
            Asset.deleted_at.is_(None),
            unlocked(),
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
    return set(session.scalars(select(Asset.id).where(Asset.id.in_(list(session.scalars(parts))), unlocked())))
