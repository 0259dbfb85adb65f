"""People in Immich's spelling. Source: spec/api.md §4.3."""

from datetime import date

from cluster.db.tables.person import Person
from serve_app.wire.common import WhenKnown, Wire, WireTime


class PersonResponse(Wire):
    """Somebody who is in pictures. `name` is empty while unknown."""

    id: str
    name: str
    birth_date: date | None
    thumbnail_path: str
    is_hidden: bool
    is_favorite: bool
    color: WhenKnown[str] = None
    updated_at: WireTime


def person_response(person: Person) -> PersonResponse:
    return PersonResponse(
        id=person.id,
        name=person.name,
        birth_date=person.birth_date,
        thumbnail_path=person.thumbnail_path,
        is_hidden=person.is_hidden,
        is_favorite=person.is_favorite,
        color=person.color,
        updated_at=person.updated_at,
    )
