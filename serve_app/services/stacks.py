"""Stacks: made, shown, led by another asset, dissolved. All of a stack belongs to one user."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from cluster.db.queries import stacks
from cluster.db.queries.asset_details import AssetDetails
from cluster.db.tables.asset import Asset
from cluster.db.tables.stack import Stack
from cluster.errors import BadRequest
from cluster.queue.job import NewEvent
from serve_app.deps import Services
from serve_app.services.get_asset import SeenAsset, no_access, require_unlocked


@dataclass(frozen=True, slots=True)
class SeenStack:
    """A stack and what it shows, its primary asset first."""

    stack_id: str
    primary_asset_id: str
    assets: list[SeenAsset]


def list_stacks(services: Services, user_id: str, primary_asset_id: str | None) -> list[SeenStack]:
    """The user's, or the one that this asset leads. Blocks."""
    with services.database.reader() as session:
        return _seen(session, stacks.stacks_of(session, user_id, primary_asset_id=primary_asset_id))


def get_stack(services: Services, user_id: str, stack_id: str) -> SeenStack:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        return _seen(session, [_required(session, user_id, stack_id, "stack.read")])[0]


def create_stack(services: Services, user_id: str, asset_ids: Sequence[str]) -> SeenStack:
    """The first asset leads. A stack that one of them led joins as a whole; others are left by theirs.
    Raises BadRequest. Blocks."""
    ids = list(dict.fromkeys(asset_ids))
    if len(ids) < 2:
        raise BadRequest("A stack takes at least two assets")
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        require_unlocked(session, user_id, ids, "asset.update")
        led = stacks.stacks_led_by(session, ids)
        members = list(dict.fromkeys([*ids, *stacks.member_ids(session, led)]))
        left = stacks.stacks_with(session, members)
        stacks.put_in_stack(session, None, members, now)
        stacks.delete_stacks(session, [*led, *stacks.shrunken_stacks(session, sorted(left.difference(led)))])
        made = Stack(id=str(uuid.uuid4()), owner_id=user_id, primary_asset_id=ids[0], created_at=now, updated_at=now)
        session.add(made)
        session.flush()
        stacks.put_in_stack(session, made.id, members, now)
        _tell(services, session, user_id)
        return _seen(session, [made])[0]


def lead_stack(services: Services, user_id: str, stack_id: str, primary_asset_id: str | None) -> SeenStack:
    """None: as before. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        stack = _required(session, user_id, stack_id, "stack.update")
        if primary_asset_id is not None:
            if primary_asset_id not in stacks.member_ids(session, [stack_id]):
                raise BadRequest("Primary asset must be in the stack")
            stack.primary_asset_id, stack.updated_at = primary_asset_id, services.clock.now()
            session.flush()
        _tell(services, session, user_id)
        return _seen(session, [stack])[0]


def leave_stack(services: Services, user_id: str, stack_id: str, asset_id: str) -> None:
    """The asset stands alone again. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        stack = _required(session, user_id, stack_id, "stack.update")
        asset = session.get(Asset, asset_id)
        if asset is None or asset.stack_id != stack_id:
            raise BadRequest("Asset not in stack")
        if asset_id == stack.primary_asset_id:
            raise BadRequest("Cannot remove the stack's primary asset")
        stacks.put_in_stack(session, None, [asset_id], services.clock.now())
        if stacks.shrunken_stacks(session, [stack_id]):
            stacks.delete_stacks(session, [stack_id])
        _tell(services, session, user_id)


def dissolve_stacks(services: Services, user_id: str, ids: Sequence[str]) -> None:
    """Their assets stand alone again. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        if len(stacks.owned_stack_ids(session, user_id, ids)) < len(set(ids)):
            raise no_access("stack.delete")
        stacks.put_in_stack(session, None, stacks.member_ids(session, ids), services.clock.now())
        stacks.delete_stacks(session, ids)
        if ids:
            _tell(services, session, user_id)


def _required(session: Session, user_id: str, stack_id: str, permission: str) -> Stack:
    stack = stacks.stack_of(session, user_id, stack_id)
    if stack is None:
        raise no_access(permission)
    return stack


def _tell(services: Services, session: Session, user_id: str) -> None:
    services.store.emit(session, [NewEvent("stack_update", user_id, {})])


def _seen(session: Session, found: Sequence[Stack]) -> list[SeenStack]:
    members = stacks.members_of(session, [stack.id for stack in found])
    return [SeenStack(stack.id, stack.primary_asset_id, _in_order(stack, members[stack.id])) for stack in found]


def _in_order(stack: Stack, members: Sequence[stacks.Member]) -> list[SeenAsset]:
    ordered = sorted(members, key=lambda member: member[0].id != stack.primary_asset_id)
    return [SeenAsset(asset, exif, AssetDetails(), own=True) for asset, exif in ordered]
