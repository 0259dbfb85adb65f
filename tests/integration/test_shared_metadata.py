"""Every value that extraction keeps of the real photos, against what exiftool's own command line says of them."""

import json
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tasks.media.formats import is_heif_family, is_image
from tests.camera import photo
from tests.inline_stack import Stack
from tests.programs import program
from tests.shared_media import media_dir

CONTAINER_TURNS = {None: None, 0: "1", 1: "8", 2: "3", 3: "6"}
"""A HEIF container's rotation → EXIF's orientation. Source: spec/jobs-media.md §1.1."""


def said_of(paths: Sequence[Path], *options: str) -> list[dict[str, Any]]:
    """What exiftool says of each, in one go: it takes longer to start than to read."""
    command = [program("exiftool"), "-config", "", "-json", "-struct", "-use", "MWG", *options, *map(str, paths)]
    answers: list[dict[str, Any]] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return answers


def tags_of(said: dict[str, Any]) -> list[str]:
    listed = said.get("TagsList") or said.get("HierarchicalSubject") or said.get("Keywords") or []
    words = [str(word) for word in (listed if isinstance(listed, list) else [listed])]
    return words if "TagsList" in said else [word.replace("|", "/") for word in words]


def test_real_photos(stack: Stack) -> None:
    folders = [media_dir() / folder for folder in ("metadata", "formats")]
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if is_image(path.name)]
    assert len(paths) >= 10
    ids = {stack.upload(path.name, path): path for path in paths}

    stack.drain(timeout_s=120)

    assert stack.failed() == {}
    said = zip(ids.items(), said_of(paths), said_of(paths, "-n"), strict=True)
    for (asset_id, path), plain, numbers in said:
        exif = stack.exif(asset_id)
        assert exif.description == str(plain.get("ImageDescription") or plain.get("Description") or "").strip(), path
        assert exif.rating == (numbers.get("Rating") or None), path
        assert exif.tags == tags_of(plain), path
        assert exif.exposure_time == (str(plain["ExposureTime"]) if "ExposureTime" in plain else None), path
        if exif.exposure_time is not None:
            assert float(Fraction(exif.exposure_time)) == pytest.approx(numbers["ExposureTime"], rel=0.02), path
        assert exif.f_number == numbers.get("FNumber"), path
        assert exif.focal_length == numbers.get("FocalLength"), path
        assert exif.profile_description == plain.get("ProfileDescription"), path
        lens = str(plain.get("LensID") or plain.get("LensModel") or "").strip()
        assert exif.lens_model == (None if lens.startswith("Unknown") else lens or None), path
        if is_heif_family(path.name):
            assert exif.orientation == CONTAINER_TURNS[numbers.get("Rotation")], path
        else:
            assert exif.orientation == (str(numbers["Orientation"]) if "Orientation" in numbers else None), path


@pytest.mark.parametrize("year", [2000, 2010])
def test_a_real_sidecar_dates_its_photo_and_can_be_written(stack: Stack, year: int) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    sidecar = Path(f"{stack.asset(asset_id).original_path}.xmp")
    sidecar.write_bytes((media_dir() / "metadata" / "xmp" / "dates" / f"{year}.xmp").read_bytes())

    stack.enqueue(NewJob(JobName.SIDECAR_QUEUE_ALL, {"force": True}))
    stack.drain()

    taken = stack.exif(asset_id).date_time_original
    assert taken is not None
    assert taken.year == year
    if year == 2000:
        assert taken == datetime(2000, 9, 27, 12, 35, 33, tzinfo=UTC)

    with stack.database.session() as session:  # as PUT /assets does it
        exif = session.merge(stack.exif(asset_id))
        exif.rating, exif.locked_properties = 5, ["rating"]
    stack.enqueue(asset_job(JobName.SIDECAR_WRITE, asset_id))
    stack.drain()

    assert (stack.exif(asset_id).rating, stack.exif(asset_id).date_time_original) == (5, taken)
    (said,) = said_of([sidecar])
    assert said["Rating"] == 5
    assert str(said["CreateDate"]).startswith(str(year))  # what else it said is still there
