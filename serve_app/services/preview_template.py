"""Where a storage template would put a picture, said of an example."""

from pathlib import Path

from cluster.errors import BadRequest, PathEscapes, TemplateInvalid
from cluster.storage.template import SAMPLE, parse_template, target_path


def preview_template(text: str) -> str:
    """The path of an example below the media folder. Raises BadRequest with the reason why there is none."""
    try:
        rendered = parse_template(text).render(SAMPLE)
        return str(target_path(Path("/library"), "admin", rendered, SAMPLE.extension)).removeprefix("/")
    except TemplateInvalid as error:
        raise BadRequest(f"Invalid storage template: {error.reason}") from error
    except PathEscapes as error:
        raise BadRequest("Invalid storage template: it leads out of the owner's folder") from error
