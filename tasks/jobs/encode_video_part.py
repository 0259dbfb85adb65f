"""Encodes one part of a long video: a stretch of its picture, or all of its sound.

Before: `encode_video`, which cut it. After: the last part to end enqueues `join_video_parts`. What comes out is held
against what went in; where it differs, all parts are given up and the video is encoded whole. A job of ours: clients
see it as AssetEncodeVideo.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.db.queries import video_parts
from cluster.db.queries.video_parts import PICTURE, EncodingRow, PartRow
from cluster.names import JobName
from cluster.queue.job import Fact, JobSpec, Lease, Loaded, Skipped
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.delete_files import delete_files
from tasks.media.encode import Watch
from tasks.media.probe import VideoFacts
from tasks.media.transcode import Need, TranscodeSettings
from tasks.media.video_parts import NotInParts, Part, encode_picture_part, encode_sound
from tasks.tools import Tools
from tasks.video_encoding import LONGEST_S, encode_whole_instead, join_job, settings_from_values

SPEC = JobSpec(JobName.ASSET_ENCODE_VIDEO_PART, timeout_s=LONGEST_S, wire_name=JobName.ASSET_ENCODE_VIDEO)


@dataclass(frozen=True, slots=True)
class PartInput:
    """`part`: the stretch of the picture, None for the sound."""

    original_path: str
    original_file_name: str
    target_path: str
    facts: VideoFacts
    need: Need
    settings: TranscodeSettings
    part: Part | None


@dataclass(frozen=True, slots=True)
class PartEncoded:
    """The part, done."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class NotSure:
    """This video is not sure to come out the same in parts."""

    reason: str


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    found = video_parts.encodings(context.session, [lease.payload["id"] for lease in leases])
    return [_input(found.get(lease.payload["id"]), lease, context) for lease in leases]


def _input(encoding: EncodingRow | None, lease: Lease, context: Context) -> PartInput | Skipped:
    if encoding is None or encoding.fingerprint != lease.payload["fingerprint"]:
        return Skipped("its video is not encoded in these parts any more")
    row = _row_of(encoding, lease)
    if row is None or row.path is not None:
        return Skipped("done already")
    plan = encoding.plan
    part = f"{row.kind}-{row.number}"
    path = context.layout.video_part_path(encoding.owner_id, encoding.asset_id, encoding.fingerprint, part)
    return PartInput(
        original_path=encoding.original_path,
        original_file_name=encoding.original_file_name,
        target_path=str(path),
        facts=VideoFacts.from_values(plan["facts"]),
        need=Need(**plan["need"]),
        settings=settings_from_values(plan["settings"]),
        part=_stretch(row),
    )


def _row_of(encoding: EncodingRow, lease: Lease) -> PartRow | None:
    wanted = (lease.payload["kind"], lease.payload["number"])
    return next((part for part in encoding.parts if (part.kind, part.number) == wanted), None)


def _stretch(row: PartRow) -> Part | None:
    if row.kind != PICTURE or row.start_pts is None or row.frame_count is None:
        return None
    return Part(row.start_pts, row.frame_count)


def work(given: PartInput, tools: Tools) -> PartEncoded | NotSure:
    """Raises what `encode` raises."""
    source, target = Path(given.original_path), tools.fenced(given.target_path)
    watch = Watch(tools.progress, tools.cancelled)
    if given.part is None:
        encode_sound(source, target, given.facts, given.need, given.settings, watch)
    else:
        try:
            encode_picture_part(source, target, given.facts, given.settings, given.part, watch)
        except NotInParts as error:
            return NotSure(str(error))
    return PartEncoded(given.target_path, target.stat().st_size)


def files(output: PartEncoded | NotSure) -> Sequence[str]:
    return [output.path] if isinstance(output, PartEncoded) else []


def save(context: Context, lease: Lease, output: PartEncoded | NotSure) -> frozenset[Fact]:
    asset_id, fingerprint = lease.payload["id"], lease.payload["fingerprint"]
    if isinstance(output, NotSure):
        encode_whole_instead(context, asset_id, fingerprint)
        return NO_FACTS
    session = context.session
    # all parts wait for each other here, so that exactly one of them is the last
    if video_parts.lock(session, asset_id) != fingerprint:
        context.store.enqueue(session, [delete_files([output.path])])
        return NO_FACTS
    kind, number = lease.payload["kind"], lease.payload["number"]
    size_bytes = output.size_bytes
    if video_parts.finish_part(session, asset_id, kind, number, output.path, size_bytes, context.now) == 0:
        context.store.enqueue(session, [join_job(asset_id, fingerprint)])
    return NO_FACTS


JOB = Job(SPEC, load, work, save, files)
