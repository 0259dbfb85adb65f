"""A user's memories: shown, made, saved, deleted, and what is in them. Source: spec/api.md §1."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from cluster.db.queries import assets, memories
from cluster.db.queries.memories import MemoryFilter
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.memory import Memory
from serve_app.deps import Services
from serve_app.services.get_asset import no_access
from serve_app.services.outcomes import Outcome, Refusal, done, one_by_one


@dataclass(frozen=True, slots=True)
class SeenMemory:
    """A memory and what it shows."""

    memory: Memory
    assets: list[tuple[Asset, AssetExif | None]]


@dataclass(frozen=True, slots=True)
class NewMemory:
    """What is known of a memory to be made. Of `asset_ids`, those that are not the user's are left out."""

    type: str
    year: int
    memory_at: datetime
    show_at: datetime | None = None
    hide_at: datetime | None = None
    seen_at: datetime | None = None
    saved: bool = False
    asset_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryChanges:
    """None: as it is."""

    memory_at: datetime | None = None
    seen_at: datetime | None = None
    saved: bool | None = None


def list_memories(
    services: Services, user_id: str, wanted: MemoryFilter, order: str, limit: int | None
) -> list[SeenMemory]:
    """Blocks."""
    with services.database.reader() as session:
        return _seen(session, memories.memories_of(session, user_id, wanted, order, limit))


def count_memories(services: Services, user_id: str, wanted: MemoryFilter) -> int:
    with services.database.reader() as session:
        return memories.count_memories(session, user_id, wanted)


def get_memory(services: Services, user_id: str, memory_id: str) -> SeenMemory:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        return _seen(session, [_owned(session, user_id, memory_id, "memory.read")])[0]


def create_memory(services: Services, user_id: str, new: NewMemory) -> SeenMemory:
    now = services.clock.now()
    memory = Memory(
        id=str(uuid.uuid4()),
        owner_id=user_id,
        type=new.type,
        data={"year": new.year},
        memory_at=new.memory_at,
        show_at=new.show_at,
        hide_at=new.hide_at,
        seen_at=new.seen_at,
        is_saved=new.saved,
        created_at=now,
        updated_at=now,
    )
    with services.database.session(durable=True) as session:
        session.add(memory)
        session.flush()
        memories.add_to_memory(session, memory.id, assets.owned_ids(session, user_id, new.asset_ids))
        session.flush()
        return _seen(session, [memory])[0]


def update_memory(services: Services, user_id: str, memory_id: str, changes: MemoryChanges) -> SeenMemory:
    """Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        memory = _owned(session, user_id, memory_id, "memory.update")
        memory.memory_at = changes.memory_at or memory.memory_at
        memory.seen_at = changes.seen_at or memory.seen_at
        memory.is_saved = memory.is_saved if changes.saved is None else changes.saved
        memory.updated_at = services.clock.now()
        return _seen(session, [memory])[0]


def delete_memory(services: Services, user_id: str, memory_id: str) -> None:
    """Its assets stay. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        session.delete(_owned(session, user_id, memory_id, "memory.delete"))


def add_assets(services: Services, user_id: str, memory_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest for a memory that is not the user's. Blocks."""
    with services.database.session(durable=True) as session:
        memory = _owned(session, user_id, memory_id, "memory.update")
        mine, known = assets.owned_ids(session, user_id, ids), memories.ids_in_memory(session, memory_id, ids)
        outcomes = one_by_one(ids, lambda one: Refusal.DUPLICATE if one in known else None, Refusal.DUPLICATE, mine)
        memories.add_to_memory(session, memory_id, done(outcomes))
        memory.updated_at = services.clock.now()
    return outcomes


def remove_assets(services: Services, user_id: str, memory_id: str, ids: Sequence[str]) -> list[Outcome]:
    """In the order of the ids. Raises BadRequest for a memory that is not the user's. Blocks."""
    with services.database.session(durable=True) as session:
        memory = _owned(session, user_id, memory_id, "memory.update")
        mine, known = assets.owned_ids(session, user_id, ids), memories.ids_in_memory(session, memory_id, ids)
        outcomes = one_by_one(ids, lambda one: None if one in known else Refusal.NOT_FOUND, Refusal.NOT_FOUND, mine)
        memories.take_from_memory(session, memory_id, done(outcomes))
        memory.updated_at = services.clock.now()
    return outcomes


def _owned(session: Session, user_id: str, memory_id: str, permission: str) -> Memory:
    memory = memories.memory_of(session, user_id, memory_id)
    if memory is None:
        raise no_access(permission)
    return memory


def _seen(session: Session, found: Sequence[Memory]) -> list[SeenMemory]:
    shown = memories.shown_assets(session, [memory.id for memory in found])
    return [SeenMemory(memory, shown[memory.id]) for memory in found]
