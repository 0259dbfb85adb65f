"""`sync_change` as its readers see it: what changed above a place in line, oldest first, and whom it concerns.

On PostgreSQL transactions commit in another order than their numbers. A reader stops below the oldest that still runs
(`horizon`), so whatever commits later comes above it, and nothing is passed over. Source: PostgreSQL's documentation,
"pg_snapshot_xmin".
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, delete, func, insert, literal, select, text, tuple_
from sqlalchemy.orm import Session

from cluster.db.tables.album import Album, AlbumUser
from cluster.db.tables.partner import Partner
from cluster.db.tables.sync import SyncChange
from cluster.db.tables.sync_triggers import Entity

_ID_CHARACTERS = 36
_XMIN = "SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)"


class Place(NamedTuple):
    """A place in the line of all changes; they compare as they stand in it."""

    tx: int
    seq: int


BEGINNING = Place(0, 0)


@dataclass(frozen=True, slots=True)
class Change:
    """One row's last change."""

    place: Place
    key: str
    scope: str


@dataclass(frozen=True, slots=True)
class Span:
    """Places above `after` and below `before`."""

    after: Place
    before: Place


Scopes = Collection[str] | Select[Any]
"""Whom changes concern: ids, or a query for them."""


def horizon(session: Session) -> Place:
    """Above every change that has committed and every one below it: nothing will ever come below."""
    if session.get_bind().dialect.name == "postgresql":
        return Place(session.execute(text(_XMIN)).scalar_one(), 0)
    return Place(0, (session.scalar(select(func.max(SyncChange.seq))) or 0) + 1)


def changes_in(
    session: Session, entity: Entity, scopes: Scopes, span: Span, *, deleted: bool, limit: int
) -> list[Change]:
    """The first `limit` in the span, in order: rows that came or changed, or else those that are gone."""
    gone = SyncChange.deleted_at.is_not(None) if deleted else SyncChange.deleted_at.is_(None)
    found = (
        select(SyncChange.tx, SyncChange.seq, SyncChange.key, SyncChange.scope)
        .where(SyncChange.entity == entity, _concerns(scopes), gone, *_within(span))
        .order_by(SyncChange.tx, SyncChange.seq)
        .limit(limit)
    )
    return [Change(Place(row.tx, row.seq), row.key, row.scope) for row in session.execute(found)]


def shared_albums(user_id: str, before: Place) -> Select[Any]:
    """The ids of albums that the user has, and had at `before`: also of accounts that are deleted."""
    return _open_to(user_id, Entity.ALBUM_ACCESS, before)


def visible_albums(user_id: str, before: Place) -> Select[Any]:
    """The ids of those that the user sees."""
    put_away = select(Album.id).where(Album.deleted_at.is_not(None))
    return shared_albums(user_id, before).where(func.substr(SyncChange.key, 1, _ID_CHARACTERS).not_in(put_away))


def visible_partners(user_id: str, before: Place) -> Select[Any]:
    """The ids of those who show the user their timeline, and did at `before`."""
    return _open_to(user_id, Entity.PARTNER_ACCESS, before)


def _open_to(user_id: str, access: Entity, before: Place) -> Select[Any]:
    return select(func.substr(SyncChange.key, 1, _ID_CHARACTERS)).where(
        SyncChange.entity == access,
        SyncChange.scope == user_id,
        SyncChange.deleted_at.is_(None),
        *_within(Span(BEGINNING, before)),
    )


def share_anew(session: Session, user_id: str) -> None:
    """An account is back, and so is what it shared: written anew, so that devices are told of all of it, which they had
    passed by as gone."""
    its_albums = AlbumUser.album_id.in_(select(Album.id).where(Album.owner_id == user_id))
    for table, shared in ((Partner, Partner.shared_by_id == user_id), (AlbumUser, its_albums)):
        rows = [dict(row) for row in session.execute(select(*table.__table__.columns).where(shared)).mappings()]
        session.execute(delete(table).where(shared).execution_options(synchronize_session=False))
        if rows:
            session.execute(insert(table), rows)


def prune_deleted(session: Session, before: datetime, limit: int) -> int:
    """Forget what was deleted before a time, at most `limit` of it; returns how much."""
    old = select(SyncChange.seq).where(SyncChange.deleted_at.is_not(None), SyncChange.deleted_at < before).limit(limit)
    gone = session.execute(
        delete(SyncChange).where(SyncChange.seq.in_(old)).execution_options(synchronize_session=False)
    )
    return int(gone.rowcount)  # type: ignore[attr-defined]


def begin_again(connection: Connection) -> None:
    """Every client throws its copy away and asks for everything: this database is not what they were told of."""
    connection.execute(text("UPDATE sync_change SET tx = 0 WHERE tx <> 0"))
    connection.execute(text("DELETE FROM session_sync_checkpoint"))
    connection.execute(text("UPDATE session SET is_pending_sync_reset = :yes"), {"yes": True})


def begin_again_where_time_ran_back(connection: Connection) -> None:
    """A dump that was read into another PostgreSQL has numbers of transactions that are still to come there."""
    if connection.dialect.name == "postgresql":
        newest = connection.execute(text("SELECT max(tx) FROM sync_change")).scalar() or 0
        if newest > connection.execute(text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")).scalar_one():
            begin_again(connection)


def _concerns(scopes: Scopes) -> ColumnElement[bool]:
    if isinstance(scopes, Select):
        return SyncChange.scope.in_(scopes)
    ids = list(scopes)
    return SyncChange.scope == ids[0] if len(ids) == 1 else SyncChange.scope.in_(ids)


def _within(span: Span) -> tuple[ColumnElement[bool], ...]:
    place = tuple_(SyncChange.tx, SyncChange.seq)
    return (
        place > tuple_(literal(span.after.tx), literal(span.after.seq)),
        place < tuple_(literal(span.before.tx), literal(span.before.seq)),
    )
