"""Sessions in Immich's spelling. Source: spec/api.md §1."""

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt, StrictStr

from cluster.db.tables.user import Session
from serve_app.wire.common import LARGEST, STORABLE, PlainText, WhenKnown, Wire, WireTime


class NewSession(Wire):
    """A session for another device. `duration`: seconds; without it, it does not end by itself."""

    duration: Annotated[StrictInt, Field(ge=1, le=LARGEST)] | None = None
    device_type: PlainText = ""
    device_os: Annotated[StrictStr, Field(alias="deviceOS"), STORABLE] = ""


class SessionUpdate(Wire):
    """What is to change."""

    is_pending_sync_reset: StrictBool | None = None


class SessionSeen(Wire):
    """A device that is signed in. `current`: it is the one that asks."""

    id: str
    created_at: WireTime
    updated_at: WireTime
    expires_at: WhenKnown[WireTime] = None
    current: bool
    device_type: str
    device_os: Annotated[str, Field(alias="deviceOS")]
    app_version: str | None
    is_pending_sync_reset: bool


class SessionMade(SessionSeen):
    """With its token, which is shown once."""

    token: str


def session_seen(session: Session, current_id: str | None) -> SessionSeen:
    return SessionSeen(
        id=session.id,
        created_at=session.created_at,
        updated_at=session.updated_at,
        expires_at=session.expires_at,
        current=session.id == current_id,
        device_type=session.device_type,
        device_os=session.device_os,
        app_version=session.app_version,
        is_pending_sync_reset=session.is_pending_sync_reset,
    )


def session_made(session: Session, token: str) -> SessionMade:
    return SessionMade(**session_seen(session, None).model_dump(by_alias=False), token=token)
