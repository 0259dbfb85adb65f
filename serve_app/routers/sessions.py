"""/sessions: the devices that are signed in. Source: spec/api.md §1."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import sessions
from serve_app.services.sessions import Device, end_other_sessions, end_session, list_sessions, open_session
from serve_app.wire.common import WireId
from serve_app.wire.session import NewSession, SessionMade, SessionSeen, SessionUpdate, session_made, session_seen

router = APIRouter(prefix="/sessions", tags=["sessions"])

Deleter = Annotated[Caller, Depends(allow("session.delete"))]


@router.get("")
def get_sessions(caller: Annotated[Caller, Depends(allow("session.read"))], services: ServicesOf) -> list[SessionSeen]:
    """The caller's, last used first."""
    return [session_seen(one, caller.session_id) for one in list_sessions(services, caller.user_id)]


@router.post("", status_code=201)
def create_session(
    body: NewSession, caller: Annotated[Caller, Depends(allow("session.create"))], services: ServicesOf
) -> SessionMade:
    """A session for another device, with its token."""
    sessions.require_session(caller)
    device = Device(body.device_type, body.device_os)
    return session_made(*open_session(services, caller.user_id, device, body.duration))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_session(
    id: WireId, body: SessionUpdate, caller: Annotated[Caller, Depends(allow("session.update"))], services: ServicesOf
) -> SessionSeen:
    """Whether a device is to begin its synchronisation anew."""
    updated = sessions.update_session(services, caller, id, body.is_pending_sync_reset)
    return session_seen(updated, caller.session_id)


@router.post("/{id}/lock", status_code=204)
def lock_session(id: WireId, caller: Annotated[Caller, Depends(allow("session.lock"))], services: ServicesOf) -> None:
    """A device sees no more what is locked."""
    sessions.lock_one_session(services, caller, id)


@router.delete("", status_code=204)
def delete_all_sessions(caller: Deleter, services: ServicesOf) -> None:
    """All but the one that asks."""
    end_other_sessions(services, caller)


@router.delete("/{id}", status_code=204)
def delete_session(id: WireId, caller: Deleter, services: ServicesOf) -> None:
    """Sign one device out."""
    end_session(services, caller.user_id, id)
