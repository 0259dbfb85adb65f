"""/queue-activity: what moves in the queues, now and live. Ours: Immich's clients ask for counts every 3 s instead."""

from typing import Annotated, cast

from fastapi import APIRouter, Depends, Request, Response
from starlette.responses import StreamingResponse

from cluster.errors import NotAuthenticated
from serve_app.deps import Caller, allow, authenticate, in_one_turn, services_of
from serve_app.live import Live, Snapshot
from serve_app.services.queue_activity import Observer
from serve_app.wire.queue_activity import AllActivity, QueueActivity, all_activity, each_activity

router = APIRouter(prefix="/queue-activity", include_in_schema=False)

Reader = Annotated[Caller, Depends(allow("queue.read", admin=True))]


@router.get("", response_model=list[QueueActivity])
async def get_queue_activity(request: Request) -> Response:
    """Every queue: counts, throughput, how long it will still take."""
    observer = cast(Observer, request.app.state.observer)
    return await in_one_turn(request, "queue.read", lambda *_: each_activity(observer.look()), admin=True)


@router.get("/all", response_model=AllActivity)
async def get_all_activity(request: Request) -> Response:
    """How long all queues together will still take."""
    observer = cast(Observer, request.app.state.observer)
    return await in_one_turn(request, "queue.read", lambda *_: all_activity(observer.look()), admin=True)


@router.get("/stream", response_class=StreamingResponse)
async def stream_queue_activity(request: Request, caller: Reader) -> StreamingResponse:
    """Both as server-sent events: every queue and all together first, then what changed."""
    services, live = services_of(request), cast(Live, request.app.state.live)

    def still_allowed() -> bool:
        try:
            return authenticate(services, request).is_admin
        except NotAuthenticated:
            return False

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(live.stream(still_allowed), media_type="text/event-stream", headers=headers)


def live_queues(observer: Observer) -> Live:
    """What the streams of one app share."""

    def look() -> Snapshot:
        seen = observer.look()
        parts: list[QueueActivity | AllActivity] = [*each_activity(seen), all_activity(seen)]
        return {part.name: part.model_dump(mode="json", by_alias=True) for part in parts}

    return Live(look)
