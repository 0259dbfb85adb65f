"""The timetable of a cluster on both databases: several schedulers at once, each with a process' own connections."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.orm import Session

from cluster.db.engine import Database
from cluster.db.queries import notes, system
from cluster.db.queue_store import SqlQueueStore
from cluster.db.tables.base import Base
from cluster.loops.scheduler import Scheduler, TimetableEntry, by_cron
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob
from cluster.queue.states import JobState
from cluster.system_config import SystemConfig, defaults, merge
from tests.api_client import settings_for
from tests.fake_clock import FakeClock

NODES = 4
MINUTES = 60
SCAN = JobName.LIBRARY_SCAN_QUEUE_ALL
SCANS = by_cron("library-scan", lambda config: config.library.scan, SCAN)


class Node:
    """An api node: connections and a scheduler of its own. Its clock is the cluster's."""

    def __init__(self, url: str, media: Path, clock: FakeClock, *entries: TimetableEntry) -> None:
        self.settings = settings_for(url, media)
        self.database = Database(url)
        self.store = SqlQueueStore(self.database)
        self.scheduler = Scheduler(self.store, clock, entries, self.read_config, notes, ZoneInfo("Europe/Berlin"))

    def read_config(self, tx: Session) -> SystemConfig:
        return system.read_config(tx, self.settings)

    def count(self) -> int:
        with self.store.transaction(reading=True) as tx:
            return len(self.store.jobs(tx, QueueName.LIBRARY, [JobState.WAITING], 1000))

    def set_scan(self, cron: str) -> None:
        base = defaults(self.settings)
        with self.database.session() as session:
            system.write_config(session, self.settings, merge(base, {"library": {"scan": {"cronExpression": cron}}}))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def nodes(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[list[Node]]:
    each = TimetableEntry("scan", lambda config: "*/5 * * * *", lambda config: [NewJob(SCAN, {"at": str(clock.now())})])
    made = [Node(database_url, tmp_path, clock, each) for _ in range(NODES)]
    Base.metadata.create_all(made[0].database.durable)
    yield made
    for node in made:
        node.database.close()


def test_of_several_nodes_that_look_at_the_same_moment_one_enqueues(nodes: list[Node], clock: FakeClock) -> None:
    errors: list[BaseException] = []
    together = threading.Barrier(NODES, action=lambda: clock.sleep(60))

    def live(node: Node) -> None:
        try:
            for _ in range(MINUTES + 1):
                together.wait(60)
                node.scheduler.tick()
        except BaseException as error:
            errors.append(error)
            together.abort()

    threads = [threading.Thread(target=live, args=(node,)) for node in nodes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    with nodes[0].store.transaction(reading=True) as tx:
        jobs = nodes[0].store.jobs(tx, QueueName.LIBRARY, [JobState.WAITING], 1000)
    assert set(Counter(job.payload["at"] for job in jobs).values()) == {1}
    assert len(jobs) == MINUTES // 5


def test_a_run_missed_while_every_node_was_down_is_made_up_for_once(nodes: list[Node], clock: FakeClock) -> None:
    nodes[0].scheduler.tick()
    clock.sleep(timedelta(days=3).total_seconds())
    for node in nodes:
        node.scheduler.tick()
    assert nodes[0].count() == 1


def test_what_an_admin_saves_holds_from_the_next_look_of_every_node(
    database_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    both = [Node(database_url, tmp_path, clock, SCANS) for _ in range(2)]
    Base.metadata.create_all(both[0].database.durable)
    for node in both:
        node.scheduler.tick()
    both[0].set_scan("1 13 * * *")  # noon in UTC, 13:00 in Berlin
    clock.sleep(60)
    for node in both:
        node.scheduler.tick()
    assert both[0].count() == 1
    for node in both:
        node.database.close()


def test_a_note_is_replaced_by_whoever_knows_it(database_url: str) -> None:
    database = Database(database_url)
    Base.metadata.create_all(database.durable)
    with database.session() as session:
        assert notes.replace(session, "key", None, {"at": 1})
        assert not notes.replace(session, "key", None, {"at": 2})
        assert not notes.replace(session, "key", {"at": 2}, {"at": 3})
        assert notes.replace(session, "key", {"at": 1}, {"at": 4})
        assert not notes.replace(session, "other", {"at": 1}, {"at": 4})
    with database.reader() as session:
        assert (notes.read(session, "key"), notes.read(session, "other")) == ({"at": 4}, None)
    with database.session() as session:
        notes.write(session, "key", {"at": 5})
    with database.reader() as session:
        assert notes.read(session, "key") == {"at": 5}
    database.close()
