"""Likes and comments of albums: said by who sees the album, while its owner lets them. Source: spec/openapi.json."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.db.queries import activities, albums, assets
from cluster.db.tables.activity import Activity
from cluster.db.tables.album import Album
from cluster.db.tables.user import User
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.albums import require_album
from serve_app.services.get_asset import no_access


@dataclass(frozen=True, slots=True)
class Said:
    """`comment` None: a like. `asset_id` None: of the album itself."""

    album_id: str
    asset_id: str | None
    comment: str | None


def list_activities(
    services: Services,
    caller: Caller,
    album_id: str,
    *,
    asset_id: str | None,
    of_album: bool,
    user_id: str | None,
    liked: bool | None,
) -> Sequence[tuple[Activity, User]]:
    """As `queries.activities.activities_of`. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_album(session, caller, album_id, "album.read")
        return activities.activities_of(
            session, album_id, asset_id=asset_id, of_album=of_album, user_id=user_id, liked=liked
        )


def count_activities(services: Services, caller: Caller, album_id: str, asset_id: str | None) -> tuple[int, int]:
    """(comments, likes). Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_album(session, caller, album_id, "album.read")
        return activities.count_activities(session, album_id, asset_id)


def create_activity(services: Services, caller: Caller, said: Said) -> tuple[Activity, User]:
    """A second like is the first. Raises BadRequest. Blocks."""
    try:
        return _create(services, caller, said)
    except IntegrityError:  # liked at the same time, or the asset has just left the album
        return _create(services, caller, said)


def _create(services: Services, caller: Caller, said: Said) -> tuple[Activity, User]:
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        album = require_album(session, caller, said.album_id, "activity.create")
        if not album.is_activity_enabled:
            raise no_access("activity.create")
        _require_shown(session, said)
        user = session.get_one(User, caller.user_id)
        liked = said.comment is None
        known = activities.like_of(session, said.album_id, said.asset_id, user.id) if liked else None
        if known is not None:
            return known, user
        made = Activity(
            id=str(uuid.uuid4()),
            album_id=said.album_id,
            asset_id=said.asset_id,
            user_id=user.id,
            is_liked=liked,
            comment=said.comment,
            created_at=now,
            updated_at=now,
        )
        session.add(made)
        session.flush()
        return made, user


def delete_activity(services: Services, caller: Caller, activity_id: str) -> None:
    """By who said it, or by the album's owner. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        found = session.get(Activity, activity_id)
        if found is None:
            raise no_access("activity.delete")
        if caller.user_id not in (found.user_id, session.get_one(Album, found.album_id).owner_id):
            raise no_access("activity.delete")
        session.delete(found)


def _require_shown(session: Session, said: Said) -> None:
    if said.asset_id is None:
        return
    inside = albums.ids_in_album(session, said.album_id, [said.asset_id])
    if not assets.ids_where(session, inside, albums.shown()):
        raise BadRequest("Asset not found in album")
