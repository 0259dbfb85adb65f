"""What the jobs of one video share: how each is enqueued, what a finished video leaves behind, and how parts are given
up for the whole. Parts are jobs of their own, under the row of the encode; see the README.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from cluster.db.queries import video_parts
from cluster.db.queries.video_parts import PartRow
from cluster.names import JobName
from cluster.queue.job import NewJob, Priority, asset_job
from cluster.system_config import SystemConfig
from tasks.job import Context
from tasks.jobs.delete_files import delete_files
from tasks.media.transcode import TranscodeSettings

WHOLE = "whole"
"""In the payload of AssetEncodeVideo: not in parts, since that was tried and was not sure."""

LONGEST_S = 25 * 3600.0
"""A call that takes longer is ended; ffmpeg is ended an hour earlier, by its own limit."""


def transcode_settings(config: SystemConfig) -> TranscodeSettings:
    """The system config's `ffmpeg` as plain values."""
    return settings_from_values({field.name: getattr(config.ffmpeg, field.name) for field in fields(TranscodeSettings)})


def settings_from_values(values: Mapping[str, Any]) -> TranscodeSettings:
    """From what `dataclasses.asdict` gave, by way of JSON, which knows no tuples."""
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return TranscodeSettings(**known)


def part_job(asset_id: str, fingerprint: str, part: PartRow) -> NewJob:
    """The job of one part. It goes before what has not begun."""
    payload = {"id": asset_id, "fingerprint": fingerprint, "kind": part.kind, "number": part.number}
    name = JobName.ASSET_ENCODE_VIDEO_PART
    key = f"{name}:{asset_id}:{fingerprint}:{part.kind}:{part.number}"
    return NewJob(name, payload, Priority.UNDER_WAY, dedup_key=key, asset_id=asset_id)


def join_job(asset_id: str, fingerprint: str) -> NewJob:
    """The job that joins the parts."""
    name = JobName.ASSET_JOIN_VIDEO_PARTS
    payload = {"id": asset_id, "fingerprint": fingerprint}
    return NewJob(name, payload, Priority.UNDER_WAY, dedup_key=f"{name}:{asset_id}:{fingerprint}", asset_id=asset_id)


def part_keys(context: Context, asset_ids: Sequence[str]) -> dict[str, str]:
    """Dedup key → asset of every job that may stand in the queue for the parts of these assets."""
    return {
        str(job.dedup_key): asset_id
        for asset_id, encoding in video_parts.encodings(context.session, asset_ids).items()
        for job in (
            *(part_job(asset_id, encoding.fingerprint, part) for part in encoding.missing),
            join_job(asset_id, encoding.fingerprint),
        )
    }


def whole_job(asset_id: str) -> NewJob:
    """AssetEncodeVideo, but not in parts."""
    job = asset_job(JobName.ASSET_ENCODE_VIDEO, asset_id, priority=Priority.UNDER_WAY)
    return NewJob(job.name, {**job.payload, WHOLE: True}, job.priority, dedup_key=job.dedup_key, asset_id=asset_id)


def begin_parts(
    context: Context, asset_id: str, fingerprint: str, plan: Mapping[str, Any], parts: Sequence[PartRow]
) -> None:
    """Enqueue what is not done of the parts. Those of an earlier run with this fingerprint count; others go."""
    session = context.session
    if video_parts.lock(session, asset_id) not in (None, fingerprint):
        _delete(context, drop_parts(context, asset_id))
    video_parts.begin(session, asset_id, fingerprint, plan, parts, context.now)
    missing = video_parts.encodings(session, [asset_id])[asset_id].missing
    jobs = [part_job(asset_id, fingerprint, part) for part in missing]
    context.store.enqueue(session, jobs or [join_job(asset_id, fingerprint)])


def save_encoded(context: Context, asset_id: str, path: str) -> bool:
    """The file at `path` is the asset's encoded video from now on, and no parts are needed. False when the asset is
    gone; the file then goes too."""
    if not video_parts.keep_asset(context.session, asset_id):
        _delete(context, [path])
        return False
    replaced = video_parts.replace_encoded_file(context.session, asset_id, path, context.now)
    _delete(context, [*drop_parts(context, asset_id), *replaced])
    return True


def forget_encoded(context: Context, asset_id: str) -> None:
    """The asset needs no encoded video: what there is of one goes, parts under way included."""
    replaced = video_parts.replace_encoded_file(context.session, asset_id, None, context.now)
    _delete(context, [*drop_parts(context, asset_id), *replaced])


def encode_whole_instead(context: Context, asset_id: str, fingerprint: str) -> None:
    """Give the parts up, once, and begin anew with the whole."""
    if video_parts.lock(context.session, asset_id) == fingerprint:
        _delete(context, video_parts.drop(context.session, asset_id))
        context.store.enqueue(context.session, [whole_job(asset_id)])


def drop_parts(context: Context, asset_id: str) -> list[str]:
    """Forget parts under way; the paths of those that were done."""
    if video_parts.lock(context.session, asset_id) is None:
        return []
    return video_parts.drop(context.session, asset_id)


def _delete(context: Context, paths: Sequence[str]) -> None:
    if paths:
        context.store.enqueue(context.session, [delete_files(paths)])
