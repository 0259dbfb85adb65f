"""What moving assets into the locked folder takes with it: they are in no album and no stack any more, and nobody is
shown by a face in them. What only an unlocked session may see must not shine through anywhere else."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from cluster.db.queries import albums, people, stacks
from cluster.db.tables.album import Album
from cluster.queue.job import NewEvent
from serve_app.deps import Services
from serve_app.services.albums import tell_members
from serve_app.services.people import choose_faces
from tasks.jobs.delete_files import delete_files


def lock_away(services: Services, session: Session, owner_id: str, ids: Sequence[str]) -> None:
    """These assets of the owner are locked from now on; their `visibility` says so already."""
    session.flush()
    now = services.clock.now()
    for album_id in sorted(albums.leave_albums(session, ids)):
        album = session.get_one(Album, album_id)
        if album.thumbnail_asset_id in ids:
            album.thumbnail_asset_id = None
        album.updated_at = now
        session.flush()
        tell_members(services, session, album)
    if stacks.leave_stacks(session, ids, now):
        services.store.emit(session, [NewEvent("stack_update", owner_id, {})])
    if shown := people.shown_in(session, ids):
        if pictures := people.hide_pictures(session, shown):
            services.store.enqueue(session, [delete_files(pictures)])
        choose_faces(services, session, sorted(shown))
