"""Faces in Immich's spelling. Source: spec/api.md §6."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StrictBool, StrictInt

from cluster.db.queries.people import FaceBox
from serve_app.services.faces import ShownFace
from serve_app.wire.common import LARGEST, Wire, WireId
from serve_app.wire.person import PersonResponse, person_response

Whole = Annotated[StrictInt, Field(ge=-LARGEST, le=LARGEST)]
Size = Annotated[int, Field(ge=0, le=LARGEST)]


class SourceType(StrEnum):
    """Who found a face."""

    MACHINE_LEARNING = "machine-learning"
    EXIF = "exif"
    MANUAL = "manual"


class FaceResponse(Wire):
    """A face in a picture of `image_width` x `image_height`, and whose it is."""

    id: str
    image_width: Size
    image_height: Size
    bounding_box_x1: Whole
    bounding_box_y1: Whole
    bounding_box_x2: Whole
    bounding_box_y2: Whole
    source_type: SourceType
    person: PersonResponse | None


class FaceCreate(Wire):
    """A face that a person drew a box around."""

    asset_id: WireId
    person_id: WireId
    image_width: Whole
    image_height: Whole
    x: Whole
    y: Whole
    width: Whole
    height: Whole

    def box(self) -> FaceBox:
        return FaceBox(self.image_width, self.image_height, self.x, self.y, self.x + self.width, self.y + self.height)


class FaceId(Wire):
    """A face."""

    id: WireId


class FaceDelete(Wire):
    """`force`: its row goes, too; a model may find it again."""

    force: StrictBool


def face_response(shown: ShownFace) -> FaceResponse:
    face = shown.face
    return FaceResponse(
        id=face.id,
        image_width=face.image_width_px,
        image_height=face.image_height_px,
        bounding_box_x1=face.box_x1_px,
        bounding_box_y1=face.box_y1_px,
        bounding_box_x2=face.box_x2_px,
        bounding_box_y2=face.box_y2_px,
        source_type=SourceType(face.source_type),
        person=None if shown.person is None else person_response(shown.person),
    )
