"""Tells a client, before it sends them, which of its files the library has already. Source: spec/api.md §4.2, §10."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.db.queries import assets
from serve_app.deps import Services


@dataclass(frozen=True, slots=True)
class Checked:
    """`client_id`: the client's own name of the file. `known` None: it may come, as may what is about to be deleted."""

    client_id: str
    known: assets.Known | None


def check_uploads(services: Services, user_id: str, files: Sequence[tuple[str, str]]) -> list[Checked]:
    """(client's name, checksum as text) → what to do with each, in the same order. Blocks."""
    checksums = [(client_id, parse_checksum(text)) for client_id, text in files]
    with services.database.reader() as session:
        found = assets.known_uploads(session, user_id, [sha1 for _, sha1 in checksums if sha1])
    known = {sha1: one for sha1, one in found.items() if not one.deleted}
    return [Checked(client_id, known.get(sha1) if sha1 else None) for client_id, sha1 in checksums]


def parse_checksum(text: str) -> bytes | None:
    """A SHA-1 in hex (40 characters) or base64 (28) → its 20 bytes; None for anything else."""
    try:
        decoded = base64.b64decode(text, validate=True) if len(text) == 28 else bytes.fromhex(text)
    except (binascii.Error, ValueError):
        return None
    return decoded if len(decoded) == 20 else None
