"""Finds the picture of a person. Source: spec/api.md §6."""

from pathlib import Path

from cluster.db.queries.people import person_of
from cluster.errors import NotFound, PathEscapes
from cluster.storage.layout import Folder, inside
from serve_app.deps import Services
from serve_app.services.get_asset import no_access
from serve_app.services.serve_media import ServedFile


def person_thumbnail(services: Services, user_id: str, person_id: str) -> ServedFile:
    """Raises BadRequest for somebody else's person, NotFound for one without a picture. Blocks."""
    with services.database.reader() as session:
        person = person_of(session, user_id, person_id)
    if person is None:
        raise no_access("person.read")
    try:
        path = inside(services.layout.folder(Folder.THUMBS), Path(person.thumbnail_path))
    except PathEscapes:
        raise NotFound("Not Found") from None
    return ServedFile(path, "image/jpeg", path.name)
