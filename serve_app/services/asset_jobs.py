"""What the jobs of one asset made of it: where each step stands, for the owner's eyes."""

from dataclasses import dataclass

from cluster.db.queries import assets, jobs
from cluster.names import JobName
from cluster.queue.states import JobState
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import require_owned

STEPS: tuple[JobName, ...] = (
    JobName.ASSET_EXTRACT_METADATA,
    JobName.ASSET_GENERATE_THUMBNAILS,
    JobName.SMART_SEARCH,
    JobName.ASSET_DETECT_FACES,
    JobName.OCR,
    JobName.ASSET_DETECT_DUPLICATES,
    JobName.ASSET_ENCODE_VIDEO,
)
"""In the order in which an upload goes through them."""


@dataclass(frozen=True, slots=True)
class Step:
    """A job type of an asset. `state`: of its job, None where none stands in the queue."""

    name: JobName
    state: JobState | None


def steps_of(services: Services, caller: Caller, asset_id: str) -> list[Step]:
    """Every step. Raises BadRequest when the asset is not the user's. Blocks."""
    with services.database.reader() as session:
        require_owned(session, caller, [asset_id], "asset.read")
        found = {known.name: known.state for known in jobs.with_keys(session, [f"{name}:{asset_id}" for name in STEPS])}
        ((asset, _),) = assets.assets_with_exif(session, [asset_id]).values()
        is_video = asset.type == "VIDEO"
    return [Step(name, found.get(name)) for name in STEPS if is_video or name is not JobName.ASSET_ENCODE_VIDEO]
