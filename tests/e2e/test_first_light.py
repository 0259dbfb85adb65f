"""Photos go in over HTTP; metadata, thumbnails and a thumbhash come out."""

import io
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from serve_app.client import ApiRefused, media_files, sha1_hex, sidecar_of
from tests.e2e.photos import CAMERA, make_photos
from tests.e2e.real_stack import RealStack, describe
from tests.programs import program
from tests.shared_media import find_shared_dir

pytestmark = pytest.mark.timeout(300)

EVERY_PHOTO_S = 120


@dataclass(frozen=True)
class Photo:
    """A file that was uploaded, and the asset that it became, when all was done."""

    path: Path
    asset: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.asset["id"])


@pytest.fixture(scope="module")
def photos(stack: RealStack, tmp_path_factory: pytest.TempPathFactory) -> list[Photo]:
    """The shared photos, where there are any, and five generated ones, through every queue."""
    paths = make_photos(tmp_path_factory.mktemp("photos"), 5, seed=1, size=(800, 600))
    shared = find_shared_dir()
    if shared is not None:
        paths += media_files(shared / "media", stack.client.extensions())
    ids: dict[str, Path] = {}
    for path in paths:
        _, asset_id = stack.client.upload(path, sha1_hex(path))
        ids.setdefault(asset_id, path)  # two of the shared files are the same photo
    stack.wait_until_idle(EVERY_PHOTO_S)
    assert stack.failed() == {}, describe(stack)
    return [Photo(path, stack.asset(asset_id)) for asset_id, path in ids.items()]


def test_every_photo_has_metadata_and_a_thumbhash(photos: list[Photo]) -> None:
    for photo in photos:
        assert photo.asset["thumbhash"], photo.path.name
        assert photo.asset["exifInfo"]["fileSizeInByte"] == photo.path.stat().st_size, photo.path.name
        assert photo.asset["width"] > 0 < photo.asset["height"], photo.path.name
        assert photo.asset["exifInfo"]["exifImageWidth"] > 0, photo.path.name


@pytest.mark.parametrize(("size", "picture_format", "side_px"), [("thumbnail", "WEBP", 250), ("preview", "JPEG", 1440)])
def test_every_photo_has_its_pictures(
    stack: RealStack, photos: list[Photo], size: str, picture_format: str, side_px: int
) -> None:
    for photo in photos:
        content = stack.client.bytes_of(f"/assets/{photo.id}/thumbnail", params={"size": size})

        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            assert picture.format == picture_format, photo.path.name
            assert min(picture.size) <= side_px, photo.path.name
            # a pixel more or less at either side
            shape, wanted = picture.width / picture.height, photo.asset["width"] / photo.asset["height"]
            assert shape == pytest.approx(wanted, rel=2 / min(picture.size) + 1e-3), photo.path.name


def test_values_agree_with_exiftools_own(photos: list[Photo]) -> None:
    compared = 0
    for photo in photos:
        if sidecar_of(photo.path) is not None:
            continue
        said = said_by_exiftool(photo.path)
        exif = photo.asset["exifInfo"]
        for ours, theirs in (("make", "Make"), ("model", "Model"), ("iso", "ISO"), ("rating", "Rating")):
            if said.get(theirs):  # a rating of 0 means that there is none
                assert exif[ours] == said[theirs], (photo.path.name, theirs)
                compared += 1
        for ours, theirs in (("fNumber", "FNumber"), ("latitude", "GPSLatitude"), ("longitude", "GPSLongitude")):
            if said.get(theirs):
                assert exif[ours] == pytest.approx(float(said[theirs]), abs=1e-4), (photo.path.name, theirs)
                compared += 1
        sides = {exif["exifImageWidth"], exif["exifImageHeight"]}
        assert sides == {int(side) for side in str(said["ImageSize"]).split()}, photo.path.name
    assert compared >= 15


def said_by_exiftool(path: Path) -> dict[str, Any]:
    tags = ("Make", "Model", "ISO#", "Rating#", "FNumber#", "GPSLatitude#", "GPSLongitude#", "ImageSize#")
    command = [program("exiftool"), "-config", "", "-json", "-use", "MWG", *(f"-{tag}" for tag in tags), str(path)]
    said: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    return said


def test_a_generated_photo_tells_what_its_camera_wrote(photos: list[Photo]) -> None:
    exif = photos[0].asset["exifInfo"]
    assert (exif["make"], exif["model"]) == CAMERA
    assert (exif["iso"], exif["fNumber"], exif["exposureTime"]) == (100, 2.8, "1/250")
    assert (exif["city"], exif["country"], exif["timeZone"]) == ("Munich", "Germany", "Europe/Berlin")
    # half past twelve in Munich's summer
    assert exif["dateTimeOriginal"].startswith("2021-06-15T10:30:00")
    assert (photos[0].asset["width"], photos[0].asset["height"]) == (600, 800)  # it lay on its side


def test_originals_are_byte_identical(stack: RealStack, photos: list[Photo]) -> None:
    for photo in photos:
        assert stack.client.bytes_of(f"/assets/{photo.id}/original") == photo.path.read_bytes(), photo.path.name


def test_a_part_of_an_original_is_served(stack: RealStack, photos: list[Photo]) -> None:
    whole = photos[0].path.read_bytes()

    answer = stack.client._http.get(f"/assets/{photos[0].id}/original", headers={"Range": "bytes=100-1099"})

    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes 100-1099/{len(whole)}"
    assert answer.content == whole[100:1100]


def test_a_second_upload_is_a_duplicate(stack: RealStack, photos: list[Photo]) -> None:
    before = stack.count()

    assert stack.client.upload(photos[0].path, sha1_hex(photos[0].path)) == ("duplicate", photos[0].id)
    assert stack.client.known_files([(photos[0].path, sha1_hex(photos[0].path))]) == {photos[0].path: photos[0].id}

    assert stack.count() == before


def test_an_empty_file_is_refused_at_the_door(stack: RealStack, tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    before = stack.count()

    with pytest.raises(ApiRefused) as refused:
        stack.client.upload(empty, sha1_hex(empty))

    assert refused.value.status == 400
    assert stack.count() == before
