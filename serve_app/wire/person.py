"""People in Immich's spelling. Source: spec/api.md §4.3, §6."""

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StrictBool

from cluster.db.tables.person import Person
from serve_app.services.people import PeoplePage, SeenProposal
from serve_app.wire.common import LARGEST, PlainText, WhenKnown, Wire, WireId, WireTime
from serve_app.wire.tag import Color

Count = Annotated[int, Field(ge=0, le=LARGEST)]


def _unless_empty(text: Any) -> Any:
    return None if text == "" else text


BirthDate = Annotated[date | None, BeforeValidator(_unless_empty)]


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


class PeopleResponse(Wire):
    """A page of people. `total`: all who are listed, hidden ones too."""

    people: list[PersonResponse]
    total: Count
    hidden: Count
    has_next_page: bool


class PersonCreate(Wire):
    """Somebody to add."""

    name: PlainText = ""
    birth_date: BirthDate = None
    is_hidden: StrictBool = False
    is_favorite: StrictBool = False
    color: Color = None

    def columns(self) -> dict[str, Any]:
        """Only what the client named."""
        return self.model_dump(include=self.model_fields_set & set(PersonCreate.model_fields))


class PersonUpdate(PersonCreate):
    """What is to change of somebody; what is not named stays."""

    feature_face_asset_id: WireId = ""


class PeopleUpdateItem(PersonUpdate):
    """The same for one of many."""

    id: WireId


class PeopleUpdate(Wire):
    """Changes for many."""

    people: list[PeopleUpdateItem]


class PeopleIds(Wire):
    """Some people."""

    ids: list[WireId]


class FacesOfAsset(Wire):
    """The faces of somebody in one asset."""

    asset_id: WireId
    person_id: WireId


class FaceMoves(Wire):
    """Faces that are to be somebody else's."""

    data: list[FacesOfAsset]


class PersonStatistics(Wire):
    """How many pictures somebody is in."""

    assets: Annotated[int, Field(ge=-LARGEST, le=LARGEST)]


class ProposalResponse(Wire):
    """Two people who may be one."""

    people: list[PersonResponse]
    faces: int


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


def people_response(page: PeoplePage) -> PeopleResponse:
    return PeopleResponse(
        people=[person_response(person) for person in page.people],
        total=page.count.total,
        hidden=page.count.hidden,
        has_next_page=page.has_next,
    )


def proposal_response(seen: SeenProposal) -> ProposalResponse:
    return ProposalResponse(people=[person_response(seen.first), person_response(seen.second)], faces=seen.faces)
