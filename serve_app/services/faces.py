"""Faces of an asset, as far as a person deals with them: shown, drawn by hand, given to somebody, taken away.

Source: spec/api.md §6.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from cluster.db.queries import people
from cluster.db.queries.people import MANUAL, FaceBox
from cluster.db.tables.person import AssetFace, Person
from cluster.errors import BadRequest
from serve_app.deps import Caller, Services
from serve_app.services.get_asset import no_access, require_owned
from serve_app.services.people import choose_faces, give_faces, require_person

SIDE_PX_MOST = 2**31 - 1
"""Of a picture: what the database holds."""


@dataclass(frozen=True, slots=True)
class ShownFace:
    """A face, and whose it is."""

    face: AssetFace
    person: Person | None


def list_faces(services: Services, caller: Caller, asset_id: str) -> list[ShownFace]:
    """Those that can be seen, from left to right. Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        require_owned(session, caller, [asset_id], "asset.read")
        found = people.faces_in(session, asset_id)
        known = people.people_by_id(session, caller.user_id, [face.person_id for face in found if face.person_id])
        return [ShownFace(face, known.get(face.person_id or "")) for face in found]


def create_face(services: Services, caller: Caller, asset_id: str, person_id: str, box: FaceBox) -> None:
    """A face that no model found. Raises BadRequest. Blocks."""
    if not _lies_inside(box):
        raise BadRequest("The face lies outside of the picture")
    now = services.clock.now()
    with services.database.session(durable=True) as session:
        require_owned(session, caller, [asset_id], "asset.read")
        person = require_person(session, caller.user_id, person_id, "person.read")
        places = {name: getattr(box, name) for name in FaceBox.__slots__}
        face = AssetFace(
            id=str(uuid.uuid4()), asset_id=asset_id, source_type=MANUAL, created_at=now, updated_at=now, **places
        )
        session.add(face)
        give_faces(services, session, person, [face])


def _lies_inside(box: FaceBox) -> bool:
    return (
        0 <= box.box_x1_px < box.box_x2_px <= box.image_width_px <= SIDE_PX_MOST
        and 0 <= box.box_y1_px < box.box_y2_px <= box.image_height_px <= SIDE_PX_MOST
    )


def reassign_face(services: Services, caller: Caller, person_id: str, face_id: str) -> Person:
    """The face is this person's from now on. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        person = require_person(session, caller.user_id, person_id, "person.update")
        face = people.face_of(session, caller.user_id, face_id, with_locked=caller.elevated)
        if face is None:
            raise no_access("face.update")
        give_faces(services, session, person, [face])
        return person


def delete_face(services: Services, caller: Caller, face_id: str, *, force: bool) -> None:
    """Without `force` its row stays, so that no model finds it again. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        face = people.face_of(session, caller.user_id, face_id, with_locked=caller.elevated)
        if face is None:
            raise no_access("face.delete")
        faceless: Sequence[str] = sorted(people.shown_by(session, [face_id]))
        if force:
            session.delete(face)
        else:
            face.deleted_at = services.clock.now()
        session.flush()
        choose_faces(services, session, faceless)
