"""Results become rows, files, follow-ups and history in one transaction, or change nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.loops import settler as settler_module
from cluster.loops.submitter import Call, CallReturned, LossReason
from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import (
    Done,
    Fact,
    Failed,
    FailedAttempt,
    FollowUps,
    JobSpec,
    Lease,
    More,
    NewEvent,
    Skipped,
    asset_job,
)
from cluster.queue.retry import RetryPolicy
from cluster.queue.store import Release, Transaction
from cluster.storage.files import fenced_path
from tests.fakes import FakeHandler, Loops

THUMBNAILS, OCR = JobName.ASSET_GENERATE_THUMBNAILS, JobName.OCR
QUEUE = QUEUE_OF_JOB[THUMBNAILS]
SPECS = [JobSpec(THUMBNAILS, batch=8, retry=RetryPolicy(attempts=2, jitter=0)), JobSpec(OCR)]
GONE = "the database is away"


def follow(lease: Lease, outcome: Done | Skipped, facts: frozenset[Fact]) -> FollowUps:
    if lease.name is OCR:
        return FollowUps()
    return FollowUps((asset_job(OCR, str(lease.asset_id)),), (NewEvent("thumbnail", data={"id": lease.asset_id}),))


@pytest.fixture
def loops() -> Loops:
    return Loops(SPECS, follow, concurrency=1)


@pytest.fixture
def handler(loops: Loops) -> FakeHandler:
    return loops.handlers[THUMBNAILS]


def out(loops: Loops, count: int = 3) -> Call:
    """A call of `count` photos that is out."""
    loops.enqueue(*(asset_job(THUMBNAILS, f"a{number}") for number in range(count)))
    (call,) = loops.dispatch()
    return call


def follow_ups(loops: Loops) -> list[str]:
    return sorted(str(job.asset_id) for job in loops.jobs(QUEUE_OF_JOB[OCR]))


def take_away(loops: Loops, call: Call) -> None:
    """The lease is lost: somebody released the jobs."""
    with loops.store.transaction() as tx:
        loops.store.settle(tx, [Release(lease) for lease in call.leases])


@contextmanager
def database_away(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    @contextmanager
    def refused(*, durable: bool = False, reading: bool = False) -> Iterator[Transaction]:
        raise ConnectionError(GONE)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(loops.store, "transaction", refused)
        yield


def test_results_are_saved_and_what_follows_is_enqueued(loops: Loops, handler: FakeHandler) -> None:
    loops.submitter.answer(out(loops), Done("thumbnail"))
    loops.settle()
    assert handler.saved == [("a0", "thumbnail"), ("a1", "thumbnail"), ("a2", "thumbnail")]
    assert loops.states(QUEUE) == []
    assert follow_ups(loops) == ["a0", "a1", "a2"]
    assert [event.data["id"] for _, event in loops.store.tables.events] == ["a0", "a1", "a2"]


def test_results_are_saved_in_the_order_of_their_assets(loops: Loops, handler: FakeHandler) -> None:
    loops.enqueue(*(asset_job(THUMBNAILS, asset_id) for asset_id in ("c", "a", "b")))
    (call,) = loops.dispatch()
    loops.submitter.answer(call)
    loops.settle()
    assert [asset_id for asset_id, _ in handler.saved] == ["a", "b", "c"]


def test_a_save_that_raises_fails_only_its_own_job(loops: Loops, handler: FakeHandler) -> None:
    handler.refuses = {"a1"}
    loops.submitter.answer(out(loops))
    loops.settle()
    assert sorted(str(asset) for asset, _ in handler.saved[-2:]) == ["a0", "a2"]
    assert follow_ups(loops) == ["a0", "a2"]
    (job,) = loops.jobs(QUEUE)
    assert (job.asset_id, str(job.state), job.attempts) == ("a1", "delayed", 1)
    assert job.error == "saving failed: cannot save a1"


def test_a_save_that_always_raises_ends_as_failed(loops: Loops, handler: FakeHandler) -> None:
    handler.refuses = {"a0"}
    loops.submitter.answer(out(loops, 1))
    loops.settle()
    loops.pass_time(60)
    (again,) = loops.dispatch()
    loops.submitter.answer(again)
    loops.settle()
    assert loops.states(QUEUE) == ["failed"]
    assert follow_ups(loops) == []


def test_follow_ups_are_in_the_transaction_of_their_cause(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be enqueued leaves neither rows nor a finished job behind."""

    def refuse(tx: Transaction, jobs: object) -> int:
        raise ValueError("no")

    call = out(loops, 1)
    with monkeypatch.context() as patch:
        patch.setattr(loops.store, "enqueue", refuse)
        loops.submitter.answer(call)
        loops.settle()
    assert loops.states(QUEUE) == ["delayed"]
    assert loops.store.tables.events == []
    assert loops.store.tables.history == []


def test_a_lost_lease_changes_nothing_and_its_files_are_dropped(
    loops: Loops, handler: FakeHandler, tmp_path: Path
) -> None:
    final = tmp_path / "preview.jpeg"
    handler.final_files = [str(final)]
    call = out(loops, 1)
    late = fenced_path(final, call.leases[0].token)
    late.write_bytes(b"late")
    final.write_bytes(b"of the attempt that counts")
    take_away(loops, call)
    loops.submitter.answer(call, Done("thumbnail"))
    loops.settle()
    assert handler.saved == []
    assert follow_ups(loops) == []
    assert loops.states(QUEUE) == ["waiting"]
    assert not late.exists()
    assert final.read_bytes() == b"of the attempt that counts"


