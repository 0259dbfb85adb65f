"""Makes a video that plays everywhere where the original does not: decides, then encodes it whole or cuts it up.

Before: its thumbnails, for uploads; a person; the nightly run asks for none. After: nothing, or a job per part
(`encode_video_part`) and one that joins them (`join_video_parts`). Parts are for long videos, and only where they are
sure to give the same; see the README. Source: spec/jobs-media.md §3.
"""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, exists, not_, select

from cluster.db.queries import video_parts
from cluster.db.queries.assets import ids_where
from cluster.db.queries.video_parts import ENCODED_VIDEO, PICTURE, SOUND, PartRow
from cluster.db.tables.asset import Asset, AssetAudio, AssetExif, AssetFile, AssetVideo
from cluster.db.tables.video import VideoEncoding
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, More, Skipped
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.media.encode import Watch, encode
from tasks.media.probe import VideoFacts
from tasks.media.transcode import Need, TranscodeSettings, needed
from tasks.media.video_parts import KeyFrames, NotInParts, Part, may_be_cut, parts_of, read_key_frames
from tasks.missing import Missing
from tasks.pipeline import GONE
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools
from tasks.video_encoding import (
    LONGEST_S,
    WHOLE,
    begin_parts,
    forget_encoded,
    save_encoded,
    transcode_settings,
)

log = logging.getLogger(__name__)

SPEC = JobSpec(JobName.ASSET_ENCODE_VIDEO, timeout_s=LONGEST_S)


@dataclass(frozen=True, slots=True)
class EncodeInput:
    """`target_path`: where the result goes; `parts_from_s`: longer videos are cut into parts, 0 for none."""

    original_path: str
    original_file_name: str
    target_path: str
    facts: VideoFacts
    need: Need
    settings: TranscodeSettings
    parts_from_s: int


