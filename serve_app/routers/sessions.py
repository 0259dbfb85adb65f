"""/sessions: the devices that are signed in. Source: spec/api.md §1."""

from typing import Annotated

from fastapi import APIRouter, Depends

from cluster.db.queries import users
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.sign_in import Device, open_session
from serve_app.services.sign_out import end_other_sessions, end_session
from serve_app.wire.common import WireId
from serve_app.wire.user import NewSession, SessionMade, SessionSeen, session_fields

router = APIRouter(prefix="/sessions", tags=["sessions"])

Deleter = Annotated[Caller, Depends(allow("session.delete"))]


@router.get("", response_model_exclude_none=True)
def get_sessions(caller: Annotated[Caller, Depends(allow("session.read"))], services: ServicesOf) -> list[SessionSeen]:
    with services.database.reader() as session:
        found = users.sessions_of(session, caller.user_id)
    return [SessionSeen(**session_fields(one, caller.session_id)) for one in found]


@router.post("", status_code=201)
def create_session(
    body: NewSession, caller: Annotated[Caller, Depends(allow("session.create"))], services: ServicesOf
) -> SessionMade:
    device = Device(body.device_type, body.device_os)
    opened, token = open_session(services, caller.user_id, device, body.duration)
    return SessionMade(**session_fields(opened, caller.session_id), token=token)


@router.delete("", status_code=204)
def delete_all_sessions(caller: Deleter, services: ServicesOf) -> None:
    """All but the one that asks."""
    end_other_sessions(services, caller)


@router.delete("/{id}", status_code=204)
def delete_session(id: WireId, caller: Deleter, services: ServicesOf) -> None:
    end_session(services, caller.user_id, str(id))
