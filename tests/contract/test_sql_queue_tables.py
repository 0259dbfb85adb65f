"""What the SQL stores leave in their tables, and what they do when several processes use them at once."""

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import URL, select, text

from cluster.db.engine import Database
from cluster.db.queries.queue_activity import usual_s
from cluster.db.queue_store import PROMOTED_AT_ONCE, SqlQueueStore
from cluster.db.tables.job import Event, Job, JobAttempt, JobHistory, JobStatistic
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, JobId, NewEvent, NewJob, asset_job
from cluster.queue.states import JobState
from cluster.queue.store import Continue, Fail, Finish, InHand, Release, Retry
from tests.contract.queue_stores import StoreBench, fresh_bench, migrated_database

QUEUE, OCR = QueueName.OCR, JobName.OCR
BROKEN = FailedAttempt("UnreadableImage", "not a picture", "Traceback …", "stderr", "node-1", 120, 34)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with migrated_database(request.param, request, tmp_path_factory.mktemp("queue")) as opened:
        assert opened is not None
        yield opened


@pytest.fixture(scope="module")
def postgres(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with migrated_database("postgresql", request, tmp_path_factory.mktemp("queue")) as opened:
        assert opened is not None
        yield opened


@pytest.fixture
def bench(database: Database) -> StoreBench:
    return fresh_bench(database)


def test_what_a_job_takes_is_known_by_those_that_ended_and_those_at_work(bench: StoreBench, database: Database) -> None:
    store, clock = bench.store, bench.clock

    def known_s() -> float:
        with database.reader() as session:
            return usual_s(session, QUEUE, round(clock.now().timestamp() * 1000))

    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(OCR, str(number)) for number in range(3)])
        first, second = store.lease(tx, QUEUE, 2, 30, "controller", "1")
    assert known_s() == 0.0
    clock.sleep(10)
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(first.job_id, first.token, "node-1", 0.25)])
    assert known_s() == pytest.approx(40.0, abs=0.5)
    with store.transaction() as tx:
        store.settle(tx, [Finish(second, duration_ms=8000)])
    assert known_s() == pytest.approx(24.0, abs=0.5)


def test_attempts_history_and_statistics_tell_what_happened(bench: StoreBench, database: Database) -> None:
    store, clock = bench.store, bench.clock
    began_at = clock.now()
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(OCR, str(number)) for number in range(5)])
    clock.sleep(10)
    with store.transaction() as tx:
        done, skipped, failed, retried, walk = store.lease(tx, QUEUE, 5, 30, "controller", "1")
    clock.sleep(2)
    with store.transaction() as tx:
        store.settle(
            tx, [Finish(done, duration_ms=2000, node="node-1"), Finish(skipped, skipped=True, reason="hidden")]
        )
        store.settle(tx, [Fail(failed, BROKEN), Retry(retried, 10, BROKEN), Continue(walk, {}, duration_ms=500)])
    ended_at = began_at + timedelta(seconds=12)
    with database.reader() as session:
        attempts = session.scalars(select(JobAttempt).order_by(JobAttempt.job_id)).all()
        assert [(a.job_id, a.attempt, a.asset_id) for a in attempts] == [
            (failed.job_id, 1, "2"),
            (retried.job_id, 1, "3"),
        ]
        kept = attempts[0]
        assert (kept.error_class, kept.message, kept.node) == ("UnreadableImage", "not a picture", "node-1")
        assert (kept.traceback_tail, kept.stderr_tail) == ("Traceback …", "stderr")
        assert (kept.duration_ms, kept.peak_memory_mb, kept.at) == (120, 34, ended_at)
        lines = session.scalars(select(JobHistory).order_by(JobHistory.job_id)).all()
        assert [(h.outcome, h.reason, h.asset_id, h.duration_ms, h.wait_ms) for h in lines] == [
            ("done", "", "0", 2000, 10_000),
            ("skipped", "hidden", "1", 0, 12_000),
            ("failed", "not a picture", "2", 120, 11_880),
        ]
        (minute,) = session.scalars(select(JobStatistic)).all()
        assert minute.minute == int(ended_at.timestamp()) // 60
        assert (minute.queue, minute.name) == (QUEUE, OCR)
        assert (minute.done, minute.skipped, minute.failed, minute.retried) == (1, 1, 1, 1)
        assert (minute.run_ms, minute.wait_ms) == (2000 + 0 + 120 + 120 + 500, 10_000 + 12_000 + 11_880)
        row = session.get_one(Job, failed.job_id)
        assert (row.payload, row.state, row.enqueued_at) == ({"id": "2"}, "failed", began_at)


