"""Gives an asset what people made of another one: its albums, links, stack, sidecar, and that they like it.

Source: spec/pipeline.md §6, spec/openapi.json.
"""

import uuid
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.db.queries import assets, shared_links, stacks
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.upsert import upsert
from cluster.errors import BadRequest
from cluster.names import JobName
from cluster.queue.job import NewEvent, Priority, asset_job
from cluster.storage.files import write_atomically
from serve_app.deps import Caller, Services
from serve_app.services.album_assets import join_albums
from serve_app.services.get_asset import no_access
from serve_app.services.serve_media import within
from tasks.media.sidecar import sidecar_to_write


class Copied(StrEnum):
    """What may be copied."""

    ALBUMS = "albums"
    FAVORITE = "favorite"
    SHARED_LINKS = "shared_links"
    SIDECAR = "sidecar"
    STACK = "stack"


def copy_asset_details(
    services: Services, caller: Caller, source_id: str, target_id: str, what: Collection[Copied]
) -> None:
    """Raises BadRequest. Blocks."""
    if source_id == target_id:
        raise BadRequest("Source and target id must be distinct")
    with services.database.session(durable=True) as session:
        found = assets.owned_assets(session, caller.user_id, [source_id, target_id], with_locked=caller.elevated)
        both = {asset.id: asset for asset, _ in found}
        if len(both) < 2:
            raise no_access("asset.copy")
        _copy(services, session, caller, both[source_id], both[target_id], what)


def _copy(
    services: Services, session: Session, caller: Caller, source: Asset, target: Asset, what: Collection[Copied]
) -> None:
    now = services.clock.now()
    if Copied.FAVORITE in what:
        target.is_favorite = source.is_favorite
    target.updated_at = now
    session.flush()
    locked = assets.LOCKED in (source.visibility, target.visibility)  # what is locked is in nothing that others see
    if Copied.ALBUMS in what and not locked:
        join_albums(services, session, caller, target.id, [source.id])
    if Copied.SHARED_LINKS in what and not locked:
        for link_id in shared_links.links_with(session, caller.user_id, source.id):
            shared_links.add_to_link(session, link_id, [target.id])
    if Copied.STACK in what and source.stack_id is not None and not locked:
        _join_stack(services, session, source, target)
    if Copied.SIDECAR in what:
        _copy_sidecar(services, session, source.id, target)


def _join_stack(services: Services, session: Session, source: Asset, target: Asset) -> None:
    """With the whole of its own stack, where it has one."""
    if target.stack_id == source.stack_id:
        return
    left = [target.stack_id] if target.stack_id is not None else []
    members = stacks.member_ids(session, left) or [target.id]
    stacks.put_in_stack(session, source.stack_id, members, services.clock.now())
    stacks.delete_stacks(session, left)
    services.store.emit(session, [NewEvent("stack_update", source.owner_id, {})])


def _copy_sidecar(services: Services, session: Session, source_id: str, target: Asset) -> None:
    """It lies beside the target's original, and is read like any other. Where it cannot, nothing is copied."""
    files = select(AssetFile.path).where(AssetFile.type == "sidecar")
    source = session.scalar(files.where(AssetFile.asset_id == source_id))
    if source is None or not within(Path(source), services.layout.media_root, ()) or not Path(source).is_file():
        return
    linked = session.scalar(files.where(AssetFile.asset_id == target.id))
    path = sidecar_to_write(Path(target.original_path), None if linked is None else Path(linked))
    if not within(path, services.layout.media_root, ()):
        return
    write_atomically(path, Path(source).read_bytes(), durable=True)
    now = services.clock.now()
    row = {"id": str(uuid.uuid4()), "asset_id": target.id, "type": "sidecar", "path": str(path), "is_edited": False}
    times = {"created_at": now, "updated_at": now, "is_progressive": False, "is_transparent": False}
    keep = ["id", "created_at"]
    upsert(session, AssetFile, [{**row, **times}], key=["asset_id", "type", "is_edited"], keep=keep)
    services.store.enqueue(
        session, [asset_job(JobName.ASSET_EXTRACT_METADATA, target.id, priority=Priority.PERSON_WAITS)]
    )
