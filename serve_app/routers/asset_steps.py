"""/asset-steps: where the jobs of one's own asset stand. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends

from cluster.names import JobName
from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.asset_jobs import steps_of
from serve_app.wire.common import Wire, WireId

router = APIRouter(prefix="/asset-steps", include_in_schema=False)


class StepSeen(Wire):
    """`state`: waiting, delayed, active or failed; null where no such job stands in the queue."""

    name: JobName
    state: str | None


@router.get("/{asset_id}")
def get_asset_steps(
    asset_id: WireId, caller: Annotated[Caller, Depends(allow("asset.read"))], services: ServicesOf
) -> list[StepSeen]:
    """Every step that an upload goes through, in order."""
    return [StepSeen(name=step.name, state=step.state) for step in steps_of(services, caller, asset_id)]