@dataclass(frozen=True, slots=True)
class Encoded:
    """The whole video, done."""

    path: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing is encoded yet: these are the parts. `plan`: what all are encoded with; `fingerprint`: of source, plan
    and parts."""

    fingerprint: str
    plan: Mapping[str, Any]
    parts: tuple[PartRow, ...]


def select_page(context: Context, lease: Lease) -> Done | More:
    """Queue every video that is not deleted, or those that are not hidden, have no encoded file and need one."""
    chosen = _videos() if forced(lease) else _not_encoded()
    statement = select(Asset.id).where(*chosen, Asset.id > cursor(lease)).order_by(Asset.id).limit(PAGE)
    return queue_page(context, lease, MISSING, context.session.scalars(statement).all())


def _videos() -> list[ColumnElement[bool]]:
    return [Asset.type == "VIDEO", Asset.deleted_at.is_(None)]


def _not_encoded() -> list[ColumnElement[bool]]:
    encoded = exists().where(AssetFile.asset_id == Asset.id, AssetFile.type == ENCODED_VIDEO)
    return [*_videos(), Asset.visibility != "hidden", not_(encoded)]


def _lacking(context: Context, asset_ids: Sequence[str]) -> set[str]:
    """A video that plays as it is lacks nothing; one of which nothing is known is left to metadata extraction."""
    settings = transcode_settings(context.config)
    rows = context.session.execute(
        select(Asset.id, AssetVideo.facts.label("video_facts"), AssetAudio.facts.label("audio_facts"))
        .join(AssetVideo, AssetVideo.asset_id == Asset.id)
        .outerjoin(AssetAudio, AssetAudio.asset_id == Asset.id)
        .where(Asset.id.in_(asset_ids), *_not_encoded())
    )
    return {row.id for row in rows if needed(_facts(row), settings).anything}


MISSING = Missing(
    SPEC.name,
    _lacking,
    makes=frozenset({ENCODED_VIDEO}),
    acts_on=lambda context, ids: ids_where(context.session, ids, _videos()),
    begun=lambda context, ids: ids_where(context.session, ids, [exists().where(VideoEncoding.asset_id == Asset.id)]),
)


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    """Whether it is needed is told by rows alone; what is not needed any more goes here."""
    statement = (
        select(
            *(Asset.id, Asset.owner_id, Asset.type, Asset.original_path, Asset.original_file_name),
            *(AssetExif.asset_id.label("exif_id"), AssetVideo.facts.label("video_facts")),
            AssetAudio.facts.label("audio_facts"),
        )
        .outerjoin(AssetExif, AssetExif.asset_id == Asset.id)
        .outerjoin(AssetVideo, AssetVideo.asset_id == Asset.id)
        .outerjoin(AssetAudio, AssetAudio.asset_id == Asset.id)
        .where(Asset.id.in_([lease.payload["id"] for lease in leases]))
    )
    rows = {row.id: row for row in context.session.execute(statement)}
    return [_input(rows.get(lease.payload["id"]), context, lease) for lease in leases]


def _input(row: Any, context: Context, lease: Lease) -> EncodeInput | Skipped | Failed:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    if row.type != "VIDEO":
        return Skipped("no video")
    if row.exif_id is None or row.video_facts is None:
        return Failed(f"{row.original_file_name}: no video stream is known, extract its metadata first")
    facts, settings = _facts(row), transcode_settings(context.config)
    if not facts.width_px or not facts.height_px:
        return Failed(f"{row.original_file_name}: its frames are {facts.width_px} x {facts.height_px} pixels")
    need = needed(facts, settings)
    if not need.anything:
        forget_encoded(context, row.id)
        return Skipped("it plays as it is")
    return EncodeInput(
        original_path=row.original_path,
        original_file_name=row.original_file_name,
        target_path=str(context.layout.encoded_video_path(row.owner_id, row.id)),
        facts=facts,
        need=need,
        settings=settings,
        parts_from_s=0 if lease.payload.get(WHOLE) else context.settings.video_parts_from_s,
    )


def _facts(row: Any) -> VideoFacts:
    return VideoFacts.from_values({**row.video_facts, "audio": row.audio_facts})


def work(given: EncodeInput, tools: Tools) -> Encoded | Cut:
    """Raises what `encode` raises: UnreadableVideo, SourceMissing and EncodeFailed, where a retry cannot help, and what
    may pass."""
    source, watch = Path(given.original_path), Watch(tools.progress, tools.cancelled)
    if may_be_cut(given.facts, given.need, given.settings, given.parts_from_s):
        try:
            keys = read_key_frames(source, given.facts, watch)
        except NotInParts as reason:
            log.info("%s is encoded whole: %s", given.original_file_name, reason)
        else:
            parts = parts_of(keys, given.parts_from_s / 2)
            if len(parts) > 1:
                return _cut(given, source, keys, parts)
    encode(source, tools.fenced(given.target_path), given.facts, given.need, given.settings, watch)
    return Encoded(given.target_path)


def _cut(given: EncodeInput, source: Path, keys: KeyFrames, parts: Sequence[Part]) -> Cut:
    plan = {
        "facts": asdict(given.facts),
        "need": asdict(given.need),
        "settings": asdict(given.settings),
        "time_base": keys.time_base,
        "first_pts": keys.first_pts,
    }
    rows = [PartRow(PICTURE, number, part.start_pts, part.frame_count) for number, part in enumerate(parts)]
    if given.facts.audio is not None:
        rows.append(PartRow(SOUND, 0, None, None))
    file = source.stat()
    told = [file.st_size, file.st_mtime_ns, plan, [asdict(row) for row in rows]]
    fingerprint = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
    return Cut(fingerprint, plan, tuple(rows))


def files(output: Encoded | Cut) -> Sequence[str]:
    return [output.path] if isinstance(output, Encoded) else []


def save(context: Context, lease: Lease, output: Encoded | Cut) -> frozenset[Fact]:
    asset_id = lease.payload["id"]
    if isinstance(output, Encoded):
        return NO_FACTS if save_encoded(context, asset_id, output.path) else frozenset({GONE})
    if not video_parts.keep_asset(context.session, asset_id):
        return frozenset({GONE})
    begin_parts(context, asset_id, output.fingerprint, output.plan, output.parts)
    return NO_FACTS


JOB = Job(SPEC, load, work, save, files)
QUEUE_ALL = RowJob(queue_all_spec(JobName.ASSET_ENCODE_VIDEO_QUEUE_ALL), select_page)
