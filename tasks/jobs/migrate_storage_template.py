"""Moves an original to where the storage template wants it; until that is built, a step that the chain passes through.

Before: extract_metadata. After: generate_thumbnails, for uploads and copies. Source: spec/jobs-media.md §6.
"""

from collections.abc import Sequence
from typing import Any

from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped
from tasks.job import Context, Job
from tasks.tools import Tools

SPEC = JobSpec(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, batch=128)  # settled by `load`, so a batch costs no call


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    """Nothing is to be moved, or it cannot be moved yet: either way the chain goes on."""
    enabled = context.config.storage_template.enabled
    reason = "not implemented" if enabled else "the storage template is disabled"
    return [Skipped(reason)] * len(leases)


def work(given: Any, tools: Tools) -> None:
    raise AssertionError("load settles every job")


def save(context: Context, lease: Lease, output: Any) -> frozenset[Fact]:
    raise AssertionError("load settles every job")


JOB = Job(SPEC, load, work, save)
