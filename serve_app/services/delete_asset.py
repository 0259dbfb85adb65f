"""Moves assets to the trash, or past it. Files go later, by a job. Source: spec/pipeline.md §3, §4."""

from collections.abc import Sequence

from cluster.db.queries import assets
from cluster.names import JobName
from cluster.queue.job import NewEvent, NewJob, Priority
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_owned


def delete_assets(services: Services, caller: Caller, ids: Sequence[str], force: bool) -> None:
    """All of them or none. `force`: for good, past the trash. Raises BadRequest. Blocks."""
    if not ids:
        return
    with services.database.session(durable=True) as session:
        require_owned(session, caller, ids, "asset.delete")
        assets.set_status(session, ids, assets.DELETED if force else assets.TRASHED, services.clock.now())
        if force:
            services.store.enqueue(session, [empty_trash_job()])
        else:
            services.store.emit(session, [NewEvent("asset_trash", caller.user_id, {"asset_ids": list(ids)})])


def empty_trash_job() -> NewJob:
    """Deletes every asset whose status is `deleted`, of all users: one such job is enough."""
    name = JobName.ASSET_EMPTY_TRASH
    return NewJob(name, priority=Priority.PERSON_WAITS, dedup_key=str(name))