def test_statistics_of_one_minute_add_up(bench: StoreBench, database: Database) -> None:
    for _ in range(3):
        with bench.store.transaction() as tx:
            bench.store.enqueue(tx, [NewJob(OCR), NewJob(OCR)])
            leases = bench.store.lease(tx, QUEUE, 2, 30, "controller", "1")
            bench.store.settle(tx, [Finish(lease, duration_ms=7) for lease in leases])
    bench.clock.sleep(60)
    with bench.store.transaction() as tx:
        bench.store.enqueue(tx, [NewJob(OCR)])
        bench.store.settle(tx, [Finish(lease) for lease in bench.store.lease(tx, QUEUE, 1, 30, "controller", "1")])
    with database.reader() as session:
        found = session.scalars(select(JobStatistic).order_by(JobStatistic.minute)).all()
    assert [(minute.done, minute.run_ms) for minute in found] == [(6, 42), (1, 0)]


def test_events_keep_what_they_say_and_rise(bench: StoreBench, database: Database) -> None:
    with bench.store.transaction() as tx:
        bench.store.emit(tx, [NewEvent("on_upload_success", "user-1", {"id": "ö"}), NewEvent("on_config_update")])
        bench.store.emit(tx, [NewEvent("on_asset_delete", "user-2", {"ids": [1, 2]})])
    with database.reader() as session:
        events = session.scalars(select(Event).order_by(Event.id)).all()
    assert [(event.type, event.user_id, event.data) for event in events] == [
        ("on_upload_success", "user-1", {"id": "ö"}),
        ("on_config_update", None, {}),
        ("on_asset_delete", "user-2", {"ids": [1, 2]}),
    ]
    assert {event.at for event in events} == {bench.clock.now()}


def test_ids_are_never_used_twice(bench: StoreBench, database: Database) -> None:
    seen: set[JobId] = set()
    for _ in range(3):
        with bench.store.transaction() as tx:
            bench.store.enqueue(tx, [NewJob(OCR)])
            (lease,) = bench.store.lease(tx, QUEUE, 1, 30, "controller", "1")
            bench.store.settle(tx, [Finish(lease)])
        assert lease.job_id not in seen
        seen.add(lease.job_id)


def test_a_library_that_becomes_due_at_once_is_promoted_in_parts(bench: StoreBench) -> None:
    with bench.store.transaction() as tx:
        bench.store.enqueue(tx, [NewJob(OCR, delay_s=5)] * (PROMOTED_AT_ONCE + 10))
    bench.clock.sleep(5)
    for promoted in (PROMOTED_AT_ONCE, 10, 0):
        with bench.store.transaction() as tx:
            assert bench.store.promote_due(tx) == promoted


def test_time_is_near_ours_without_a_clock_of_our_own(database: Database) -> None:
    store = SqlQueueStore(database)
    with store.transaction() as tx:
        store.enqueue(tx, [NewJob(JobName.SMART_SEARCH)])
        (lease,) = store.lease(tx, QueueName.SMART_SEARCH, 1, 30, "controller", "1")
        store.settle(tx, [Finish(lease)])
    assert abs(lease.enqueued_at.timestamp() - time.time()) < 5
    assert 29 <= (lease.expires_at - lease.enqueued_at).total_seconds() <= 32


