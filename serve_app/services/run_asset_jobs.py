"""Runs one job again for chosen assets. No source, so nothing follows it. Source: spec/pipeline.md §3."""

from collections.abc import Sequence
from enum import Enum

from cluster.names import JobName
from cluster.queue.job import Priority, asset_job
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_owned


class AssetJob(Enum):
    """What a person may ask for, and the job that does it."""

    REFRESH_FACES = JobName.ASSET_DETECT_FACES
    REFRESH_METADATA = JobName.ASSET_EXTRACT_METADATA
    REGENERATE_THUMBNAIL = JobName.ASSET_GENERATE_THUMBNAILS
    TRANSCODE_VIDEO = JobName.ASSET_ENCODE_VIDEO


def run_asset_jobs(services: Services, caller: Caller, ids: Sequence[str], job: AssetJob) -> None:
    """One job per asset. Raises BadRequest when one is not the user's. Blocks."""
    with services.database.session(durable=True) as session:
        require_owned(session, caller, ids, "asset.update")
        jobs = [asset_job(job.value, asset_id, priority=Priority.PERSON_WAITS) for asset_id in dict.fromkeys(ids)]
        services.store.enqueue(session, jobs)
