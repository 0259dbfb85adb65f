"""What is missing, and what is on its way already: shared by the "Missing" buttons and the reconciler.

Both add a job only where nothing of the kind is under way. They ask the queue first and the rows after it: a job that
ends in between is no longer in the queue, but then its rows are there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.db.queries import jobs
from cluster.names import JobName
from cluster.queue.states import JobState
from tasks import video_encoding
from tasks.job import Context
from tasks.pipeline import jobs_before, leads_to


@dataclass(frozen=True, slots=True)
class Missing:
    """What a job makes of an asset. `lacking(context, asset_ids)`: those of them that lack it, by their rows.

    `makes`: types of `asset_file`; where such a file is gone or empty the job is to run again, if it `acts_on` the
    asset. `begun`: of these assets, those that jobs of other names work on for it, or have failed at.
    """

    job: JobName
    lacking: Callable[[Context, Sequence[str]], set[str]]
    makes: frozenset[str] = frozenset()
    acts_on: Callable[[Context, Sequence[str]], set[str]] = lambda context, asset_ids: set(asset_ids)
    begun: Callable[[Context, Sequence[str]], set[str]] = lambda context, asset_ids: set()


def under_way(context: Context, name: JobName, asset_ids: Sequence[str]) -> set[str]:
    """Of these assets, those of which the job runs now, or one that leads to it waits or runs."""
    return {
        asset_id
        for asset_id, found in _in_queue(context, name, asset_ids).items()
        if any(state is JobState.ACTIVE or (state is not JobState.FAILED and before) for before, state in found)
    }


def in_queue(context: Context, name: JobName, asset_ids: Sequence[str]) -> set[str]:
    """Of these assets, those of which the job, or one that leads to it, stands in the queue. A failed one counts: it is
    on a list for a person, and would fail again."""
    return set(_in_queue(context, name, asset_ids))


PARTS: Mapping[JobName, Callable[[Context, Sequence[str]], dict[str, str]]] = {
    JobName.ASSET_ENCODE_VIDEO: video_encoding.part_keys
}
"""Jobs that go on in jobs of other names: key → asset of those."""


def _in_queue(context: Context, name: JobName, asset_ids: Sequence[str]) -> dict[str, list[tuple[bool, JobState]]]:
    """Per asset: whether it is another job than this one, and its state."""
    asset_of = {f"{one}:{asset_id}": asset_id for one in jobs_before(name) for asset_id in asset_ids}
    found: dict[str, list[tuple[bool, JobState]]] = {}
    for known in jobs.with_keys(context.session, list(asset_of)):
        if leads_to(known.name, known.payload, name):
            found.setdefault(asset_of[known.dedup_key], []).append((known.name is not name, known.state))
    part_of = PARTS[name](context, asset_ids) if name in PARTS else {}
    for known in jobs.with_keys(context.session, list(part_of)):
        found.setdefault(part_of[known.dedup_key], []).append((True, known.state))
    return found