def test_files_come_into_place_with_their_rows(loops: Loops, handler: FakeHandler, tmp_path: Path) -> None:
    final = tmp_path / "preview.jpeg"
    handler.final_files = [str(final)]
    call = out(loops, 1)
    fenced_path(final, call.leases[0].token).write_bytes(b"picture")
    loops.submitter.answer(call)
    loops.settle()
    assert [path.name for path in tmp_path.iterdir()] == ["preview.jpeg"]


def test_a_result_without_its_file_is_no_result(loops: Loops, handler: FakeHandler, tmp_path: Path) -> None:
    handler.final_files = [str(tmp_path / "missing.jpeg")]
    loops.submitter.answer(out(loops, 1))
    loops.settle()
    assert handler.saved == []
    assert loops.states(QUEUE) == ["delayed"]
    assert "FileNotFoundError" in loops.store.tables.attempts[0][2].error_class


def test_one_lost_lease_does_not_hold_up_its_neighbours(loops: Loops, handler: FakeHandler) -> None:
    call = out(loops, 2)
    with loops.store.transaction() as tx:
        loops.store.settle(tx, [Release(call.leases[0])])
    loops.submitter.answer(call)
    loops.settle()
    assert [asset for asset, _ in handler.saved] == ["a1"]
    assert loops.states(QUEUE) == ["waiting"]


def test_a_page_of_a_long_walk_is_saved_and_nothing_follows_yet(loops: Loops, handler: FakeHandler) -> None:
    loops.submitter.answer(out(loops, 1), More("page 1", {"id": "a0", "from": 100}))
    loops.settle()
    assert handler.saved == [("a0", "page 1")]
    assert follow_ups(loops) == []
    (job,) = loops.jobs(QUEUE)
    assert (str(job.state), job.payload["from"]) == ("waiting", 100)


def test_the_chain_goes_on_after_skipped_and_ends_after_failed(loops: Loops, handler: FakeHandler) -> None:
    call = out(loops, 2)
    loops.submitter.answer(call, lambda lease: Skipped("hidden") if lease.asset_id == "a0" else Failed("no preview"))
    loops.settle()
    assert handler.saved == []
    assert follow_ups(loops) == ["a0"]
    assert loops.states(QUEUE) == ["failed"]


def test_what_a_runner_settled_itself_is_not_settled_again(loops: Loops, handler: FakeHandler) -> None:
    call = out(loops, 1)
    loops.settler.put(CallReturned(call, (), settled=True))
    loops.settle()
    assert loops.states(QUEUE) == ["active"]
    assert loops.settler.unsettled() == []


def test_while_the_database_is_away_results_wait_and_lose_no_attempt(
    loops: Loops, handler: FakeHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = out(loops)
    with database_away(loops, monkeypatch):
        loops.submitter.answer(call)
        for _ in range(3):
            with pytest.raises(ConnectionError, match=GONE):
                loops.settler.tick()
        assert loops.settler.unsettled() == [(lease.job_id, lease.token) for lease in call.leases]
    loops.settle()
    assert [asset for asset, _ in handler.saved] == ["a0", "a1", "a2"]
    assert loops.states(QUEUE) == []
    assert loops.store.tables.attempts == []
    assert loops.settler.unsettled() == []


def test_an_end_that_can_never_be_settled_does_not_stay_for_ever(loops: Loops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settler_module, "MOST_TRIES", 3)
    loops.submitter.answer(out(loops, 1))
    with database_away(loops, monkeypatch):
        for _ in range(3):
            with pytest.raises(ConnectionError):
                loops.settler.tick()
        loops.settler.drain()
    assert loops.settler.unsettled() == []


def test_an_end_that_comes_again_changes_nothing(loops: Loops, handler: FakeHandler) -> None:
    """A commit whose answer was lost is tried again."""
    call = out(loops)
    loops.submitter.answer(call)
    loops.settle()
    loops.submitter._out[call.call_id] = (call, loops.settler.put)
    loops.submitter.answer(call)
    loops.settle()
    assert [asset for asset, _ in handler.saved] == ["a0", "a1", "a2"]
    assert len(loops.store.tables.history) == 3


def test_it_says_when_something_was_settled(loops: Loops) -> None:
    told: list[bool] = []
    loops.settler._on_settled = lambda: told.append(True)
    loops.submitter.answer(out(loops, 1))
    loops.settle()
    assert told == [True]


def test_the_last_failure_and_no_earlier_one_is_told(loops: Loops) -> None:
    told = []

    def note(lease: Lease, attempt: FailedAttempt) -> FollowUps:
        told.append((lease.asset_id, attempt.message))
        return FollowUps((asset_job(OCR, str(lease.asset_id)),))

    loops.settler._on_failed = note
    call = out(loops, 1)
    loops.submitter.lose(call, LossReason.TIMEOUT, in_hand=0)
    loops.settle()
    assert told == []  # another attempt follows
    loops.pass_time(60)
    (call,) = loops.dispatch()
    loops.submitter.lose(call, LossReason.TIMEOUT, in_hand=0)
    loops.settle()

    assert told == [("a0", "a0: lost: timeout")]
    assert follow_ups(loops) == ["a0"]