def test_threads_that_enqueue_lease_and_settle_together_lose_and_double_nothing(bench: StoreBench) -> None:
    store, keys, rounds = bench.store, 12, 25
    done: Counter[JobId] = Counter()
    lock, enqueueing = threading.Lock(), threading.Event()  # set when nothing more will come

    def enqueue(worker: int) -> int:
        new = 0
        for turn in range(rounds):
            with store.transaction() as tx:
                wanted = [(worker + turn + step) % keys for step in range(5)]
                new += store.enqueue(tx, [asset_job(OCR, str(key)) for key in wanted] + [NewJob(OCR)])
        return new

    def work(worker: int) -> None:
        for turn in itertools.count():
            last_look = enqueueing.is_set()
            with store.transaction() as tx:
                leases = store.lease(tx, QUEUE, 4, 30, f"controller {worker}", "1")
            # now and then a job goes back, while others enqueue its key; the next turn it is another's
            back = [one for one in leases if (one.job_id + turn) % 5 == 0]
            finished = [one for one in leases if (one.job_id + turn) % 5 != 0]
            with store.transaction() as tx:
                store.settle(tx, [*map(Release, back), *map(Finish, finished)])
            with lock:
                done.update(one.job_id for one in finished)
            if last_look and not leases:
                return

    def settle_all() -> None:
        with store.transaction() as tx:
            leases = store.lease(tx, QUEUE, 1000, 30, "last", "1")
            store.settle(tx, [Finish(one) for one in leases])
            done.update(one.job_id for one in leases)

    with ThreadPoolExecutor(5) as pool:
        workers = [pool.submit(work, number) for number in range(2)]
        enqueued = [pool.submit(enqueue, number) for number in range(3)]
        try:
            new = sum(one.result() for one in enqueued)
        finally:
            enqueueing.set()
        for worker in workers:
            worker.result()
    settle_all()
    with store.transaction(reading=True) as tx:
        counts = store.counts(tx)[QUEUE]
    assert (counts.waiting, counts.delayed, counts.active, counts.failed) == (0, 0, 0, 0)
    assert set(done.values()) == {1}
    assert len(done) <= new  # a successor that was taken in ends with the job that took it in


def blocked(database: Database) -> bool:
    """Somebody on this PostgreSQL waits for a lock."""
    with database.reader() as session:
        return bool(session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar())


def while_blocked(database: Database, step: Callable[[], None]) -> threading.Thread:
    """Start `step` in a thread, and return when it waits for a lock."""
    thread = threading.Thread(target=step)
    thread.start()
    deadline_s = time.monotonic() + 10
    while not blocked(database):
        assert time.monotonic() < deadline_s, "nothing waits"
        time.sleep(0.01)
    return thread


def test_a_successor_that_is_committed_while_its_job_goes_back_is_taken_in(postgres: Database) -> None:
    store = fresh_bench(postgres).store
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(OCR, "1", source="edit")])
        (lease,) = store.lease(tx, QUEUE, 1, 30, "controller", "1")

    def release() -> None:
        with store.transaction() as tx:
            store.settle(tx, [Release(lease)])

    with store.transaction() as tx:
        assert store.enqueue(tx, [asset_job(OCR, "1", notify=True)]) == 1
        releasing = while_blocked(postgres, release)
    releasing.join()
    with store.transaction(reading=True) as tx:
        (record,) = store.jobs(tx, QUEUE, JobState, 10)
    assert (record.job_id, record.state) == (lease.job_id, JobState.WAITING)
    assert record.payload == {"id": "1", "source": "edit", "notify": True}


def test_two_transactions_that_enqueue_one_key_make_one_job(postgres: Database) -> None:
    store = fresh_bench(postgres).store
    told: list[int] = []

    def enqueue() -> None:
        with store.transaction() as tx:
            told.append(store.enqueue(tx, [asset_job(OCR, "1", force=True), asset_job(OCR, "2")]))

    with store.transaction() as tx:
        assert store.enqueue(tx, [asset_job(OCR, "1", source="upload")]) == 1
        other = while_blocked(postgres, enqueue)
    other.join()
    assert told == [1]
    with store.transaction(reading=True) as tx:
        payloads = [record.payload for record in store.jobs(tx, QUEUE, [JobState.WAITING], 10)]
    assert {"id": "1", "source": "upload", "force": True} in payloads
    assert len(payloads) == 2


def test_two_controllers_lease_past_each_other(postgres: Database) -> None:
    store = fresh_bench(postgres).store
    with store.transaction() as tx:
        store.enqueue(tx, [NewJob(OCR)] * 6)
    with store.transaction() as one, store.transaction() as two:
        first = store.lease(one, QUEUE, 4, 30, "one", "1")
        second = store.lease(two, QUEUE, 4, 30, "two", "1")
    assert (len(first), len(second)) == (4, 2)
    assert not {lease.job_id for lease in first} & {lease.job_id for lease in second}


