"""The merge rule, and what settlements make of a row."""

import pytest

from cluster.errors import StateError
from cluster.names import JobName, QueueName
from cluster.queue.job import FailedAttempt, JobId, LeaseToken, NewJob, Priority
from cluster.queue.row import JobRow, lease_of, merged, new_rows, settled, stronger
from cluster.queue.states import JobState
from cluster.queue.store import Finish, Release, Retry

NOW_MS = 1_772_366_400_000


def active_row() -> JobRow:
    return JobRow(
        job_id=JobId(1),
        name=JobName.OCR,
        payload={"id": "1"},
        state=JobState.ACTIVE,
        order_key=NOW_MS * 1000,
        enqueued_at_ms=NOW_MS,
        run_at_ms=NOW_MS,
        dedup_key=None,
        asset_id=None,
        lease_token=LeaseToken("token"),
        lease_expires_at_ms=NOW_MS + 30_000,
    )


@pytest.mark.parametrize(
    ("older", "newer", "source"),
    [
        ("upload", "copy", "upload"),
        ("copy", "upload", "upload"),
        ("sidecar-write", "copy", "copy"),
        ("edit", "sidecar-write", "sidecar-write"),
        (None, "edit", "edit"),
        ("edit", None, "edit"),
        (None, None, None),
    ],
)
def test_the_source_with_the_longer_chain_stays(older: str | None, newer: str | None, source: str | None) -> None:
    def request(value: str | None) -> dict[str, str]:
        return {} if value is None else {"source": value}

    assert stronger(request(older), request(newer)).get("source") == source


def test_flags_stay_true_and_other_arguments_are_the_newer() -> None:
    assert stronger({"notify": True, "page": 1, "old": 1}, {"force": True, "notify": False, "page": 2}) == {
        "notify": True,
        "force": True,
        "page": 2,
        "old": 1,
    }
    assert stronger({"id": "1"}, {"id": "1"}) == {"id": "1"}


def test_a_new_row_waits_in_the_queue_of_its_job() -> None:
    (row,) = new_rows([NewJob(JobName.OCR, priority=Priority.NIGHTLY)], NOW_MS)
    assert (row.queue, row.state) == (QueueName.OCR, JobState.WAITING)
    assert row.order_key == (NOW_MS + 3_600_000) * 1000


def test_a_request_does_not_touch_the_time_of_one_that_waits_already() -> None:
    waiting, later = new_rows([NewJob(JobName.OCR), NewJob(JobName.OCR, delay_s=60)], NOW_MS)
    assert merged(waiting, later).state is JobState.WAITING
    assert merged(waiting, later).run_at_ms == NOW_MS


def test_a_row_that_is_settled_has_no_lease() -> None:
    row = active_row()
    retried = settled(row, Retry(lease_of(row), 10, FailedAttempt("Boom", "boom"), died=True), NOW_MS)
    assert retried is not None
    assert (retried.state, retried.attempts, retried.deaths) == (JobState.DELAYED, 1, 1)
    assert (retried.run_at_ms, retried.last_error) == (NOW_MS + 10_000, "boom")
    assert (retried.lease_token, retried.lease_expires_at_ms) == (None, None)
    with pytest.raises(ValueError, match="job 1 is not leased"):
        lease_of(retried)


def test_what_is_not_active_cannot_be_settled() -> None:
    row = active_row()
    lease = lease_of(row)
    released = settled(row, Release(lease), NOW_MS)
    assert released is not None
    assert settled(row, Finish(lease), NOW_MS) is None
    for settlement in (Finish(lease), Release(lease)):
        with pytest.raises(StateError):
            settled(released, settlement, NOW_MS)
