"""Memories in Immich's spelling."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from serve_app.services.memories import MemoryChanges, NewMemory, SeenMemory
from serve_app.wire.asset import AssetResponse, FormDate, asset_response, parse_date
from serve_app.wire.common import WhenKnown, Wire, WireId, WireTime

MemoryKind = Literal["on_this_day"]
MemoryOrder = Literal["asc", "desc", "random"]


class OnThisDay(Wire):
    """The year that is remembered."""

    year: Annotated[StrictInt, Field(ge=1000, le=9999)]


class CreateMemory(Wire):
    """A memory that a client makes."""

    type: MemoryKind
    data: OnThisDay
    memory_at: FormDate
    show_at: FormDate | None = None
    hide_at: FormDate | None = None
    seen_at: FormDate | None = None
    is_saved: StrictBool = False
    asset_ids: list[WireId] = Field(default_factory=list)

    def new_memory(self) -> NewMemory:
        show_at, hide_at, seen_at = (
            None if text is None else parse_date(text) for text in (self.show_at, self.hide_at, self.seen_at)
        )
        return NewMemory(
            type=self.type,
            year=self.data.year,
            memory_at=parse_date(self.memory_at),
            show_at=show_at,
            hide_at=hide_at,
            seen_at=seen_at,
            saved=self.is_saved,
            asset_ids=tuple(self.asset_ids),
        )


class UpdateMemory(Wire):
    """What is to change."""

    memory_at: FormDate | None = None
    seen_at: FormDate | None = None
    is_saved: StrictBool | None = None

    def changes(self) -> MemoryChanges:
        memory_at, seen_at = (None if text is None else parse_date(text) for text in (self.memory_at, self.seen_at))
        return MemoryChanges(memory_at, seen_at, self.is_saved)


class MemoryResponse(Wire):
    """A memory with what it shows."""

    id: str
    owner_id: str
    type: MemoryKind
    data: OnThisDay
    memory_at: WireTime
    show_at: WhenKnown[WireTime] = None
    hide_at: WhenKnown[WireTime] = None
    seen_at: WhenKnown[WireTime] = None
    is_saved: bool
    assets: list[AssetResponse]
    created_at: WireTime
    updated_at: WireTime
    deleted_at: WhenKnown[WireTime] = None


class MemoryStatistics(Wire):
    """How many."""

    total: int


def memory_response(seen: SeenMemory) -> MemoryResponse:
    memory = seen.memory
    return MemoryResponse(
        id=memory.id,
        owner_id=memory.owner_id,
        type=memory.type,  # type: ignore[arg-type]  # the column knows this word alone
        data=OnThisDay.model_validate(memory.data),
        memory_at=memory.memory_at,
        show_at=memory.show_at,
        hide_at=memory.hide_at,
        seen_at=memory.seen_at,
        is_saved=memory.is_saved,
        assets=[asset_response(asset, exif) for asset, exif in seen.assets],
        created_at=memory.created_at,
        updated_at=memory.updated_at,
        deleted_at=memory.deleted_at,
    )
