"""/sync: what a client that keeps a copy of its library has to be told. Source: Immich's published API."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import StreamingResponse

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.sync_acks import delete_acks, list_acks, set_acks
from serve_app.services.sync_stream import sync
from serve_app.wire.sync import SyncAck, SyncAckDelete, SyncAckSet, SyncStream, jsonlines

router = APIRouter(prefix="/sync", tags=["sync"])

JSON_LINES = "application/jsonlines+json"


@router.post("/stream", response_class=StreamingResponse)
def get_sync_stream(
    body: SyncStream, caller: Annotated[Caller, Depends(allow("sync.stream"))], services: ServicesOf
) -> StreamingResponse:
    """A JSON document in each line: type, data, and the ack to give back."""
    pages = sync(services, caller, body.types, reset=body.reset)
    return StreamingResponse((jsonlines(page) for page in pages if page), media_type=JSON_LINES)


@router.get("/ack")
def get_sync_acks(
    caller: Annotated[Caller, Depends(allow("syncCheckpoint.read"))], services: ServicesOf
) -> list[SyncAck]:
    """What the device that asks has, by type."""
    return [SyncAck(type=row.type, ack=row.ack) for row in list_acks(services, caller)]  # type: ignore[arg-type]


@router.post("/ack", status_code=204)
def send_sync_acks(
    body: SyncAckSet, caller: Annotated[Caller, Depends(allow("syncCheckpoint.update"))], services: ServicesOf
) -> None:
    """The device has these lines, and all before them of their types."""
    set_acks(services, caller, body.acks)


@router.delete("/ack", status_code=204)
def delete_sync_acks(
    body: SyncAckDelete, caller: Annotated[Caller, Depends(allow("syncCheckpoint.delete"))], services: ServicesOf
) -> None:
    """The device wants it told again."""
    delete_acks(services, caller, body.types)
