"""The versions that a server has been, each noted when it first starts."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from cluster.db.queries import notes
from serve_app.deps import Services
from serve_app.services.server_info import VERSION

NOTE = "version-history"
"""Key: `versions`, the oldest first."""


@dataclass(frozen=True, slots=True)
class VersionSeen:
    """`created_at`: since when."""

    id: str
    version: str
    created_at: datetime


def note_version(session: Session, now: datetime, version: Iterable[int] = VERSION) -> None:
    """This server is of this version now. Of several that start at once, one writes it down."""
    before, version_text = notes.read(session, NOTE), ".".join(map(str, version))
    known: list[dict[str, Any]] = before["versions"] if before is not None else []
    if not known or known[-1]["version"] != version_text:
        seen = {"id": str(uuid.uuid4()), "version": version_text, "createdAt": now.isoformat()}
        notes.replace(session, NOTE, before, {"versions": [*known, seen]})


def read_history(services: Services) -> list[VersionSeen]:
    """Newest first. Blocks."""
    with services.database.reader() as session:
        found = notes.read(session, NOTE) or {"versions": []}
    seen = [
        VersionSeen(one["id"], one["version"], datetime.fromisoformat(one["createdAt"])) for one in found["versions"]
    ]
    return seen[::-1]
