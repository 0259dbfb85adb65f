"""The pipeline's table against what spec/pipeline.md §1 says of the jobs that are served."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cluster.names import QUEUE_OF_JOB, JobName
from cluster.queue.job import (
    Done,
    Fact,
    FailedAttempt,
    FollowUps,
    JobId,
    Lease,
    LeaseToken,
    NewEvent,
    Pipeline,
    Priority,
    Skipped,
)
from tasks.pipeline import (
    ARROWS,
    GONE,
    OUTDATED,
    VIDEO,
    VISIBLE,
    after_upload,
    chain_behind,
    follow,
    follow_failure,
    jobs_before,
    leads_to,
)

J = JobName
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ML = {J.SMART_SEARCH, J.ASSET_DETECT_FACES, J.OCR}


def lease(name: JobName, **payload: Any) -> Lease:
    given = {"id": "a1", **payload}
    return Lease(JobId(1), LeaseToken("t"), name, QUEUE_OF_JOB[name], given, 1, 0, False, "a1", NOON, NOON)


def next_jobs(name: JobName, *facts: Fact, **payload: Any) -> dict[JobName, dict[str, Any]]:
    followed = follow(lease(name, **payload), Done(), frozenset(facts))
    return {job.name: dict(job.payload) for job in followed.jobs}


def test_follow_is_a_pipeline() -> None:
    pipeline: Pipeline = follow
    assert pipeline(lease(J.FILE_DELETE), Done(), frozenset()) == FollowUps()


def test_an_upload_begins_with_its_metadata_and_a_person_waits_for_it() -> None:
    job = after_upload("a1")
    assert (job.name, job.payload) == (J.ASSET_EXTRACT_METADATA, {"id": "a1", "source": "upload"})
    assert (job.priority, job.asset_id) == (Priority.PERSON_WAITS, "a1")


# Job that ended, its payload, what is known of the asset → jobs that follow. Source: spec/pipeline.md §1.
@pytest.mark.parametrize(
    ("ended", "payload", "facts", "expected"),
    [
        (J.SIDECAR_CHECK, {"source": "upload"}, [], {J.ASSET_EXTRACT_METADATA: {"source": "upload"}}),
        (J.SIDECAR_CHECK, {}, [], {J.ASSET_EXTRACT_METADATA: {}}),
        (J.SIDECAR_WRITE, {}, [], {J.ASSET_EXTRACT_METADATA: {"source": "sidecar-write"}}),
        (
            J.ASSET_EXTRACT_METADATA,
            {"source": "upload"},
            [],
            {J.STORAGE_TEMPLATE_MIGRATION_SINGLE: {"source": "upload"}},
        ),
        (J.ASSET_EXTRACT_METADATA, {}, [VIDEO], {J.STORAGE_TEMPLATE_MIGRATION_SINGLE: {}}),
        (J.ASSET_EXTRACT_METADATA, {"notify": True}, [], {J.STORAGE_TEMPLATE_MIGRATION_SINGLE: {}}),
        (
            J.STORAGE_TEMPLATE_MIGRATION_SINGLE,
            {"source": "upload"},
            [],
            {J.ASSET_GENERATE_THUMBNAILS: {"source": "upload"}},
        ),
        (
            J.STORAGE_TEMPLATE_MIGRATION_SINGLE,
            {"source": "copy"},
            [],
            {J.ASSET_GENERATE_THUMBNAILS: {"source": "copy"}},
        ),
        (J.STORAGE_TEMPLATE_MIGRATION_SINGLE, {"source": "sidecar-write"}, [], {}),
        (J.STORAGE_TEMPLATE_MIGRATION_SINGLE, {}, [], {}),
        (J.ASSET_GENERATE_THUMBNAILS, {"source": "upload"}, [VISIBLE], {name: {"source": "upload"} for name in ML}),
        (J.ASSET_GENERATE_THUMBNAILS, {"notify": True}, [VISIBLE], {name: {"notify": True} for name in ML}),
        (
            J.ASSET_GENERATE_THUMBNAILS,
            {"source": "upload"},
            [VIDEO],  # a hidden motion part: no client waits, but it is transcoded
            {name: {"source": "upload"} for name in ML | {J.ASSET_ENCODE_VIDEO}},
        ),
        (J.ASSET_GENERATE_THUMBNAILS, {"source": "copy"}, [VISIBLE, VIDEO], {}),
        (J.ASSET_GENERATE_THUMBNAILS, {}, [VISIBLE, VIDEO], {}),
        (J.SMART_SEARCH, {"source": "upload"}, [], {J.ASSET_DETECT_DUPLICATES: {"source": "upload"}}),
        (J.SMART_SEARCH, {"notify": True}, [], {}),
        (J.ASSET_DETECT_DUPLICATES, {"source": "upload"}, [], {}),
        (J.OCR, {"source": "upload"}, [], {}),
        (J.ASSET_ENCODE_VIDEO, {"source": "upload"}, [VIDEO], {}),
    ],
)
def test_what_follows_is_what_the_specification_says(
    ended: JobName, payload: dict[str, Any], facts: list[Fact], expected: dict[JobName, dict[str, Any]]
) -> None:
    assert next_jobs(ended, *facts, **payload) == {name: {"id": "a1", **rest} for name, rest in expected.items()}


def test_skipped_is_followed_like_done() -> None:
    ended = lease(J.ASSET_GENERATE_THUMBNAILS, source="upload")
    assert follow(ended, Skipped("hidden", frozenset({VIDEO})), frozenset()) == follow(
        ended, Done(), frozenset({VIDEO})
    )


def test_nothing_follows_when_the_asset_is_gone() -> None:
    for arrow in ARROWS:
        ended = lease(arrow.after, source="upload", notify=True)
        assert follow(ended, Skipped("gone", frozenset({GONE, VIDEO})), frozenset()) == FollowUps()
        assert follow(ended, Done(), frozenset({GONE, VISIBLE})) == FollowUps()
        assert follow(ended, Done(), frozenset({OUTDATED})) == FollowUps()


def test_clients_hear_of_an_upload_after_its_thumbnails_when_it_is_visible() -> None:
    heard = NewEvent("upload_success", data={"asset_id": "a1"})
    for payload in ({"source": "upload"}, {"notify": True}):
        ended = lease(J.ASSET_GENERATE_THUMBNAILS, **payload)
        assert follow(ended, Done(), frozenset({VISIBLE})).events == (heard,)
        assert follow(ended, Done(), frozenset()).events == ()
    assert follow(lease(J.ASSET_GENERATE_THUMBNAILS), Done(), frozenset({VISIBLE})).events == ()


def test_clients_hear_of_a_written_sidecar_after_its_metadata() -> None:
    ended = lease(J.ASSET_EXTRACT_METADATA, source="sidecar-write")
    assert follow(ended, Done(), frozenset()).events == (NewEvent("asset_update", data={"asset_id": "a1"}),)
    assert follow(lease(J.ASSET_EXTRACT_METADATA, source="upload"), Done(), frozenset()).events == ()


def test_a_whole_run_queues_what_follows_as_backlog_and_an_upload_as_awaited() -> None:
    awaited = follow(lease(J.ASSET_EXTRACT_METADATA, source="upload"), Done(), frozenset()).jobs
    backlog = follow(lease(J.ASSET_EXTRACT_METADATA), Done(), frozenset()).jobs
    assert [job.priority for job in awaited] == [Priority.PERSON_WAITS]
    assert [job.priority for job in backlog] == [Priority.BACKLOG]


def test_at_most_one_job_of_a_kind_waits_for_an_asset() -> None:
    jobs = follow(lease(J.ASSET_GENERATE_THUMBNAILS, source="upload"), Done(), frozenset({VIDEO})).jobs
    assert len({job.dedup_key for job in jobs}) == len(jobs) == 4
    assert all(job.dedup_key and job.asset_id == "a1" for job in jobs)


def test_the_table_has_no_ring() -> None:
    """A chain that returned to its beginning would never end."""
    after: dict[JobName, set[JobName]] = {}
    for arrow in ARROWS:
        after.setdefault(arrow.after, set()).add(arrow.then)

    def reach(name: JobName) -> set[JobName]:
        found: set[JobName] = set()
        todo = [name]
        while todo:
            for then in after.get(todo.pop(), ()):
                if then not in found:
                    found.add(then)
                    todo.append(then)
        return found

    assert all(name not in reach(name) for name in after)


@pytest.mark.parametrize(
    ("name", "payload", "wanted", "does"),
    [
        (J.ASSET_GENERATE_THUMBNAILS, {}, J.ASSET_GENERATE_THUMBNAILS, True),
        (J.ASSET_EXTRACT_METADATA, {"source": "upload"}, J.ASSET_GENERATE_THUMBNAILS, True),
        (J.ASSET_EXTRACT_METADATA, {}, J.ASSET_GENERATE_THUMBNAILS, False),
        (J.ASSET_EXTRACT_METADATA, {"notify": True}, J.ASSET_GENERATE_THUMBNAILS, False),
        (J.SIDECAR_CHECK, {"source": "upload"}, J.ASSET_ENCODE_VIDEO, True),
        (J.SIDECAR_WRITE, {"source": "upload"}, J.ASSET_GENERATE_THUMBNAILS, False),
        (J.ASSET_GENERATE_THUMBNAILS, {"source": "upload"}, J.ASSET_EXTRACT_METADATA, False),
        (J.ASSET_GENERATE_THUMBNAILS, {"notify": True}, J.OCR, True),
        (J.ASSET_GENERATE_THUMBNAILS, {"notify": True}, J.ASSET_DETECT_DUPLICATES, False),
    ],
)
def test_what_a_job_will_lead_to_is_told_by_its_payload(
    name: JobName, payload: dict[str, Any], wanted: JobName, does: bool
) -> None:
    assert leads_to(name, {"id": "a1", **payload}, wanted) is does
    assert not does or name in jobs_before(wanted)


def test_the_chain_behind_a_job_is_what_its_end_and_theirs_cause() -> None:
    photo = {J.STORAGE_TEMPLATE_MIGRATION_SINGLE, J.ASSET_GENERATE_THUMBNAILS, J.SMART_SEARCH}
    photo |= {J.ASSET_DETECT_FACES, J.OCR, J.ASSET_DETECT_DUPLICATES}
    behind = chain_behind(J.ASSET_EXTRACT_METADATA, "upload", False, False)
    assert (set(behind), len(behind)) == (photo, len(photo))
    video = chain_behind(J.ASSET_EXTRACT_METADATA, "upload", False, True)
    assert set(video) == photo | {J.ASSET_ENCODE_VIDEO}
    assert chain_behind(J.ASSET_EXTRACT_METADATA, None, False, True) == (J.STORAGE_TEMPLATE_MIGRATION_SINGLE,)
    assert chain_behind(J.OCR, "upload", False, False) == ()


def test_the_last_failure_of_a_backup_is_told_and_of_nothing_else() -> None:
    attempt = FailedAttempt("NoSpace", "the disk is full")
    (notice,) = follow_failure(lease(J.DATABASE_BACKUP), attempt).notices
    assert (notice.type, notice.level, notice.title) == ("JobFailed", "error", "Job Failed")
    assert notice.description == "Job DatabaseBackup failed with error: the disk is full"
    assert follow_failure(lease(J.FILE_DELETE), attempt) == FollowUps()
