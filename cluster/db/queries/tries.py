"""Counts tries of secrets, for all API processes together: so many at once, and then one at a time at a steady pace.

A row per key holds one time, so that counting costs the same however many tries there were, and a row whose time has
passed says as much as none.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, exists, select, update
from sqlalchemy.orm import Session

from cluster.db.tables.sign_in import KnownAddress, TriedSecret
from cluster.db.upsert import upsert


@dataclass(frozen=True, slots=True)
class Allowance:
    """`at_once` tries, and a further one each `pace`."""

    at_once: int
    pace: timedelta


def wait(session: Session, wanted: Mapping[str, Allowance], now: datetime) -> timedelta:
    """How long until all of these keys may be tried; zero or less for now. Writes nothing."""
    return _longest_wait(_due(session, wanted), wanted, now)


def take(session: Session, wanted: Mapping[str, Allowance], now: datetime) -> timedelta:
    """Count a try of all of these keys, or of none where one must wait; returns as `wait` does."""
    keys = sorted(wanted)  # everybody takes them in this order, so that nobody waits in a circle
    rows = [{"key": key, "due_at": now} for key in keys]
    upsert(session, TriedSecret, rows, key=["key"], keep=["due_at"])
    due = _due(session, wanted, for_change=True)
    if (longest := _longest_wait(due, wanted, now)) > timedelta(0):
        return longest
    for key in keys:
        paid_off = max(due.get(key, now), now) + wanted[key].pace
        session.execute(update(TriedSecret).where(TriedSecret.key == key).values(due_at=paid_off))
    return longest


def give_back(session: Session, wanted: Mapping[str, Allowance]) -> None:
    """A try that was counted was none: it found the secret."""
    for key, due_at in sorted(_due(session, wanted, for_change=True).items()):
        session.execute(update(TriedSecret).where(TriedSecret.key == key).values(due_at=due_at - wanted[key].pace))


def forget(session: Session, keys: Collection[str]) -> None:
    """As if these had never been tried."""
    session.execute(delete(TriedSecret).where(TriedSecret.key.in_(sorted(keys))))


def forget_old(session: Session, now: datetime, known_before: datetime) -> int:
    """Tries that are paid off, and addresses that nobody came from for long; returns how many rows went."""
    tries = session.execute(delete(TriedSecret).where(TriedSecret.due_at <= now))
    addresses = session.execute(delete(KnownAddress).where(KnownAddress.seen_at < known_before))
    return tries.rowcount + addresses.rowcount  # type: ignore[attr-defined, no-any-return]


def is_known(session: Session, user_id: str, address: str) -> bool:
    """Whether the user has signed in from there."""
    known = exists().where(KnownAddress.user_id == user_id, KnownAddress.address == address)
    return bool(session.scalar(select(known)))


def note_address(session: Session, user_id: str, address: str, now: datetime) -> None:
    """The user has signed in from there."""
    row = {"user_id": user_id, "address": address, "seen_at": now}
    upsert(session, KnownAddress, [row], key=["user_id", "address"])


def _due(session: Session, wanted: Mapping[str, Allowance], *, for_change: bool = False) -> dict[str, datetime]:
    rows = select(TriedSecret.key, TriedSecret.due_at).where(TriedSecret.key.in_(sorted(wanted)))
    rows = rows.order_by(TriedSecret.key)
    return {row[0]: row[1] for row in session.execute(rows.with_for_update() if for_change else rows)}


def _longest_wait(due: Mapping[str, datetime], wanted: Mapping[str, Allowance], now: datetime) -> timedelta:
    return max(due.get(key, now) - now - (one.at_once - 1) * one.pace for key, one in wanted.items())
