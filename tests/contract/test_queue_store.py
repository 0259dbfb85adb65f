"""How a queue behaves, written once for memory, SQLite and PostgreSQL."""

import contextlib
from collections.abc import Iterator
from datetime import timedelta

import pytest

from cluster.db.engine import Database
from cluster.errors import LeaseLost
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, LeaseToken, NewEvent, NewJob, Priority, asset_job
from cluster.queue.states import JobState
from cluster.queue.statistics import HISTORY_PER_QUEUE
from cluster.queue.store import Continue, Defer, Fail, Finish, InHand, JobRecord, QueueStore, Release, Retry, Settlement
from tests.contract.queue_stores import KINDS, StoreBench, fresh_bench, migrated_database
from tests.fake_clock import FakeClock

QUEUE = QueueName.THUMBNAIL_GENERATION
THUMBNAILS, METADATA = JobName.ASSET_GENERATE_THUMBNAILS, JobName.ASSET_EXTRACT_METADATA
BROKEN = FailedAttempt("UnreadableImage", "not a picture", "Traceback …", "stderr", "node-1", 12, 34)


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database | None]:
    with migrated_database(request.param, request, tmp_path_factory.mktemp("queue")) as opened:
        yield opened


@pytest.fixture
def bench(database: Database | None) -> StoreBench:
    return fresh_bench(database)


@pytest.fixture
def store(bench: StoreBench) -> QueueStore:
    return bench.store


@pytest.fixture
def clock(bench: StoreBench) -> FakeClock:
    return bench.clock


def enqueue(store: QueueStore, *jobs: NewJob) -> int:
    with store.transaction() as tx:
        return store.enqueue(tx, jobs)


def lease(store: QueueStore, limit: int = 100, queue: QueueName = QUEUE, incarnation: str = "first") -> list[Lease]:
    with store.transaction() as tx:
        return store.lease(tx, queue, limit, 30, "controller", incarnation)


def settle(store: QueueStore, *settlements: Settlement) -> None:
    with store.transaction() as tx:
        store.settle(tx, settlements)


def jobs(store: QueueStore, *states: JobState, queue: QueueName = QUEUE) -> list[JobRecord]:
    with store.transaction(reading=True) as tx:
        return store.jobs(tx, queue, states or tuple(JobState), 100)


def states(store: QueueStore, queue: QueueName = QUEUE) -> dict[JobState, int]:
    with store.transaction(reading=True) as tx:
        counts = store.counts(tx)[queue]
    numbers = {state: getattr(counts, state) for state in JobState}
    return {state: number for state, number in numbers.items() if number}


def ready(store: QueueStore) -> dict[QueueName, int]:
    with store.transaction(reading=True) as tx:
        return store.ready(tx, QueueName)


def thumbnails(asset_id: str, **arguments: object) -> NewJob:
    return asset_job(THUMBNAILS, asset_id, **arguments)  # type: ignore[arg-type]


# enqueue and order


def test_a_job_comes_back_as_it_went_in(store: QueueStore, clock: FakeClock) -> None:
    payload = {"id": "ö/1", "source": "upload", "list": [1, 2.5, None], "nested": {"a": True}}
    assert enqueue(store, NewJob(THUMBNAILS, payload, dedup_key="k", asset_id="asset-1")) == 1
    (leased,) = lease(store)
    assert leased.payload == payload
    assert (leased.name, leased.queue, leased.asset_id) == (THUMBNAILS, QUEUE, "asset-1")
    assert (leased.attempt, leased.deaths, leased.alone) == (1, 0, False)
    assert leased.enqueued_at == clock.now()
    assert leased.expires_at == clock.now() + timedelta(seconds=30)


def test_jobs_of_one_call_and_of_later_calls_are_leased_in_order(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, *(thumbnails(name) for name in ("z", "a", "m")))
    clock.sleep(1)
    enqueue(store, thumbnails("b"), NewJob(THUMBNAILS, {"id": "no key"}))
    assert [one.payload["id"] for one in lease(store, 2)] == ["z", "a"]
    assert [one.payload["id"] for one in lease(store)] == ["m", "b", "no key"]


