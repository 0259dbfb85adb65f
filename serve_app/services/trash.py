"""Empties the trash, or takes assets out of it. Source: spec/pipeline.md §3."""

from collections.abc import Sequence

from cluster.db.queries import assets
from cluster.queue.job import NewEvent
from serve_app.deps import Caller, Services
from serve_app.services.delete_asset import empty_trash_job
from serve_app.services.get_asset import require_owned


def empty_trash(services: Services, caller: Caller) -> int:
    """Everything that the caller sees of their trash goes for good; returns how many. Blocks."""
    with services.database.session(durable=True) as session:
        ids = assets.trashed_ids(session, caller.user_id, with_locked=caller.elevated)
        if ids:
            assets.set_status(session, ids, assets.DELETED, services.clock.now())
            services.store.enqueue(session, [empty_trash_job()])
    return len(ids)


def restore_trash(services: Services, caller: Caller) -> int:
    """Everything that the caller sees of their trash is back; returns how many. Blocks."""
    with services.database.session(durable=True) as session:
        ids = assets.trashed_ids(session, caller.user_id, with_locked=caller.elevated)
        assets.set_status(session, ids, assets.ACTIVE, services.clock.now())
    return len(ids)


def restore_assets(services: Services, caller: Caller, ids: Sequence[str]) -> int:
    """These are back; returns how many were asked for, in the trash or not. Raises BadRequest. Blocks."""
    if not ids:
        return 0
    with services.database.session(durable=True) as session:
        require_owned(session, caller, ids, "asset.delete")
        trashed = assets.trashed_ids(session, caller.user_id, ids, with_locked=caller.elevated)
        assets.set_status(session, trashed, assets.ACTIVE, services.clock.now())
        services.store.emit(session, [NewEvent("asset_restore", caller.user_id, {"asset_ids": list(ids)})])
    return len(ids)
