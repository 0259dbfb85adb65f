"""Jobs as the loops see them: which transaction, time and config they get."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import Done, Fact, JobId, JobSpec, Lease, LeaseToken, Place
from cluster.queue.store import QueueStore
from cluster.settings import read_settings
from cluster.storage.layout import StorageLayout
from cluster.system_config import SystemConfig, defaults
from cluster.vectors.exact import ExactVectors
from tasks.binding import CONFIG_TTL_S, BoundRowJob, Contexts, bind
from tasks.job import Context, Job, RowJob

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
NAME = JobName.FILE_DELETE
SETTINGS = read_settings({"HOME": "/nowhere"})
LEASE = Lease(JobId(1), LeaseToken("t"), NAME, QUEUE_OF_JOB[NAME], {}, 1, 0, False, None, NOON, NOON)


@dataclass
class Clock:
    time: datetime = NOON

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@dataclass
class StoredConfig:
    """Counts how often it is read, and from which transactions."""

    read_in: list[Any] = field(default_factory=list)

    def read(self, session: Any) -> SystemConfig:
        self.read_in.append(session)
        return defaults(SETTINGS)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stored() -> StoredConfig:
    return StoredConfig()


@pytest.fixture
def contexts(clock: Clock, stored: StoredConfig) -> Contexts:
    store: QueueStore = object()  # type: ignore[assignment]  # jobs here enqueue nothing
    return Contexts(store, SETTINGS, StorageLayout(Path("/media")), stored.read, clock, ExactVectors())


def test_a_context_is_of_its_transaction_and_moment(contexts: Contexts, clock: Clock) -> None:
    first = contexts.of("tx 1")
    clock.sleep(0.5)
    second = contexts.of("tx 2")
    assert (first.session, first.now) == ("tx 1", NOON)
    assert (second.session, second.now) == ("tx 2", NOON + timedelta(seconds=0.5))
    assert first.layout.media_root == Path("/media")


def test_the_config_is_read_once_a_second(contexts: Contexts, clock: Clock, stored: StoredConfig) -> None:
    for _ in range(3):
        contexts.of("tx 1")
    assert stored.read_in == ["tx 1"]
    clock.sleep(CONFIG_TTL_S)
    contexts.of("tx 2")
    assert stored.read_in == ["tx 1", "tx 2"]


def test_a_clock_that_is_set_back_does_not_freeze_the_config(
    contexts: Contexts, clock: Clock, stored: StoredConfig
) -> None:
    contexts.of("tx 1")
    clock.sleep(-3600)
    contexts.of("tx 2")
    assert stored.read_in == ["tx 1", "tx 2"]


def test_a_job_loads_and_saves_in_the_transaction_it_is_given(contexts: Contexts) -> None:
    def load(context: Context, leases: Sequence[Lease]) -> Sequence[str]:
        return [f"{context.session} {lease.job_id}" for lease in leases]

    def save(context: Context, lease: Lease, output: str) -> frozenset[Fact]:
        return frozenset({Fact(f"{context.session} {output}")})

    job = Job(JobSpec(NAME), load, lambda given, tools: given, save, lambda output: [f"/media/{output}"])
    handler = bind([job], contexts)[NAME]
    assert handler.spec is job.spec
    assert handler.load("tx", [LEASE]) == ["tx 1"]
    assert handler.save("tx", [(LEASE, "out"), (LEASE, "more")]) == [{"tx out"}, {"tx more"}]
    assert handler.files("out") == ["/media/out"]


def test_a_row_job_runs_in_the_transaction_it_is_given(contexts: Contexts) -> None:
    job = RowJob(JobSpec(NAME, place=Place.ROW_JOBS), lambda context, lease: Done((context.session, lease.job_id)))
    handler = bind([job], contexts)[NAME]
    assert isinstance(handler, BoundRowJob)
    assert handler.load("tx", [LEASE]) == [LEASE]
    assert handler.run("tx", LEASE) == Done(("tx", 1))
    assert handler.save("tx", [(LEASE, None)]) == [frozenset()]
    assert handler.files(None) == ()
