"""Joins the parts of a long video into the file that is served: each frame at its time in the source, the sound beside.

Before: the last `encode_video_part`. After: nothing; the parts' files go. Parts that do not fit together, or are gone,
are given up and the video is encoded whole. A job of ours: clients see it as AssetEncodeVideo.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.db.queries import video_parts
from cluster.db.queries.video_parts import PICTURE, EncodingRow
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped
from tasks.job import NO_FACTS, Context, Job
from tasks.media.encode import Watch
from tasks.media.video_parts import NotInParts, Part, join_parts
from tasks.pipeline import GONE
from tasks.tools import Tools
from tasks.video_encoding import encode_whole_instead, part_job, save_encoded

log = logging.getLogger(__name__)

SPEC = JobSpec(JobName.ASSET_JOIN_VIDEO_PARTS, timeout_s=3600, wire_name=JobName.ASSET_ENCODE_VIDEO)


@dataclass(frozen=True, slots=True)
class JoinInput:
    """`pictures`: path and stretch of each part, in order. `time_base`, `first_pts`: the source's."""

    original_file_name: str
    target_path: str
    pictures: tuple[tuple[str, Part], ...]
    sound: str | None
    time_base: str
    first_pts: int


@dataclass(frozen=True, slots=True)
class Joined:
    """The whole video, done."""

    path: str


@dataclass(frozen=True, slots=True)
class DoNotFit:
    """The parts give no whole."""

    reason: str


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    found = video_parts.encodings(context.session, [lease.payload["id"] for lease in leases])
    return [_input(found.get(lease.payload["id"]), lease, context) for lease in leases]


def _input(encoding: EncodingRow | None, lease: Lease, context: Context) -> JoinInput | Skipped:
    if encoding is None or encoding.fingerprint != lease.payload["fingerprint"]:
        return Skipped("its video is not encoded in these parts any more")
    if encoding.missing:
        jobs = [part_job(encoding.asset_id, encoding.fingerprint, part) for part in encoding.missing]
        context.store.enqueue(context.session, jobs)
        return Skipped("not all parts are done")
    pictures = [part for part in encoding.parts if part.kind == PICTURE]
    sounds = [part.path for part in encoding.parts if part.kind != PICTURE]
    return JoinInput(
        original_file_name=encoding.original_file_name,
        target_path=str(context.layout.encoded_video_path(encoding.owner_id, encoding.asset_id)),
        pictures=tuple((str(one.path), Part(one.start_pts or 0, one.frame_count or 0)) for one in pictures),
        sound=sounds[0] if sounds else None,
        time_base=encoding.plan["time_base"],
        first_pts=encoding.plan["first_pts"],
    )


def work(given: JoinInput, tools: Tools) -> Joined | DoNotFit:
    """Raises NoSpace, Cancelled."""
    pictures = [(Path(path), part) for path, part in given.pictures]
    sound = Path(given.sound) if given.sound else None
    missing = [path for path in (*(path for path, _ in pictures), sound) if path is not None and not path.is_file()]
    if missing:
        return DoNotFit(f"{missing[0]} is gone")
    try:
        join_parts(
            pictures,
            sound,
            tools.fenced(given.target_path),
            time_base=given.time_base,
            first_pts=given.first_pts,
            watch=Watch(tools.progress, tools.cancelled),
        )
    except NotInParts as error:
        log.warning("the parts of %s give no whole: %s", given.original_file_name, error)
        return DoNotFit(str(error))
    return Joined(given.target_path)


def files(output: Joined | DoNotFit) -> Sequence[str]:
    return [output.path] if isinstance(output, Joined) else []


def save(context: Context, lease: Lease, output: Joined | DoNotFit) -> frozenset[Fact]:
    asset_id = lease.payload["id"]
    if isinstance(output, DoNotFit):
        encode_whole_instead(context, asset_id, lease.payload["fingerprint"])
        return NO_FACTS
    return NO_FACTS if save_encoded(context, asset_id, output.path) else frozenset({GONE})


JOB = Job(SPEC, load, work, save, files)
