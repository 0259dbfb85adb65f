"""Makes memories of "on this day": for each user and each earlier year, what was taken on a day of these days.

Nightly, by hand. Goes from three days ago to three days ahead (UTC), day by day and user by user, and never makes a day
twice: the last day that is done is noted. After: nothing. Source: spec/pipeline.md §8.
"""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from cluster.db.queries import notes
from cluster.db.queries.assets import TIMELINE
from cluster.db.tables.asset import Asset, AssetFile
from cluster.db.tables.memory import Memory, MemoryAsset
from cluster.db.tables.user import User
from cluster.names import JobName
from cluster.queue.job import Done, Lease, More
from tasks.job import Context, RowJob
from tasks.queue_all import queue_all_spec

SPEC = queue_all_spec(JobName.MEMORY_GENERATE)

ON_THIS_DAY = "on_this_day"
NOTE, LAST_DAY = "memories-state", "lastOnThisDayDate"
DAYS_AROUND = 3
ASSETS_PER_YEAR = 20
A_DAY, A_MOMENT = timedelta(days=1), timedelta(milliseconds=1)


def run(context: Context, lease: Lease) -> Done | More:
    """One user and one day."""
    session, today = context.session, context.now.astimezone(UTC).date()
    day = max(today - DAYS_AROUND * A_DAY, _done_until(session) + A_DAY)
    if day > today + DAYS_AROUND * A_DAY:
        return Done()
    # a day that ran out meanwhile leaves its users behind
    after = str(lease.payload.get("after", "")) if lease.payload.get("day") == day.isoformat() else ""
    user_id = session.scalar(
        select(User.id).where(User.deleted_at.is_(None), User.id > after).order_by(User.id).limit(1)
    )
    if user_id is None:
        notes.write(session, NOTE, {LAST_DAY: day.isoformat()})
    else:
        _remember(session, user_id, day, context.now)
    return More(None, {**lease.payload, "day": day.isoformat(), "after": user_id or ""})


def _done_until(session: Session) -> date:
    noted = notes.read(session, NOTE) or {}
    return date.fromisoformat(noted[LAST_DAY]) if LAST_DAY in noted else date.min


def _remember(session: Session, user_id: str, day: date, now: datetime) -> None:
    shown_from = datetime(day.year, day.month, day.day, tzinfo=UTC)
    for earlier in _same_day_before(session, user_id, day):
        asset_ids = _taken_on(session, user_id, earlier)
        if not asset_ids:
            continue
        memory = Memory(
            id=str(uuid.uuid4()),
            owner_id=user_id,
            type=ON_THIS_DAY,
            data={"year": earlier.year},
            memory_at=earlier,
            show_at=shown_from,
            hide_at=shown_from + A_DAY - A_MOMENT,
            created_at=now,
            updated_at=now,
        )
        session.add(memory)
        session.flush()
        session.add_all(MemoryAsset(memory_id=memory.id, asset_id=asset_id) for asset_id in asset_ids)


def _in_timeline(user_id: str) -> tuple[ColumnElement[bool], ...]:
    return Asset.owner_id == user_id, Asset.visibility == TIMELINE, Asset.deleted_at.is_(None)


def _same_day_before(session: Session, user_id: str, day: date) -> Iterator[datetime]:
    """The day in each year of the user's timeline before this one; 29 February in leap years alone."""
    first = session.scalar(select(func.min(Asset.local_date_time)).where(*_in_timeline(user_id)))
    for year in range(first.year if first is not None else day.year, day.year):
        try:
            yield datetime(year, day.month, day.day, tzinfo=UTC)
        except ValueError:
            continue


def _taken_on(session: Session, user_id: str, start: datetime) -> list[str]:
    """In the order of the day; only what has a picture to show."""
    shown = exists().where(AssetFile.asset_id == Asset.id, AssetFile.type == "preview")
    taken = select(Asset.id).where(
        *_in_timeline(user_id),
        Asset.local_date_time >= start,
        Asset.local_date_time < start + A_DAY,
        shown,
    )
    return list(session.scalars(taken.order_by(Asset.local_date_time, Asset.id).limit(ASSETS_PER_YEAR)))


JOB = RowJob(SPEC, run)
