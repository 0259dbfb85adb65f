"""Stacks: several assets that the timeline shows as one, by their primary."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages, lock_rows
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.stack import Stack

Member = tuple[Asset, AssetExif | None]


@dataclass(frozen=True, slots=True)
class StackFacts:
    """What an asset says of its stack."""

    stack_id: str
    primary_asset_id: str
    count: int


def facts_of(session: Session, stack_ids: Collection[str]) -> dict[str, StackFacts]:
    """By id; assets in the trash are not counted."""
    found: dict[str, StackFacts] = {}
    for page in in_pages(stack_ids):
        counted = (
            select(Stack.id, Stack.primary_asset_id, func.count(Asset.id))
            .join(Asset, Asset.stack_id == Stack.id)
            .where(Stack.id.in_(page), Asset.deleted_at.is_(None))
            .group_by(Stack.id, Stack.primary_asset_id)
        )
        found |= {row[0]: StackFacts(*row) for row in session.execute(counted)}
    return found


def stack_of(session: Session, owner_id: str, stack_id: str) -> Stack | None:
    return session.scalar(select(Stack).where(Stack.id == stack_id, Stack.owner_id == owner_id))


def stacks_of(session: Session, owner_id: str, *, primary_asset_id: str | None = None) -> list[Stack]:
    """In the order in which they were made."""
    query = select(Stack).where(Stack.owner_id == owner_id).order_by(Stack.created_at, Stack.id)
    if primary_asset_id is not None:
        query = query.where(Stack.primary_asset_id == primary_asset_id)
    return list(session.scalars(query))


def owned_stack_ids(session: Session, owner_id: str, ids: Collection[str]) -> set[str]:
    """Of these stacks, the user's."""
    found: set[str] = set()
    for page in in_pages(ids):
        found.update(session.scalars(select(Stack.id).where(Stack.id.in_(page), Stack.owner_id == owner_id)))
    return found


def members_of(session: Session, stack_ids: Collection[str]) -> dict[str, list[Member]]:
    """Per stack what it shows, in the order in which it was taken."""
    found: dict[str, list[Member]] = {stack_id: [] for stack_id in stack_ids}
    for page in in_pages(stack_ids):
        rows = session.execute(
            select(Asset, AssetExif)
            .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
            .where(Asset.stack_id.in_(page), Asset.deleted_at.is_(None))
            .order_by(Asset.file_created_at, Asset.id)
        )
        for asset, exif in rows:
            found[str(asset.stack_id)].append((asset, exif))
    return found


def stacks_led_by(session: Session, asset_ids: Collection[str]) -> list[str]:
    """The stacks whose primary is one of these assets."""
    return [
        stack_id
        for page in in_pages(asset_ids)
        for stack_id in session.scalars(select(Stack.id).where(Stack.primary_asset_id.in_(page)))
    ]


def stacks_with(session: Session, asset_ids: Collection[str]) -> set[str]:
    """The stacks that any of these assets is in."""
    found: set[str] = set()
    for page in in_pages(asset_ids):
        stacked = select(Asset.stack_id).where(Asset.id.in_(page), Asset.stack_id.is_not(None))
        found.update(stack_id for stack_id in session.scalars(stacked) if stack_id is not None)
    return found


def member_ids(session: Session, stack_ids: Collection[str]) -> list[str]:
    """Everything in these stacks, the trash included."""
    return [
        asset_id
        for page in in_pages(stack_ids)
        for asset_id in session.scalars(select(Asset.id).where(Asset.stack_id.in_(page)).order_by(Asset.id))
    ]


def put_in_stack(session: Session, stack_id: str | None, asset_ids: Sequence[str], at: datetime) -> None:
    """None: out of whichever they are in."""
    lock_rows(session, asset_ids)
    for page in in_pages(asset_ids):
        session.execute(
            update(Asset)
            .where(Asset.id.in_(page))
            .values(stack_id=stack_id, updated_at=at)
            .execution_options(synchronize_session=False)
        )


def leave_stacks(session: Session, asset_ids: Sequence[str], at: datetime) -> bool:
    """These assets are in no stack any more; False when none was. A stack that one of them led is led by the first
    of those that stay, and one of fewer than two is gone."""
    left = sorted(stacks_with(session, asset_ids))
    if not left:
        return False
    put_in_stack(session, None, asset_ids, at)
    gone = shrunken_stacks(session, left)
    delete_stacks(session, gone)
    for stack_id in sorted(set(stacks_led_by(session, asset_ids)).difference(gone)):
        stack = session.get_one(Stack, stack_id)
        stack.primary_asset_id, stack.updated_at = member_ids(session, [stack_id])[0], at
    session.flush()
    return True


def delete_stacks(session: Session, stack_ids: Collection[str]) -> None:
    """The stacks go, their assets stay."""
    for page in in_pages(stack_ids):
        session.execute(delete(Stack).where(Stack.id.in_(page)).execution_options(synchronize_session=False))


def shrunken_stacks(session: Session, stack_ids: Collection[str]) -> list[str]:
    """Of these stacks, those with fewer than two assets."""
    found: list[str] = []
    for page in in_pages(stack_ids):
        counted = (
            select(Stack.id)
            .outerjoin(Asset, Asset.stack_id == Stack.id)
            .where(Stack.id.in_(page))
            .group_by(Stack.id)
            .having(func.count(Asset.id) < 2)
        )
        found += session.scalars(counted)
    return found
