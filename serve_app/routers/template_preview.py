"""/storage-template-preview: where a template would put an example. Ours."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve_app.deps import Caller, allow
from serve_app.services.preview_template import preview_template
from serve_app.wire.common import Wire

router = APIRouter(prefix="/storage-template-preview", include_in_schema=False)


class Preview(Wire):
    """Below the media folder."""

    path: str


@router.get("")
def get_template_preview(
    caller: Annotated[Caller, Depends(allow("systemConfig.read", admin=True))],
    template: Annotated[str, Query(max_length=2000)],
) -> Preview:
    """Where an example would lie."""
    return Preview(path=preview_template(template))
