"""What runs at night, and in which order. Source: spec/pipeline.md §8."""

from typing import Any

import pytest

from cluster.loops.cron import parse_cron
from cluster.names import JobName as J
from cluster.queue.job import Priority
from cluster.settings import read_settings
from cluster.system_config import SystemConfig, defaults, merge
from tasks.timetable import TIMETABLE, nightly_cron, nightly_jobs

CLEANUP = [
    J.ASSET_DELETE_CHECK,
    J.USER_DELETE_CHECK,
    J.PERSON_CLEANUP,
    J.MEMORY_CLEANUP,
    J.SESSION_CLEANUP,
    J.AUDIT_TABLE_CLEANUP,
]
OTHERS = {
    "generateMemories": J.MEMORY_GENERATE,
    "syncQuotaUsage": J.USER_SYNC_USAGE,
    "missingThumbnails": J.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL,
    "clusterNewFaces": J.FACIAL_RECOGNITION_QUEUE_ALL,
}


def config(**nightly: Any) -> SystemConfig:
    return merge(defaults(read_settings({"HOME": "/home/x"})), {"nightlyTasks": nightly})


def test_everything_runs_in_immich_s_order() -> None:
    jobs = nightly_jobs(config())
    assert [job.name for job in jobs] == [*CLEANUP, *OTHERS.values(), J.RECONCILE]
    assert {job.priority for job in jobs} == {Priority.NIGHTLY}
    assert len({job.dedup_key for job in jobs}) == len(jobs)
    payloads = {job.name: dict(job.payload) for job in jobs if job.payload}
    assert payloads == {
        J.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL: {"force": False, "nightly": True},
        J.FACIAL_RECOGNITION_QUEUE_ALL: {"force": False, "nightly": True},
    }


@pytest.mark.parametrize("switch", ["databaseCleanup", *OTHERS])
def test_each_part_can_be_switched_off(switch: str) -> None:
    left = [job.name for job in nightly_jobs(config(**{switch: False}))]
    gone = CLEANUP if switch == "databaseCleanup" else [OTHERS[switch]]
    assert left == [name for name in [*CLEANUP, *OTHERS.values(), J.RECONCILE] if name not in gone]


def test_the_night_begins_when_the_admin_says() -> None:
    assert nightly_cron(config()) == "0 0 * * *"
    assert nightly_cron(config(startTime="09:05")) == "5 9 * * *"


def test_names_are_unique_and_defaults_can_be_read() -> None:
    assert len({entry.name for entry in TIMETABLE}) == len(TIMETABLE)
    for entry in TIMETABLE:
        cron = entry.cron(config())
        assert cron is None or parse_cron(cron)
        assert entry.jobs(config())
