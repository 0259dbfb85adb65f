"""Nodes that get nothing new: which, why, and when what runs long there is given back. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from cluster.names import QueueName

PATIENCE_S = 60
"""How long what runs on a node may take to end, unless somebody says otherwise."""
BENCH_S = 600
"""How long a node that fails so much is left out before it is tried again."""
BEFORE_IT_ENDS_S = 10.0
"""So long before the machine goes, work that will not be done in time is given back."""


@dataclass(frozen=True, slots=True)
class Drain:
    """`reason` is for people, `by` who wanted it. What still runs at `give_back_at` is given back; None: nothing
    is. `until` None: until somebody lets it work again."""

    reason: str
    give_back_at: datetime | None = None
    by: str = ""
    at: datetime | None = None
    until: datetime | None = None

    def words(self) -> str:
        """Why, and who said so."""
        return ", ".join(filter(None, (self.reason, self.by and f"by {self.by}"))) or "by hand"


def leaving(ends_at: datetime | None) -> Drain:
    """The machine itself says that it goes, at the latest then."""
    return Drain("its machine is going", None if ends_at is None else ends_at - timedelta(seconds=BEFORE_IT_ENDS_S))


def drain_to_json(drain: Drain, patience_s: float) -> dict[str, Any]:
    """As it is remembered. `drain.at` must be known."""
    assert drain.at is not None
    until = {"until": drain.until.isoformat()} if drain.until else {}
    return {"reason": drain.reason, "by": drain.by, "at": drain.at.isoformat(), "patienceS": patience_s, **until}


def drains_from_json(remembered: Mapping[str, Any], now: datetime) -> dict[str, Drain]:
    """Node's name → its drain, of those that hold at this time."""
    drains = {name: _drain(one) for name, one in remembered.items()}
    return {name: drain for name, drain in drains.items() if drain.until is None or drain.until > now}


def _drain(one: Mapping[str, Any]) -> Drain:
    at = datetime.fromisoformat(one["at"])
    until = datetime.fromisoformat(one["until"]) if "until" in one else None
    return Drain(one["reason"], at + timedelta(seconds=one["patienceS"]), one["by"], at, until)


def no_node_serves(queue: QueueName) -> str:
    """Why it waits where there is none, not even a drained one."""
    return f"no live node serves {queue}: start one with this queue or its worker in IMMICH_WORKERS_INCLUDE"
