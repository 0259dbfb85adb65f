"""The tables, one file per aggregate. Importing this package completes `Base.metadata`."""

from cluster.db.tables import (
    album,
    asset,
    audit,
    integrity,
    job,
    learned,
    memory,
    move,
    partner,
    person,
    sign_in,
    stack,
    system,
    tag,
    user,
    video,
)

__all__ = [
    "album",
    "asset",
    "audit",
    "integrity",
    "job",
    "learned",
    "memory",
    "move",
    "partner",
    "person",
    "sign_in",
    "stack",
    "system",
    "tag",
    "user",
    "video",
]