def test_a_person_goes_before_the_backlog_and_the_backlog_ages(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("backlog"), thumbnails("nightly", priority=Priority.NIGHTLY))
    clock.sleep(60)
    enqueue(store, thumbnails("person", priority=Priority.PERSON_WAITS))
    clock.sleep(Priority.BACKLOG)
    enqueue(store, thumbnails("late person", priority=Priority.PERSON_WAITS))
    assert [one.payload["id"] for one in lease(store)] == ["person", "backlog", "late person", "nightly"]


def test_queues_do_not_see_each_other(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"), asset_job(METADATA, "1"))
    assert ready(store) == {QUEUE: 1, QueueName.METADATA_EXTRACTION: 1}
    assert [one.name for one in lease(store, queue=QueueName.METADATA_EXTRACTION)] == [METADATA]
    assert ready(store) == {QUEUE: 1}


def test_nothing_of_a_transaction_that_fails_stays(store: QueueStore) -> None:
    enqueue(store, thumbnails("kept"))
    with contextlib.suppress(RuntimeError), store.transaction(durable=True) as tx:
        store.enqueue(tx, [thumbnails("lost")])
        store.pause(tx, QUEUE)
        raise RuntimeError
    assert states(store) == {JobState.WAITING: 1}
    assert ready(store) == {QUEUE: 1}


def test_a_savepoint_fails_alone(store: QueueStore) -> None:
    with store.transaction() as tx:
        store.enqueue(tx, [thumbnails("kept")])
        with contextlib.suppress(RuntimeError), store.savepoint(tx):
            store.enqueue(tx, [thumbnails("lost")])
            raise RuntimeError
        with store.savepoint(tx):
            store.enqueue(tx, [thumbnails("kept too")])
    assert [one.payload["id"] for one in lease(store)] == ["kept", "kept too"]


def test_empty_lists_do_nothing(store: QueueStore) -> None:
    with store.transaction() as tx:
        assert store.enqueue(tx, []) == 0
        assert store.extend(tx, [], 30) == set()
        assert store.held(tx, []) == set()
        store.settle(tx, [])
        store.emit(tx, [])
        store.say_why_waiting(tx, {})
    assert states(store) == {}


# dedup keys


def test_two_jobs_with_one_key_become_one_with_the_stronger_payload(store: QueueStore) -> None:
    assert enqueue(store, thumbnails("1", source="upload", notify=True)) == 1
    assert enqueue(store, thumbnails("1", source="edit", force=True), thumbnails("2")) == 1
    first, second = lease(store)
    assert first.payload == {"id": "1", "source": "upload", "notify": True, "force": True}
    assert second.payload == {"id": "2"}


def test_two_jobs_with_one_key_in_one_call_become_one(store: QueueStore) -> None:
    assert enqueue(store, thumbnails("1"), thumbnails("2"), thumbnails("1", source="copy")) == 2
    assert [one.payload for one in lease(store)] == [{"id": "1", "source": "copy"}, {"id": "2"}]


def test_a_merge_keeps_the_earlier_place_and_time(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"), thumbnails("2"))
    clock.sleep(10)
    enqueue(store, thumbnails("2", priority=Priority.PERSON_WAITS), thumbnails("1"))
    assert [one.payload["id"] for one in lease(store)] == ["2", "1"]


def test_a_delayed_job_waits_as_soon_as_somebody_wants_it_now(store: QueueStore) -> None:
    enqueue(store, NewJob(THUMBNAILS, {"a": 1}, delay_s=100, dedup_key="k"))
    assert states(store) == {JobState.DELAYED: 1}
    assert enqueue(store, NewJob(THUMBNAILS, {"b": 2}, dedup_key="k")) == 0
    assert [one.payload for one in lease(store)] == [{"a": 1, "b": 2}]


def test_of_two_delays_the_shorter_wins(store: QueueStore, clock: FakeClock) -> None:
    for delay_s in (50, 100, 20):
        enqueue(store, NewJob(THUMBNAILS, delay_s=delay_s, dedup_key="k"))
    with store.transaction(reading=True) as tx:
        assert store.next_due(tx) == clock.now() + timedelta(seconds=20)
    assert states(store) == {JobState.DELAYED: 1}


def test_one_successor_waits_behind_an_active_job_and_starts_after_it(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"))
    (first,) = lease(store)
    assert enqueue(store, thumbnails("1", source="upload")) == 1
    assert enqueue(store, thumbnails("1", notify=True)) == 0
    assert states(store) == {JobState.ACTIVE: 1, JobState.WAITING: 1}
    assert ready(store) == {}
    assert lease(store) == []
    settle(store, Finish(first))
    assert ready(store) == {QUEUE: 1}
    (second,) = lease(store)
    assert second.payload == {"id": "1", "source": "upload", "notify": True}
    assert second.job_id != first.job_id


def test_others_overtake_a_blocked_successor(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"))
    lease(store)
    enqueue(store, thumbnails("1"), thumbnails("2"))
    assert ready(store) == {QUEUE: 1}
    assert [one.payload["id"] for one in lease(store)] == ["2"]


@pytest.mark.parametrize("how", ["retry", "snooze", "release"])
def test_a_job_that_goes_back_takes_in_its_successor(store: QueueStore, clock: FakeClock, how: str) -> None:
    enqueue(store, thumbnails("1", source="upload"))
    (first,) = lease(store)
    clock.sleep(5)
    enqueue(store, thumbnails("1", force=True))
    settle(
        store,
        {"retry": Retry(first, 60, BROKEN), "snooze": Defer(first, 60, "away"), "release": Release(first)}[how],
    )
    assert states(store) == {JobState.WAITING: 1}
    (again,) = lease(store)
    assert again.job_id == first.job_id
    assert again.payload == {"id": "1", "source": "upload", "force": True}
    assert again.enqueued_at == first.enqueued_at
    assert again.attempt == (2 if how == "retry" else 1)


def test_a_job_that_fails_with_a_successor_starts_anew(store: QueueStore) -> None:
    enqueue(store, thumbnails("1", notify=True))
    (first,) = lease(store)
    settle(store, Retry(first, 0, BROKEN))
    with store.transaction() as tx:
        store.promote_due(tx)
    (second,) = lease(store)
    enqueue(store, thumbnails("1"))
    settle(store, Fail(second, BROKEN))
    assert states(store) == {JobState.WAITING: 1}
    (third,) = lease(store)
    assert (third.attempt, third.payload) == (1, {"id": "1", "notify": True})


def test_a_walk_with_a_successor_starts_over(store: QueueStore) -> None:
    enqueue(store, NewJob(THUMBNAILS, {"force": True}, dedup_key="walk"))
    (page,) = lease(store)
    enqueue(store, NewJob(THUMBNAILS, {"scope": "all"}, dedup_key="walk"))
    settle(store, Continue(page, {"force": True, "cursor": 500}))
    assert [one.payload for one in lease(store)] == [{"scope": "all", "force": True}]


def test_a_failed_job_revives_when_it_is_wanted_again(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"))
    settle(store, Fail(lease(store)[0], BROKEN))
    assert states(store) == {JobState.FAILED: 1}
    clock.sleep(100)
    enqueue(store, thumbnails("2", priority=Priority.PERSON_WAITS))
    assert enqueue(store, thumbnails("1", source="edit")) == 0
    second, first = lease(store)
    assert (first.payload, first.attempt, first.enqueued_at) == ({"id": "1", "source": "edit"}, 1, clock.now())
    assert second.payload["id"] == "2"


def test_a_second_missing_run_changes_nothing(store: QueueStore) -> None:
    batch = [thumbnails(str(number)) for number in range(50)]
    assert enqueue(store, *batch) == 50
    before = jobs(store)
    assert enqueue(store, *batch) == 0
    assert jobs(store) == before


# leases


def test_a_leased_job_is_leased_once(store: QueueStore) -> None:
    enqueue(store, *(thumbnails(str(number)) for number in range(10)))
    first, second = lease(store, 6), lease(store, 6)
    assert len({one.job_id for one in first + second}) == 10
    assert len({one.token for one in first}) == 1
    assert first[0].token != second[0].token


def test_a_paused_queue_leases_nothing_and_lets_active_jobs_end(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"), thumbnails("2"))
    (held,) = lease(store, 1)
    with store.transaction() as tx:
        store.pause(tx, QUEUE, "by admin")
    assert lease(store) == []
    assert ready(store) == {}
    settle(store, Finish(held))
    with store.transaction() as tx:
        counts = store.counts(tx)[QUEUE]
        assert (counts.paused, counts.paused_reason, counts.waiting, counts.active) == (True, "by admin", 1, 0)
        store.resume(tx, QUEUE)
    assert ready(store) == {QUEUE: 1}
    assert len(lease(store)) == 1


def test_a_pause_with_an_end_ends_by_itself(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"))
    until = clock.now() + timedelta(hours=1)
    with store.transaction() as tx:
        store.pause(tx, QUEUE, "guests are here", "Ada", until)
        counts = store.counts(tx)[QUEUE]
    assert (counts.paused, counts.paused_by, counts.paused_until) == (True, "Ada", until)
    assert ready(store) == {}
    assert lease(store) == []
    clock.sleep(3600)
    with store.transaction() as tx:
        counts = store.counts(tx)[QUEUE]
    assert (counts.paused, counts.paused_reason, counts.paused_by, counts.paused_until) == (False, "", "", None)
    assert ready(store) == {QUEUE: 1}
    assert len(lease(store)) == 1


def test_an_extended_lease_does_not_expire(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"), thumbnails("2"))
    heard, silent = lease(store)
    clock.sleep(20)
    with store.transaction() as tx:
        assert store.extend(tx, [(heard.job_id, heard.token)], 30) == {heard.job_id}
        assert store.expired(tx, [QUEUE], 10) == []
    clock.sleep(10)
    with store.transaction() as tx:
        (expired,) = store.expired(tx, [QUEUE], 10)
        assert expired == silent
        assert store.expired(tx, [QueueName.OCR], 10) == []
        assert store.expired(tx, QueueName, 0) == []


def progress_of(store: QueueStore) -> float | None:
    (job,) = jobs(store)
    return job.progress


def test_progress_is_noted_while_a_job_is_held_and_goes_with_its_lease(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, asset_job(THUMBNAILS, "a"))
    assert progress_of(store) is None
    (held,) = lease(store)
    with store.transaction() as tx:
        store.note_progress(tx, [InHand(held.job_id, LeaseToken("another"), "desk", 0.9)])
    assert progress_of(store) is None
    with store.transaction() as tx:
        store.note_progress(tx, [])
        store.note_progress(tx, [InHand(held.job_id, held.token, "desk", 0.25)])
    assert progress_of(store) == 0.25
    settle(store, Retry(held, 10, BROKEN))
    assert progress_of(store) is None


def test_what_is_discarded_is_gone_and_settles_no_more(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"), thumbnails("2"), thumbnails("3"))
    failed, active = lease(store, 2)
    settle(store, Fail(failed, BROKEN))
    both = [failed.job_id, active.job_id]
    with store.transaction() as tx:
        assert store.discard(tx, QUEUE, both, JobState.FAILED) == 1
        assert store.discard(tx, QUEUE, both, JobState.ACTIVE) == 1
        assert store.held(tx, [active]) == set()
        assert store.extend(tx, [(active.job_id, active.token)], 30) == set()
        counts = store.counts(tx)[QUEUE]
    assert (counts.waiting, counts.active, counts.failed) == (1, 0, 0)
    with pytest.raises(LeaseLost):
        settle(store, Finish(active))


def test_a_wrong_token_extends_holds_and_settles_nothing(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"), thumbnails("2"))
    old, other = lease(store)
    settle(store, Release(old))
    (new,) = lease(store)
    assert new.job_id == old.job_id
    with store.transaction() as tx:
        assert store.extend(tx, [(old.job_id, old.token), (other.job_id, other.token)], 30) == {other.job_id}
        assert store.held(tx, [old, new, other]) == {new.job_id, other.job_id}
        assert store.held(tx, [old]) == set()
    for settlement in (Finish(old), Release(old), Fail(old, BROKEN)):
        with pytest.raises(LeaseLost):
            settle(store, Finish(other), settlement)
    assert states(store) == {JobState.ACTIVE: 2}


def test_a_job_settles_once(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"))
    (held,) = lease(store)
    for twice in ([Finish(held), Finish(held)], [Release(held), Release(held)], [Finish(held), Release(held)]):
        with pytest.raises(LeaseLost):
            settle(store, *twice)
    settle(store, Finish(held))
    with pytest.raises(LeaseLost):
        settle(store, Finish(held))
    with store.transaction() as tx:
        assert store.extend(tx, [(held.job_id, held.token)], 30) == set()
        assert store.held(tx, [held]) == set()


def test_a_made_up_token_is_refused(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"))
    (held,) = lease(store)
    with store.transaction() as tx:
        assert store.extend(tx, [(held.job_id, LeaseToken("made up"))], 30) == set()


def test_a_restarted_controller_releases_what_its_predecessor_held(store: QueueStore) -> None:
    enqueue(store, *(thumbnails(str(number)) for number in range(4)))
    lease(store, 2, incarnation="first")
    lease(store, 1, incarnation="second")
    with store.transaction() as tx:
        store.lease(tx, QUEUE, 1, 30, "another controller", "first")
        assert store.release_predecessor(tx, "controller", "second") == 2
        assert store.release_predecessor(tx, "controller", "second") == 0
    assert states(store) == {JobState.ACTIVE: 2, JobState.WAITING: 2}
    assert [one.attempt for one in lease(store)] == [1, 1]


def test_a_queue_has_one_owner_until_its_time_runs_out(store: QueueStore, clock: FakeClock) -> None:
    ocr, search = QueueName.OCR, QueueName.SEARCH
    with store.transaction() as tx:
        assert store.own(tx, [ocr], "one", 20) == {ocr}
        assert store.own(tx, [ocr, search], "two", 20) == {search}
        store.pause(tx, QUEUE)  # a row that nobody owns
        assert store.owned(tx) == {ocr, search}
    clock.sleep(15)
    with store.transaction() as tx:
        assert store.own(tx, QueueName, "one", 20) == set(QueueName) - {search}
    clock.sleep(5)
    with store.transaction() as tx:
        assert store.owned(tx) == set(QueueName) - {search}
        assert store.own(tx, QueueName, "two", 20) == {search}
    clock.sleep(15)
    with store.transaction() as tx:
        assert store.own(tx, [ocr], "two", 20) == {ocr}
        assert store.own(tx, [ocr], "one", 20) == set()


def test_an_owner_may_let_go_of_its_queues(store: QueueStore) -> None:
    ocr, search = QueueName.OCR, QueueName.SEARCH
    with store.transaction() as tx:
        store.own(tx, [ocr], "one", 20)
        store.own(tx, [search], "two", 20)
        store.disown(tx, [ocr, search], "one")
        assert store.owned(tx) == {search}
        assert store.own(tx, [ocr, search], "two", 20) == {ocr, search}


def test_controllers_see_each_other_while_they_say_so(store: QueueStore, clock: FakeClock) -> None:
    with store.transaction() as tx:
        assert store.present(tx, "two", 20) == ["two"]
        assert store.present(tx, "one", 20) == ["one", "two"]
    clock.sleep(15)
    with store.transaction() as tx:
        assert store.present(tx, "one", 20) == ["one", "two"]
    clock.sleep(5)
    with store.transaction() as tx:
        assert store.present(tx, "one", 20) == ["one"]


def test_a_sequential_queue_waits_for_what_another_controller_leased(store: QueueStore) -> None:
    queue = QueueName.FACIAL_RECOGNITION
    enqueue(store, *(NewJob(JobName.FACIAL_RECOGNITION, {"id": str(number)}) for number in range(4)))
    with store.transaction() as tx:
        first, second = store.lease(tx, queue, 2, 30, "one", "first")
    with store.transaction() as tx:
        assert store.lease(tx, queue, 2, 30, "two", "first") == []
        store.settle(tx, [Finish(first)])
        assert store.lease(tx, queue, 2, 30, "two", "first") == []
        store.settle(tx, [Finish(second)])
        assert len(store.lease(tx, queue, 2, 30, "two", "first")) == 2


# settlements


def test_a_retry_counts_an_attempt_waits_and_comes_back(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"))
    (held,) = lease(store)
    settle(store, Retry(held, 10, BROKEN, died=True, alone=True))
    (record,) = jobs(store)
    assert (record.state, record.attempts, record.error) == (JobState.DELAYED, 1, "not a picture")
    assert record.run_at == clock.now() + timedelta(seconds=10)
    with store.transaction() as tx:
        assert store.next_due(tx) == record.run_at
        assert store.promote_due(tx) == 0
    clock.sleep(10)
    with store.transaction() as tx:
        assert store.promote_due(tx) == 1
        assert store.next_due(tx) is None
    (again,) = lease(store)
    assert (again.job_id, again.attempt, again.deaths, again.alone) == (held.job_id, 2, 1, True)
    settle(store, Retry(again, 0, BROKEN))
    with store.transaction() as tx:
        store.promote_due(tx)
    (third,) = lease(store)
    assert (third.attempt, third.deaths, third.alone) == (3, 1, True)


def test_release_and_snooze_count_no_attempt(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("1"))
    settle(store, Release(lease(store)[0], alone=True))
    (held,) = lease(store)
    assert (held.attempt, held.alone) == (1, True)
    settle(store, Defer(held, 300, "the drive is away"))
    (record,) = jobs(store)
    assert (record.state, record.error) == (JobState.DELAYED, "the drive is away")
    clock.sleep(300)
    with store.transaction() as tx:
        store.promote_due(tx)
    assert [(one.attempt, one.alone) for one in lease(store)] == [(1, True)]


def test_a_walk_continues_with_its_next_payload_and_fresh_attempts(store: QueueStore) -> None:
    enqueue(store, NewJob(THUMBNAILS, {"cursor": 0}, dedup_key="walk"))
    settle(store, Retry(lease(store)[0], 0, BROKEN, died=True, alone=True))
    with store.transaction() as tx:
        store.promote_due(tx)
    (page,) = lease(store)
    settle(store, Continue(page, {"cursor": 1}))
    (following,) = lease(store)
    assert (following.job_id, following.payload) == (page.job_id, {"cursor": 1})
    assert (following.attempt, following.deaths, following.alone) == (1, 0, False)


def test_many_settlements_of_every_kind_in_one_call(store: QueueStore) -> None:
    enqueue(store, *(thumbnails(str(number)) for number in range(7)))
    one, two, three, four, five, six, seven = lease(store)
    settle(
        store,
        Finish(one),
        Finish(two, skipped=True, reason="hidden"),
        Continue(three, {"id": "2", "cursor": 1}),
        Retry(four, 10, BROKEN),
        Fail(five, BROKEN),
        Defer(six, 10, "away"),
        Release(seven),
    )
    assert states(store) == {JobState.WAITING: 2, JobState.DELAYED: 2, JobState.FAILED: 1}


# what an admin does


def test_emptying_discards_waiting_jobs_alone(store: QueueStore) -> None:
    enqueue(store, thumbnails("active"), thumbnails("failed"))
    active, failed = lease(store)
    settle(store, Fail(failed, BROKEN))
    enqueue(store, thumbnails("1"), thumbnails("2"), NewJob(THUMBNAILS, delay_s=9), asset_job(METADATA, "1"))
    with store.transaction() as tx:
        assert store.empty(tx, QUEUE) == 2
    assert states(store) == {JobState.ACTIVE: 1, JobState.FAILED: 1, JobState.DELAYED: 1}
    assert states(store, QueueName.METADATA_EXTRACTION) == {JobState.WAITING: 1}
    settle(store, Finish(active))


def test_failed_jobs_are_retried_or_cleared(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, *(thumbnails(str(number)) for number in range(6)))
    settle(store, *(Fail(one, BROKEN) for one in lease(store)))
    failed = jobs(store, JobState.FAILED)
    assert [record.error for record in failed] == ["not a picture"] * 6
    clock.sleep(60)
    with store.transaction() as tx:
        assert store.retry_failed(tx, QUEUE, [failed[0].job_id, failed[1].job_id]) == 2
        assert store.retry_failed(tx, QueueName.OCR) == 0
        assert store.clear_failed(tx, QUEUE, 1) == 1
        assert store.retry_failed(tx, QUEUE) == 3
        assert store.clear_failed(tx, QUEUE) == 0
    again = lease(store)
    assert [(one.attempt, one.enqueued_at) for one in again] == [(1, clock.now())] * 5
    assert {record.job_id for record in failed[:2]} <= {one.job_id for one in again}


def test_every_queue_is_counted_in_the_order_of_the_wire(store: QueueStore) -> None:
    enqueue(store, thumbnails("1"))
    with store.transaction(reading=True) as tx:
        counts = store.counts(tx)
    assert list(counts) == list(QueueName)
    assert [(c.queue, c.waiting) for c in counts.values() if c.waiting] == [(QUEUE, 1)]


def test_lists_show_the_newest_first_up_to_a_limit_per_state(store: QueueStore) -> None:
    for number in range(5):
        enqueue(store, thumbnails(str(number)))
    lease(store, 2)
    with store.transaction(reading=True) as tx:
        listed = store.jobs(tx, QUEUE, [JobState.WAITING, JobState.ACTIVE, JobState.FAILED], 2)
    assert [(one.state, one.payload["id"]) for one in listed] == [
        (JobState.WAITING, "4"),
        (JobState.WAITING, "3"),
        (JobState.ACTIVE, "1"),
        (JobState.ACTIVE, "0"),
    ]


def test_a_queue_says_why_it_waits_until_it_no_longer_does(store: QueueStore) -> None:
    for reason in ("no node has the label", ""):
        with store.transaction() as tx:
            store.say_why_waiting(tx, {QUEUE: reason})
            assert store.counts(tx)[QUEUE].wait_reason == reason
            assert not store.counts(tx)[QUEUE].paused


def test_a_queue_says_why_its_jobs_are_put_off(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, *(thumbnails(str(number)) for number in range(3)))
    broken, later, sooner = lease(store)
    settle(store, Retry(broken, 1, BROKEN), Defer(later, 300, "the drive is away"), Defer(sooner, 60, "no weights"))
    with store.transaction(reading=True) as tx:
        counts = store.counts(tx)
        assert (counts[QUEUE].delayed, counts[QUEUE].wait_reason) == (3, "no weights")
        assert {queue.wait_reason for queue in counts.values() if queue.queue is not QUEUE} == {""}
    with store.transaction() as tx:
        store.say_why_waiting(tx, {QUEUE: "no node has the label"})
        assert store.counts(tx)[QUEUE].wait_reason == "no node has the label"
        store.say_why_waiting(tx, {QUEUE: ""})
    clock.sleep(60)
    with store.transaction() as tx:
        store.promote_due(tx)
        assert store.counts(tx)[QUEUE].wait_reason == "the drive is away"


def test_ready_counts_up_to_a_thousand_and_sees_past_blocked_jobs(store: QueueStore) -> None:
    enqueue(store, *(thumbnails(f"blocked {number}") for number in range(30)))
    lease(store)
    enqueue(store, *(thumbnails(f"blocked {number}") for number in range(30)))
    assert ready(store) == {}
    enqueue(store, *(thumbnails(str(number)) for number in range(985)))
    assert ready(store) == {QUEUE: 985}
    enqueue(store, *(thumbnails(f"more {number}") for number in range(1200)))
    assert ready(store) == {QUEUE: 1000}


def test_pruning_deletes_what_is_old_and_keeps_attempts_of_living_jobs(store: QueueStore, clock: FakeClock) -> None:
    enqueue(store, thumbnails("gone"), thumbnails("failed"))
    gone, failed = lease(store)
    settle(store, Retry(gone, 0, BROKEN), Fail(failed, BROKEN))  # 2 attempts, 1 line of history, 1 statistic
    with store.transaction() as tx:
        store.emit(tx, [NewEvent("on_upload_success", "user", {"id": 1})])
        store.promote_due(tx)
    settle(store, Finish(lease(store)[0]))  # 1 line of history
    clock.sleep(3600)
    enqueue(store, thumbnails("new"))
    settle(store, Finish(lease(store)[0]))
    with store.transaction() as tx:
        assert store.prune(tx, clock.now() - timedelta(hours=2), 100) == 0
        assert store.prune(tx, clock.now() - timedelta(minutes=30), 1) == 1 + 1 + 1 + 1
        assert store.prune(tx, clock.now() - timedelta(minutes=30), 100) == 1
        assert store.clear_failed(tx, QUEUE) == 1
        assert store.prune(tx, clock.now() - timedelta(minutes=30), 100) == 1


def test_one_call_remembers_some_done_jobs_and_every_failed_one(store: QueueStore, clock: FakeClock) -> None:
    many = HISTORY_PER_QUEUE + 5
    enqueue(store, *(thumbnails(str(number)) for number in range(2 * many)))
    leases = lease(store)
    settle(store, *(Finish(one) for one in leases[:many]), *(Fail(one, BROKEN) for one in leases[many:]))
    clock.sleep(120)
    with store.transaction() as tx:
        store.clear_failed(tx, QUEUE)
        attempts, statistics = many, 1
        assert store.prune(tx, clock.now(), 1000) == HISTORY_PER_QUEUE + many + attempts + statistics
