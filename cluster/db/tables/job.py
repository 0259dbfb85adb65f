"""The queue's tables: jobs, what became of them, the queues themselves, and the events that others tail.

Times are milliseconds since 1970; the statements are in `cluster/db/queue_*.py`, nobody else writes here.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.db.tables.base import Base, EpochMs, JsonText, RisingId, partial_index


class Job(Base):
    """A job that is not over. `order_key`: its place in the line, microseconds (enqueued at + offset of its priority).

    `attempts`: failed ones so far. A dedup key is unique among the active and, apart from them, among all others: so at
    most one successor waits behind an active job. Every index but the key's is partial, so that a row costs what its
    state needs; `lease_expires_at` has none, since every beat writes it and the active rows are few.
    `progress`: from 0 to 1, of an active job that says so. `started_at` and `node` are the last lease's: when it was
    taken, and where its worker was heard.
    """

    __tablename__ = "job"
    __table_args__ = (
        partial_index("ix_job_waiting", "queue", "order_key", "id", where="state = 'waiting'"),
        partial_index("ix_job_delayed", "run_at", "queue", where="state = 'delayed'"),
        partial_index("ix_job_active", "queue", where="state = 'active'"),
        partial_index("ix_job_failed", "queue", "id", where="state = 'failed'"),
        partial_index("uq_job_dedup_key_active", "dedup_key", where="state = 'active'", unique=True),
        partial_index("uq_job_dedup_key_others", "dedup_key", where="state <> 'active'", unique=True),
        # An id is never used twice: history and attempts outlive their job.
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RisingId, primary_key=True)
    queue: Mapped[str] = mapped_column(String)
    name: Mapped[str] = mapped_column(String)
    payload: Mapped[dict[str, Any]] = mapped_column(JsonText)
    state: Mapped[str] = mapped_column(String)
    order_key: Mapped[int] = mapped_column(BigInteger)
    enqueued_at: Mapped[datetime] = mapped_column(EpochMs)
    run_at: Mapped[datetime] = mapped_column(EpochMs)
    attempts: Mapped[int]
    deaths: Mapped[int]
    alone: Mapped[bool]
    dedup_key: Mapped[str | None] = mapped_column(String)
    asset_id: Mapped[str | None] = mapped_column(String(36))
    lease_token: Mapped[str | None] = mapped_column(String)
    lease_expires_at: Mapped[datetime | None] = mapped_column(EpochMs)
    controller: Mapped[str | None] = mapped_column(String)
    incarnation: Mapped[str | None] = mapped_column(String)
    last_error: Mapped[str] = mapped_column(Text)
    progress: Mapped[float | None] = mapped_column(Float)
    started_at: Mapped[datetime | None] = mapped_column(EpochMs)
    node: Mapped[str | None] = mapped_column(String)


class JobAttempt(Base):
    """An attempt that failed. It outlives its job, so `job_id` is no foreign key."""

    __tablename__ = "job_attempt"
    __table_args__ = (
        Index("ix_job_attempt_job_id", "job_id"),
        Index("ix_job_attempt_queue", "queue", "id"),
        Index("ix_job_attempt_at", "at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RisingId, primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String)
    queue: Mapped[str] = mapped_column(String)
    asset_id: Mapped[str | None] = mapped_column(String(36))
    attempt: Mapped[int]
    error_class: Mapped[str] = mapped_column(String)
    message: Mapped[str] = mapped_column(Text)
    traceback_tail: Mapped[str] = mapped_column(Text)
    stderr_tail: Mapped[str] = mapped_column(Text)
    node: Mapped[str] = mapped_column(String)
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    peak_memory_mb: Mapped[int]
    at: Mapped[datetime] = mapped_column(EpochMs)


class JobHistory(Base):
    """Some of the jobs that ended lately, for "recent" lists: `outcome` is done, skipped or failed.

    Not every done job is here (see `queue_settle.py`); the numbers are in `job_statistic`.
    """

    __tablename__ = "job_history"
    __table_args__ = (
        Index("ix_job_history_queue", "queue", "id"),
        Index("ix_job_history_ended_at", "ended_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RisingId, primary_key=True)
    job_id: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String)
    queue: Mapped[str] = mapped_column(String)
    asset_id: Mapped[str | None] = mapped_column(String(36))
    outcome: Mapped[str] = mapped_column(String)
    reason: Mapped[str] = mapped_column(Text)
    node: Mapped[str] = mapped_column(String)
    duration_ms: Mapped[int] = mapped_column(BigInteger)
    wait_ms: Mapped[int] = mapped_column(BigInteger)
    ended_at: Mapped[datetime] = mapped_column(EpochMs)


class JobStatistic(Base):
    """What one job type did in one minute (`minute`: since 1970). Times are sums over its jobs."""

    __tablename__ = "job_statistic"

    minute: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    queue: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, primary_key=True)
    done: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)
    failed: Mapped[int] = mapped_column(BigInteger)
    retried: Mapped[int] = mapped_column(BigInteger)
    run_ms: Mapped[int] = mapped_column(BigInteger)
    wait_ms: Mapped[int] = mapped_column(BigInteger)


class Queue(Base):
    """A queue that was ever paused, owned or explained; one without a row is running and free.

    `paused_by`: a person's name, for people to read; `paused_until` None: until somebody resumes it.
    """

    __tablename__ = "queue"

    name: Mapped[str] = mapped_column(String, primary_key=True)
    paused: Mapped[bool]
    paused_reason: Mapped[str] = mapped_column(Text)
    paused_by: Mapped[str] = mapped_column(String)
    paused_until: Mapped[datetime | None] = mapped_column(EpochMs)
    wait_reason: Mapped[str] = mapped_column(Text)
    owner: Mapped[str | None] = mapped_column(String)
    owner_expires_at: Mapped[datetime | None] = mapped_column(EpochMs)


class Event(Base):
    """Something to tell clients. Read as "everything above N": ids rise in commit order. `user_id` None is everyone."""

    __tablename__ = "event"
    __table_args__ = (Index("ix_event_at", "at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(RisingId, primary_key=True)
    type: Mapped[str] = mapped_column(String)
    user_id: Mapped[str | None] = mapped_column(String(36))
    data: Mapped[dict[str, Any]] = mapped_column(JsonText)
    at: Mapped[datetime] = mapped_column(EpochMs)
