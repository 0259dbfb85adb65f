"""/memories: what the timeline shows of earlier years."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from cluster.db.queries.memories import MemoryFilter
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import memories
from serve_app.wire.asset import Ids
from serve_app.wire.common import LARGEST, WireId
from serve_app.wire.memory import (
    CreateMemory,
    MemoryKind,
    MemoryOrder,
    MemoryResponse,
    MemoryStatistics,
    UpdateMemory,
    memory_response,
)
from serve_app.wire.outcome import OutcomeResponse, outcome_response

router = APIRouter(prefix="/memories", tags=["memories"])

Reader = Annotated[Caller, Depends(allow("memory.read"))]
Updater = Annotated[Caller, Depends(allow("memory.update"))]


def memory_filter(
    day: Annotated[date | None, Query(alias="for")] = None,
    is_saved: Annotated[bool | None, Query(alias="isSaved")] = None,
    is_trashed: Annotated[bool | None, Query(alias="isTrashed")] = None,
    type: MemoryKind | None = None,
) -> MemoryFilter:
    """What both lists and counts take."""
    shown_at = datetime(day.year, day.month, day.day, tzinfo=UTC) if day is not None else None
    return MemoryFilter(shown_at, is_saved, is_trashed, type)


Wanted = Annotated[MemoryFilter, Depends(memory_filter)]
Size = Annotated[int | None, Query(ge=1, le=LARGEST)]


@router.get("")
def search_memories(
    caller: Reader, services: ServicesOf, wanted: Wanted, order: MemoryOrder = "desc", size: Size = None
) -> list[MemoryResponse]:
    """The caller's."""
    found = memories.list_memories(services, caller.user_id, wanted, order, size)
    return [memory_response(seen) for seen in found]


@router.post("", status_code=201)
def create_memory(
    body: CreateMemory, caller: Annotated[Caller, Depends(allow("memory.create"))], services: ServicesOf
) -> MemoryResponse:
    """A memory that the caller makes."""
    return memory_response(memories.create_memory(services, caller.user_id, body.new_memory()))


@router.get("/statistics")
def memories_statistics(
    caller: Annotated[Caller, Depends(allow("memory.statistics"))],
    services: ServicesOf,
    wanted: Wanted,
    order: MemoryOrder = "desc",
    size: Size = None,
) -> MemoryStatistics:
    """How many there are; order and size are taken, as for the list, and change nothing."""
    return MemoryStatistics(total=memories.count_memories(services, caller.user_id, wanted))


@router.get("/{id}")
def get_memory(id: WireId, caller: Reader, services: ServicesOf) -> MemoryResponse:
    """One of the caller's."""
    return memory_response(memories.get_memory(services, caller.user_id, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_memory(id: WireId, body: UpdateMemory, caller: Updater, services: ServicesOf) -> MemoryResponse:
    """Save it, or say that it was seen."""
    return memory_response(memories.update_memory(services, caller.user_id, id, body.changes()))


@router.delete("/{id}", status_code=204)
def delete_memory(id: WireId, caller: Annotated[Caller, Depends(allow("memory.delete"))], services: ServicesOf) -> None:
    """Forget it; its photos stay."""
    memories.delete_memory(services, caller.user_id, id)


@router.put("/{id}/assets")
def add_memory_assets(
    id: WireId, body: Ids, caller: Annotated[Caller, Depends(allow("memoryAsset.create"))], services: ServicesOf
) -> list[OutcomeResponse]:
    """Put the caller's assets into it."""
    return [outcome_response(one) for one in memories.add_assets(services, caller.user_id, id, body.ids)]


@router.delete("/{id}/assets")
def remove_memory_assets(
    id: WireId, body: Ids, caller: Annotated[Caller, Depends(allow("memoryAsset.delete"))], services: ServicesOf
) -> list[OutcomeResponse]:
    """Take assets out of it."""
    return [outcome_response(one) for one in memories.remove_assets(services, caller.user_id, id, body.ids)]
