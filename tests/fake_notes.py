"""What tasks remember, in a dict. See `cluster.db.queries.notes`."""

from collections.abc import Mapping
from typing import Any


class FakeNotes:
    """`by_key` is all that is remembered."""

    def __init__(self) -> None:
        self.by_key: dict[str, Mapping[str, Any]] = {}

    def read(self, tx: object, key: str) -> Mapping[str, Any] | None:
        return self.by_key.get(key)

    def replace(self, tx: object, key: str, before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
        if self.by_key.get(key) != before:
            return False
        self.by_key[key] = dict(after)
        return True
