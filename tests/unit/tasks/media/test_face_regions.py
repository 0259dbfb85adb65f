"""Named regions turn with the picture; Pillow, turning a marked picture, is the judge."""

from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from tasks.media.face_regions import NamedFace, named_faces

WIDTH, HEIGHT = 120, 80
LEFT, TOP, RIGHT, BOTTOM = 10, 20, 40, 60


def tags(name: Any = "Marie", **area: Any) -> dict[str, Any]:
    box = {"X": 25 / WIDTH, "Y": 40 / HEIGHT, "W": 30 / WIDTH, "H": 40 / HEIGHT, "Unit": "normalized"} | area
    region = {"Area": box, "Name": name, "Type": "Face"}
    return {"RegionInfo": {"AppliedToDimensions": {"W": WIDTH, "H": HEIGHT}, "RegionList": [region]}}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_region_lies_where_its_pixels_do(orientation: int) -> None:
    marked = np.zeros((HEIGHT, WIDTH), np.uint8)
    marked[TOP:BOTTOM, LEFT:RIGHT] = 255
    image = Image.fromarray(marked)
    image.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(image)
    left, top, right, bottom = upright.getbbox()

    (face,) = named_faces(tags(), str(orientation))

    assert (face.image_width_px, face.image_height_px) == upright.size
    found = np.array([face.x1_px, face.y1_px, face.x2_px, face.y2_px])
    assert np.abs(found - [left, top, right, bottom]).max() <= 1  # rounded down


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"RegionInfo": "junk"},
        {"RegionInfo": {"RegionList": tags()["RegionInfo"]["RegionList"]}},
        {"RegionInfo": {"AppliedToDimensions": {"W": 0, "H": 9}, "RegionList": tags()["RegionInfo"]["RegionList"]}},
        {"RegionInfo": {"AppliedToDimensions": {"W": 9, "H": 9}, "RegionList": ["x", {}, {"Area": 7}]}},
        tags(name=None),
        tags(name="  "),
        tags(X="left"),
        tags(W=1e6),
    ],
)
def test_what_has_no_name_or_no_place_is_no_face(said: dict[str, Any]) -> None:
    assert named_faces(said, None) == ()


def test_a_number_may_be_a_name() -> None:
    assert named_faces(tags(name=7), None) == (NamedFace("7", WIDTH, HEIGHT, 10, 20, 40, 60),)
