"""What Ray's answers mean for a call, and what Ray is told about a job type. No Ray runs here."""

import pickle
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest
from ray import exceptions

from cluster.loops.submitter import Call, CallLost, CallReturned, LossReason
from cluster.names import QUEUE_OF_JOB, JobName, QueueName
from cluster.queue.job import Crashed, Done, JobId, JobSpec, Lease, LeaseToken, Resources, Skipped, Worked
from tasks.ray_ends import end_of_call, lost_or_crashed
from tasks.ray_runner import MEDIA_MEMORY, task_options

NAME = JobName.ASSET_GENERATE_THUMBNAILS
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def call(count: int = 2) -> Call:
    leases = tuple(
        Lease(JobId(number), LeaseToken("t"), NAME, QUEUE_OF_JOB[NAME], {}, 1, 0, False, None, NOON, NOON)
        for number in range(count)
    )
    return Call("call", JobSpec(NAME), QUEUE_OF_JOB[NAME], leases, (None,) * count)


def answered(worked: list[Worked]) -> "Future[bytes]":
    """As `run_call` answers."""
    future: Future[bytes] = Future()
    future.set_result(pickle.dumps(("node-1", worked)))
    return future


def test_each_result_finds_its_lease() -> None:
    sent = call()
    end = end_of_call(sent, None, answered([Worked(Done("a"), 5, 100), Worked(Skipped("hidden"), 6, 200)]))
    assert isinstance(end, CallReturned)
    assert [(one.lease, one.outcome, one.node) for one in end.results] == [
        (sent.leases[0], Done("a"), "node-1"),
        (sent.leases[1], Skipped("hidden"), "node-1"),
    ]
    assert [(one.duration_ms, one.peak_memory_mb) for one in end.results] == [(5, 100), (6, 200)]


def test_an_answer_of_the_wrong_length_is_no_answer() -> None:
    with pytest.raises(ValueError, match="shorter"):
        end_of_call(call(), None, answered([Worked(Done(), 5, 100)]))


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (exceptions.WorkerCrashedError(), LossReason.WORKER),
        (exceptions.OutOfMemoryError("too much"), LossReason.MEMORY),  # type: ignore[no-untyped-call]
        (exceptions.NodeDiedError("gone"), LossReason.NODE),  # type: ignore[no-untyped-call]
        (exceptions.TaskUnschedulableError("no such label"), LossReason.UNSCHEDULABLE),
        (exceptions.ActorUnschedulableError("no such label"), LossReason.UNSCHEDULABLE),
        (exceptions.TaskCancelledError(), LossReason.CANCELLED),
        (exceptions.ActorUnavailableError("restarting", None), LossReason.UNSCHEDULABLE),
        (exceptions.ActorDiedError(), LossReason.WORKER),
    ],
)
def test_rays_own_errors_are_losses(error: Exception, reason: LossReason) -> None:
    end = lost_or_crashed(call(), error)
    assert isinstance(end, CallLost)
    assert end.reason is reason
    assert end.message
    assert "\n" not in end.message


@pytest.mark.parametrize("message", ["it broke\nin the middle", ""])
def test_what_was_raised_around_the_jobs_is_a_failed_attempt_of_each(message: str) -> None:
    end = lost_or_crashed(call(3), ValueError(message))
    assert isinstance(end, CallReturned)
    assert len(end.results) == 3
    for result in end.results:
        assert isinstance(result.outcome, Crashed)
        assert result.outcome.retryable
        assert result.outcome.attempt.error_class == "ValueError"
        assert result.outcome.attempt.message == (message.splitlines() or ["ValueError"])[0]


def test_ray_never_retries_and_places_by_the_queues_label() -> None:
    options = task_options(JobSpec(NAME, resources=Resources(cpus=0.5)), QueueName.THUMBNAIL_GENERATION)
    assert options == {
        "name": "AssetGenerateThumbnails",
        "num_cpus": 0.5,
        "label_selector": {"queue/thumbnailGeneration": "true"},
        "max_retries": 0,
    }


def test_drained_nodes_are_left_out() -> None:
    options = task_options(JobSpec(NAME), QueueName.THUMBNAIL_GENERATION, ("ab", "cd"))
    assert options["label_selector"] == {"queue/thumbnailGeneration": "true", "ray.io/node-id": "!in(ab,cd)"}


def test_gpus_memory_and_malloc_settings_are_told_where_they_are_wanted() -> None:
    resources = Resources(cpus=1, gpus=0.25, memory_mb=2048)
    options = task_options(JobSpec(NAME, resources=resources, media_memory=True), QueueName.THUMBNAIL_GENERATION)
    assert (options["num_gpus"], options["memory"]) == (0.25, 2 * 1024**3)
    assert options["runtime_env"] == {"env_vars": MEDIA_MEMORY}
