"""The demo's own pictures: different ones, the same every time, with the facts that a camera writes."""

from pathlib import Path

import pytest
from PIL import ExifTags, Image

from serve_app.demo_photos import MOODS, PLACES, write_demo_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(write_demo_photos(tmp_path_factory.mktemp("photos")))


def test_each_picture_is_another(photos: list[Path]) -> None:
    assert len(photos) == len(PLACES) * len(MOODS) == len({photo.read_bytes() for photo in photos})


def test_pictures_are_the_same_every_time(photos: list[Path], tmp_path: Path) -> None:
    again = list(write_demo_photos(tmp_path))
    assert [photo.read_bytes() for photo in again] == [photo.read_bytes() for photo in photos]


def test_each_has_date_camera_and_position(photos: list[Path]) -> None:
    for photo in photos:
        with Image.open(photo) as image:
            exif = image.getexif()
        assert exif[ExifTags.Base.Make] == "Heliostat"
        assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal].startswith("202")
        assert len(exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude]) == 3


def test_southern_and_western_places_say_so(photos: list[Path]) -> None:
    valparaiso = next(photo for photo in photos if "valparaiso" in photo.name)
    with Image.open(valparaiso) as image:
        position = image.getexif().get_ifd(ExifTags.IFD.GPSInfo)
    assert (position[ExifTags.GPS.GPSLatitudeRef], position[ExifTags.GPS.GPSLongitudeRef]) == ("S", "W")
    degrees, minutes, seconds = map(float, position[ExifTags.GPS.GPSLatitude])
    assert degrees + minutes / 60 + seconds / 3600 == pytest.approx(33.0472, abs=1e-4)


def test_a_quarter_is_stored_lying_and_meant_upright(photos: list[Path]) -> None:
    orientations = []
    for photo in photos:
        with Image.open(photo) as image:
            orientations.append(image.getexif().get(ExifTags.Base.Orientation))
            assert image.size == (1600, 1200)
    assert orientations.count(6) == len(photos) // 4
