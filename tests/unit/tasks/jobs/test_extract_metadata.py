"""Which columns extraction writes, and which it leaves to the person who set them."""

from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cluster.db.tables.asset import Asset, AssetExif
from cluster.errors import ProgramTimeout, SourceMissing
from tasks.jobs.extract_metadata import (
    ASSET_FACTS,
    MetadataInput,
    MetadataOutput,
    asset_columns,
    exif_columns,
    work,
)
from tasks.media.exif import ExifFacts, FileStat, extract_facts
from tasks.media.places import Place
from tasks.tools import Tools

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TAGS = {
    "ImageWidth": 40,
    "ImageHeight": 30,
    "Make": "Helio",
    "Keywords": ["sea"],
    "DateTimeOriginal": "2020:01:02 03:04:05",
}
PARIS = Place("Paris", "Île-de-France", "France")


@pytest.fixture
def facts() -> ExifFacts:
    return extract_facts(TAGS, None, None, FileStat(5, NOON, None, NOON), name="a.jpg")


def test_every_fact_has_a_column(facts: ExifFacts) -> None:
    """A fact without a column would be lost; a column that nothing fills would be a lie."""
    output = MetadataOutput(facts, None, PARIS)
    exif = set(exif_columns(output, [])) | {"asset_id", "locked_properties", "updated_at"}
    assert exif == {column.name for column in AssetExif.__table__.columns}
    assert set(asset_columns(facts, [], keeps_size=False)) <= {column.name for column in Asset.__table__.columns}
    assert {field.name for field in fields(ExifFacts)} >= ASSET_FACTS


def test_what_a_person_set_is_left_out(facts: ExifFacts) -> None:
    output = MetadataOutput(facts, None, PARIS)
    assert {"make", "tags"} & set(exif_columns(output, ["make", "tags"])) == set()
    assert exif_columns(output, [])["tags"] == ["sea"]


def test_a_position_set_by_hand_keeps_its_place(facts: ExifFacts) -> None:
    output = MetadataOutput(facts, None, PARIS)
    assert exif_columns(output, [])["city"] == "Paris"
    assert {"city", "state", "country"} & set(exif_columns(output, ["latitude", "longitude"])) == set()


def test_a_place_that_is_no_longer_there_is_cleared(facts: ExifFacts) -> None:
    columns = exif_columns(MetadataOutput(facts, None, None), [])
    assert (columns["city"], columns["state"], columns["country"]) == (None, None, None)


def test_a_date_set_by_hand_and_the_size_of_an_edit_stay(facts: ExifFacts) -> None:
    everything = asset_columns(facts, [], keeps_size=False)
    assert everything["file_created_at"] == facts.taken_at
    assert (everything["width_px"], everything["height_px"]) == (40, 30)
    assert set(asset_columns(facts, ["date_time_original"], keeps_size=True)) == {"file_modified_at", "duration_ms"}


def asked(path: Path) -> MetadataInput:
    return MetadataInput(str(path), "IMG_7.jpg", None, False, NOON, find_place=True)


def test_a_missing_original_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        work(asked(tmp_path / "gone.jpg"), Tools())


class _SlowExifTool:
    def read(self, path: Path, *, video: bool = False) -> dict[str, object]:
        raise ProgramTimeout("exiftool", 120)


def test_a_file_whose_tags_do_not_come_in_time_still_has_its_size_and_date(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"12345")
    tools = Tools()
    tools.__dict__["exiftool"] = _SlowExifTool()
    exif = work(asked(tmp_path / "a.jpg"), tools).exif
    assert (exif.file_size_bytes, exif.make) == (5, None)
    assert exif.taken_at == min(NOON, exif.file_modified_at)
