"""No interleaving of what a queue is told loses or doubles a job: random histories against a plain model.

Every request puts a ticket of its own into the payload, and merged payloads keep both, so a ticket must always be in
exactly one place: a living job, or the pile of those that ended.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from cluster.db.engine import Database
from cluster.errors import LeaseLost
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, Lease, NewJob
from cluster.queue.states import JobState
from cluster.queue.store import Continue, Defer, Fail, Finish, Release, Retry, Settlement
from tests.contract.queue_stores import KINDS, StoreBench, fresh_bench, migrated_database

JOB_OF_QUEUE = {QueueName.OCR: JobName.OCR, QueueName.SMART_SEARCH: JobName.SMART_SEARCH}
QUEUES = tuple(JOB_OF_QUEUE)
LEASE_S = 30
EXAMPLES = {"memory": 150, "sqlite": 60, "postgresql": 12}
BROKEN = FailedAttempt("Boom", "boom")

queues = st.sampled_from(QUEUES)
new_jobs = st.tuples(queues, st.sampled_from([None, "a", "b", "c"]), st.sampled_from([0, 0, 0, 20]))
outcomes = st.sampled_from(["finish", "skip", "continue", "retry", "died", "fail", "defer", "release"])


@dataclass
class ModelJob:
    """What we believe of one job. `token` is that of its lease while it is active."""

    queue: QueueName
    key: str | None
    state: JobState
    run_at_s: float
    tickets: set[str]
    attempts: int = 0
    token: str | None = None
    expires_at_s: float = 0.0
    incarnation: int = 0


@dataclass
class Model:
    """The queue in its simplest words, sharing no code with the stores."""

    jobs: list[ModelJob] = field(default_factory=list)
    paused: set[QueueName] = field(default_factory=set)
    ended: Counter[str] = field(default_factory=Counter)

    def other_with_key(self, job: ModelJob) -> ModelJob | None:
        """The job of the same key that is not active, besides `job`."""
        if job.key is None:
            return None
        others = (other for other in self.jobs if other is not job and other.state is not JobState.ACTIVE)
        return next((other for other in others if (other.queue, other.key) == (job.queue, job.key)), None)

    def take_in(self, job: ModelJob, request: ModelJob) -> None:
        """`job` and a newer `request` become one."""
        if job.state is JobState.FAILED:
            job.state, job.attempts, job.run_at_s = JobState.WAITING, 0, request.run_at_s
        elif job.state is JobState.DELAYED:
            job.run_at_s = min(job.run_at_s, request.run_at_s)
            job.state = request.state
        job.tickets |= request.tickets

    def line(self, queue: QueueName) -> list[ModelJob]:
        """Jobs that may start."""
        active = {(job.queue, job.key) for job in self.jobs if job.state is JobState.ACTIVE and job.key is not None}
        waiting = [job for job in self.jobs if job.queue is queue and job.state is JobState.WAITING]
        return [] if queue in self.paused else [job for job in waiting if (job.queue, job.key) not in active]

    def end(self, job: ModelJob) -> None:
        self.jobs.remove(job)
        self.ended.update(job.tickets)


class QueueMachine(RuleBasedStateMachine):
    """Each rule tells the store and the model the same thing; the invariant compares them."""

    def __init__(self, bench: StoreBench) -> None:
        super().__init__()
        self.bench, self.store, self.model = bench, bench.store, Model()
        self.now_s = 0.0
        self.tickets = 0
        self.incarnation = 1
        self.leases: list[Lease] = []  # every lease ever given, so that old ones are tried again

    @initialize()
    def start(self) -> None:
        """Something to do from the first step on."""
        self.enqueue([(QueueName.OCR, None, 0), (QueueName.OCR, "a", 0), (QueueName.SMART_SEARCH, "a", 0)])

    # requests

    @rule(requests=st.lists(new_jobs, min_size=1, max_size=4))
    def enqueue(self, requests: list[tuple[QueueName, str | None, int]]) -> None:
        jobs, expected_new = [], 0
        for queue, key, delay_s in requests:
            self.tickets += 1
            ticket = f"ticket {self.tickets}"
            dedup_key = None if key is None else f"{queue}:{key}"
            jobs.append(NewJob(JOB_OF_QUEUE[queue], {ticket: True}, delay_s=delay_s, dedup_key=dedup_key))
        # A store may make one of several requests in a call before it looks at what is there; the model does the same.
        for request in self._joined(requests):
            known = self.model.other_with_key(request)
            if known is None:
                self.model.jobs.append(request)
                expected_new += 1
            else:
                self.model.take_in(known, request)
        with self.store.transaction() as tx:
            assert self.store.enqueue(tx, jobs) == expected_new

    def _joined(self, requests: list[tuple[QueueName, str | None, int]]) -> list[ModelJob]:
        joined = Model()
        first = self.tickets - len(requests) + 1
        for number, (queue, key, delay_s) in enumerate(requests, first):
            state = JobState.DELAYED if delay_s else JobState.WAITING
            request = ModelJob(queue, key, state, self.now_s + delay_s, {f"ticket {number}"})
            known = joined.other_with_key(request)
            if known is None:
                joined.jobs.append(request)
            else:
                joined.take_in(known, request)
        return joined.jobs

    @rule(queue=queues)
    def a_transaction_that_fails_changes_nothing(self, queue: QueueName) -> None:
        with pytest.raises(ZeroDivisionError):
            self._all_at_once_and_fail(queue)

    def _all_at_once_and_fail(self, queue: QueueName) -> None:
        with self.store.transaction() as tx:
            self.store.enqueue(tx, [NewJob(JOB_OF_QUEUE[queue], {"lost": True}, dedup_key=f"{queue}:a")])
            leases = self.store.lease(tx, queue, 5, LEASE_S, "controller", str(self.incarnation))
            self.store.settle(tx, [Finish(lease) for lease in leases])
            self.store.empty(tx, queue)
            raise ZeroDivisionError

    # controllers

    @rule(queue=queues, limit=st.integers(1, 4))
    def lease(self, queue: QueueName, limit: int) -> None:
        line = self.model.line(queue)
        with self.store.transaction() as tx:
            assert self.store.ready(tx, [queue]) == ({queue: len(line)} if line else {})
            leases = self.store.lease(tx, queue, limit, LEASE_S, "controller", str(self.incarnation))
        assert len(leases) == min(limit, len(line))
        for lease in leases:
            (job,) = [job for job in line if job.tickets == set(lease.payload)]
            assert lease.attempt == job.attempts + 1
            job.state, job.token, job.expires_at_s = JobState.ACTIVE, lease.token, self.now_s + LEASE_S
            job.incarnation = self.incarnation
        assert len({lease.job_id for lease in leases}) == len(leases)
        self.leases += leases

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        beats = data.draw(st.lists(st.sampled_from(self.leases), max_size=4, unique_by=lambda lease: id(lease)))
        with self.store.transaction() as tx:
            extended = self.store.extend(tx, [(lease.job_id, lease.token) for lease in beats], LEASE_S)
            held = self.store.held(tx, beats)
        alive = [(lease, job) for lease in beats if (job := self._holder(lease))]
        assert extended == held == {lease.job_id for lease, _ in alive}
        for _, job in alive:
            job.expires_at_s = self.now_s + LEASE_S

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        recent = self.leases[-8:]
        chosen = data.draw(st.lists(st.tuples(st.sampled_from(recent), outcomes), min_size=1, max_size=4))
        self._settle([(lease, outcome) for lease, outcome in chosen])

    def _settle(self, chosen: list[tuple[Lease, str]]) -> None:
        holders = [self._holder(lease) for lease, _ in chosen]
        names = [id(job) for job in holders]
        fine = None not in holders and len(set(names)) == len(names)
        settlements = [self._settlement(lease, outcome) for lease, outcome in chosen]
        try:
            with self.store.transaction() as tx:
                self.store.settle(tx, settlements)
        except LeaseLost:
            assert not fine
            return
        assert fine
        for job, (_, outcome) in zip(holders, chosen, strict=True):
            assert job is not None
            self._end_attempt(job, outcome)

    def _settlement(self, lease: Lease, outcome: str) -> Settlement:
        made: dict[str, Settlement] = {
            "finish": Finish(lease),
            "skip": Finish(lease, skipped=True, reason="hidden"),
            "continue": Continue(lease, lease.payload),
            "retry": Retry(lease, 15, BROKEN),
            "died": Retry(lease, 0, BROKEN, died=True, alone=True),
            "fail": Fail(lease, BROKEN),
            "defer": Defer(lease, 25, "away"),
            "release": Release(lease),
        }
        return made[outcome]

    def _end_attempt(self, job: ModelJob, outcome: str) -> None:
        """What an outcome means for the model."""
        job.token = None
        if outcome in {"finish", "skip"}:
            self.model.end(job)
            return
        successor = self.model.other_with_key(job)
        delays = {"retry": 15, "died": 0, "defer": 25}
        job.attempts = {"continue": 0, "release": job.attempts, "defer": job.attempts}.get(outcome, job.attempts + 1)
        job.run_at_s = self.now_s + delays.get(outcome, 0)
        job.state = JobState.DELAYED if outcome in delays else JobState.WAITING
        if outcome == "fail":
            job.state = JobState.FAILED
        if successor is not None:
            self.model.jobs.remove(successor)
            if outcome == "continue":  # starts over for the successor: the earlier requests are served by that
                self.model.ended.update(job.tickets)
                job.tickets = set()
            self.model.take_in(job, successor)

    @rule(seconds=st.sampled_from([1, 10, 20, 31]))
    def time_passes(self, seconds: int) -> None:
        self.bench.clock.sleep(seconds)
        self.now_s += seconds

    @rule()
    def due_jobs_wait(self) -> None:
        due = [job for job in self.model.jobs if job.state is JobState.DELAYED and job.run_at_s <= self.now_s]
        for job in due:
            job.state = JobState.WAITING
        with self.store.transaction() as tx:
            assert self.store.promote_due(tx) == len(due)

    @rule(outcome=st.sampled_from(["release", "died", "fail"]))
    def expired_leases_are_rescued(self, outcome: str) -> None:
        with self.store.transaction() as tx:
            expired = self.store.expired(tx, QUEUES, 100)
        late = [job for job in self.model.jobs if job.token is not None and job.expires_at_s <= self.now_s]
        assert sorted(lease.token for lease in expired) == sorted(str(job.token) for job in late)
        self._settle([(lease, outcome) for lease in expired])

    @rule()
    def the_controller_restarts(self) -> None:
        self.incarnation += 1
        orphans = [job for job in self.model.jobs if job.token is not None]
        for job in orphans:
            self._end_attempt(job, "release")
        with self.store.transaction() as tx:
            assert self.store.release_predecessor(tx, "controller", str(self.incarnation)) == len(orphans)

    # admins

    @rule(queue=queues)
    def pause(self, queue: QueueName) -> None:
        self.model.paused.add(queue)
        with self.store.transaction() as tx:
            self.store.pause(tx, queue)

    @rule(queue=queues)
    def resume(self, queue: QueueName) -> None:
        self.model.paused.discard(queue)
        with self.store.transaction() as tx:
            self.store.resume(tx, queue)

    @rule(queue=queues)
    def empty(self, queue: QueueName) -> None:
        doomed = [job for job in self.model.jobs if job.queue is queue and job.state is JobState.WAITING]
        for job in doomed:
            self.model.end(job)
        with self.store.transaction() as tx:
            assert self.store.empty(tx, queue) == len(doomed)

    @rule(queue=queues, again=st.booleans())
    def failed_jobs_are_retried_or_cleared(self, queue: QueueName, again: bool) -> None:
        failed = [job for job in self.model.jobs if job.queue is queue and job.state is JobState.FAILED]
        for job in failed:
            if again:
                job.state, job.attempts, job.run_at_s = JobState.WAITING, 0, self.now_s
            else:
                self.model.end(job)
        with self.store.transaction() as tx:
            told = self.store.retry_failed(tx, queue) if again else self.store.clear_failed(tx, queue)
        assert told == len(failed)

    # what must always hold

    @invariant()
    def store_and_model_agree(self) -> None:
        with self.store.transaction(reading=True) as tx:
            counts = self.store.counts(tx)
            records = [record for queue in QUEUES for record in self.store.jobs(tx, queue, JobState, 1000)]
        found = sorted((r.queue, r.state, sorted(r.payload), r.attempts) for r in records)
        assert found == sorted((job.queue, job.state, sorted(job.tickets), job.attempts) for job in self.model.jobs)
        for queue in QUEUES:
            assert counts[queue].paused == (queue in self.model.paused)
            for state in JobState:
                expected = sum(job.queue is queue and job.state is state for job in self.model.jobs)
                assert getattr(counts[queue], state) == expected

    @invariant()
    def every_ticket_is_in_one_place(self) -> None:
        places = Counter(self.model.ended)
        for job in self.model.jobs:
            places.update(job.tickets)
        assert places == Counter(f"ticket {number}" for number in range(1, self.tickets + 1))

    def _holder(self, lease: Lease) -> ModelJob | None:
        """The job that this lease holds; tokens are shared by a call's leases, tickets tell them apart."""
        for job in self.model.jobs:
            if job.token == lease.token and job.tickets == set(lease.payload):
                return job
        return None


@pytest.fixture(scope="module", params=KINDS)
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with migrated_database(request.param, request, tmp_path_factory.mktemp("queue")) as opened:
        yield request.param, opened


def test_no_interleaving_loses_or_doubles_a_job(database: tuple[str, Database | None]) -> None:
    kind, opened = database
    run_state_machine_as_test(
        lambda: QueueMachine(fresh_bench(opened)),
        settings=settings(
            max_examples=EXAMPLES[kind],
            stateful_step_count=40,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