def test_a_held_job_cannot_be_taken_before_its_transaction_ends(postgres: Database) -> None:
    bench = fresh_bench(postgres)
    with bench.store.transaction() as tx:
        bench.store.enqueue(tx, [NewJob(OCR)])
        (lease,) = bench.store.lease(tx, QUEUE, 1, 30, "controller", "1")
    bench.clock.sleep(60)
    with bench.store.transaction() as saving:
        assert bench.store.held(saving, [lease]) == {lease.job_id}
        with bench.store.transaction() as rescuing:
            assert bench.store.expired(rescuing, QueueName, 10) == []
        bench.store.settle(saving, [Finish(lease)])


def test_event_ids_rise_in_the_order_of_commits(postgres: Database) -> None:
    store = fresh_bench(postgres).store
    seen: list[str] = []

    def emit_second() -> None:
        with store.transaction() as tx:
            store.emit(tx, [NewEvent("second")])
        seen.append("second")

    with store.transaction() as tx:
        store.emit(tx, [NewEvent("first")])
        second = while_blocked(postgres, emit_second)
        assert seen == []
    second.join()
    with postgres.reader() as session:
        assert session.scalars(select(Event.type).order_by(Event.id)).all() == ["first", "second"]


def test_listeners_are_told_once_per_transaction_that_commits(postgres: Database) -> None:
    store = fresh_bench(postgres).store
    url: URL = postgres.url.set(drivername="postgresql")
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as listener:
        listener.execute("LISTEN heliostat")
        with store.transaction() as tx:
            store.enqueue(tx, [NewJob(OCR)])
            store.emit(tx, [NewEvent("one")])
            store.enqueue(tx, [NewJob(OCR)])
        with pytest.raises(ZeroDivisionError), store.transaction() as tx:  # noqa: PT012 the failure is the point
            store.enqueue(tx, [NewJob(OCR)])
            raise ZeroDivisionError
        assert len(list(listener.notifies(timeout=0.5))) == 1


def test_the_job_table_is_vacuumed_eagerly(postgres: Database) -> None:
    with postgres.reader() as session:
        options = session.execute(text("SELECT reloptions FROM pg_class WHERE relname = 'job'")).scalar_one()
    assert "autovacuum_vacuum_scale_factor=0.02" in options


def test_a_table_that_was_analyzed_when_it_was_empty_is_not_walked_over_for_each_job(postgres: Database) -> None:
    if _server_version(postgres) < 150_000:
        pytest.skip("the rows that were read can be asked for at once from PostgreSQL 15 on")
    store = fresh_bench(postgres).store
    with store.transaction() as tx:
        store.enqueue(tx, [NewJob(OCR)] * 2_000)
        store.settle(tx, [Finish(lease) for lease in store.lease(tx, QUEUE, 2_000, 30, "controller", "1")])
    with postgres.fast.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE job"))  # the server does so by itself at any moment
    with store.transaction() as tx:
        store.enqueue(tx, [NewJob(OCR)] * 2_000)
    walked_before = _index_rows_read(postgres)
    with store.transaction() as tx:
        leases = store.lease(tx, QUEUE, 100, 30, "controller", "1")
        store.held(tx, leases)
        store.extend(tx, [(lease.job_id, lease.token) for lease in leases], 30)
        store.settle(tx, [Finish(lease) for lease in leases])
    assert len(leases) == 100
    # each statement visits each of its 100 jobs a few times; a walk visits 2,000 rows, or 2,000 for each job
    assert _index_rows_read(postgres) - walked_before < 2_000


def _index_rows_read(database: Database) -> int:
    """Rows of `job` read so far, through an index or not, by connections that have said so."""
    with database.fast.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
        rows = "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'job'"
        return int(connection.execute(text(rows)).scalar_one())


def _server_version(database: Database) -> int:
    with database.reader() as session:
        return int(session.execute(text("SHOW server_version_num")).scalar_one())
