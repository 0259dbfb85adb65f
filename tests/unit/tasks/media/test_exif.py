"""Which tag becomes which fact, and what junk becomes: nothing."""

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.media.exif import ExifFacts, FileStat, VideoSummary, extract_facts

CREATED = datetime(2024, 5, 1, tzinfo=UTC)
MODIFIED = datetime(2024, 4, 1, tzinfo=UTC)
ON_DISK = FileStat(size_bytes=1234, modified_at=MODIFIED, birth_at=None, file_created_at=CREATED)


def facts(
    tags: dict[str, Any],
    sidecar: dict[str, Any] | None = None,
    video: VideoSummary | None = None,
    *,
    name: str = "photo.jpg",
    file: FileStat = ON_DISK,
) -> ExifFacts:
    return extract_facts(tags, sidecar, video, file, name=name)


@pytest.mark.parametrize(
    ("tags", "field", "expected"),
    [
        ({"Make": " Canon "}, "make", "Canon"),
        ({"Device": {"Manufacturer": "DJI"}}, "make", "DJI"),
        ({"AndroidMake": "Google"}, "make", "Google"),
        ({"DeviceManufacturer": "Sony", "DeviceModelName": "A7"}, "model", "A7"),
        ({"Make": "", "AndroidMake": "Google"}, "make", "Google"),
        ({"Model": 5}, "model", "5"),
        ({"Device": {"ModelName": "FC3"}}, "model", "FC3"),
        ({"LensID": " EF 50mm ", "LensModel": "other"}, "lens_model", "EF 50mm"),
        ({"LensType": "a", "LensSpec": "b", "LensModel": "c"}, "lens_model", "a"),
        ({"LensSpec": "b", "LensModel": "c"}, "lens_model", "b"),
        ({"LensID": "----", "LensModel": "c"}, "lens_model", None),
        ({"LensID": "Unknown (61182)", "LensModel": "c"}, "lens_model", None),
        ({"FNumber": 1.8}, "f_number", 1.8),
        ({"FNumber": [2.8, 4]}, "f_number", 2.8),
        ({"FNumber": "undef"}, "f_number", None),
        ({"FNumber": "1.8"}, "f_number", None),
        ({"FocalLength": 4.2}, "focal_length", 4.2),
        ({"FocalLength": float("inf")}, "focal_length", None),
        ({"ISO": 100}, "iso", 100),
        ({"ISO": [200, 0]}, "iso", 200),
        ({"ISO": "100 0"}, "iso", None),
        ({"ISO": 2**31}, "iso", None),
        ({"ISO": True}, "iso", None),
        ({"ExposureTime": "1/250"}, "exposure_time", "1/250"),
        ({"ExposureTime": 30}, "exposure_time", "30"),
        ({"ExposureTime": 0.5}, "exposure_time", "0.5"),
        ({"VideoFrameRate": 29.97}, "fps", 29.97),
        ({"ImageDescription": " hello ", "Description": "other"}, "description", "hello"),
        ({"ImageDescription": "  ", "Description": "other"}, "description", "other"),
        ({"Description": "a\0b\ud800"}, "description", "ab?"),
        ({}, "description", ""),
        ({"Rating": 0}, "rating", None),
        ({"Rating": 3}, "rating", 3),
        ({"Rating": 4.5}, "rating", 5),
        ({"Rating": -1}, "rating", None),
        ({"Rating": 6}, "rating", None),
        ({"Rating": "3"}, "rating", None),
        ({"ProjectionType": "equirectangular"}, "projection_type", "EQUIRECTANGULAR"),
        ({"ProfileDescription": "Display P3"}, "profile_description", "Display P3"),
        ({"ColorSpace": 65535}, "colorspace", "65535"),
        ({"BitsPerSample": 8}, "bits_per_sample", 8),
        ({"BitsPerSample": "8 8 8"}, "bits_per_sample", 8),
        ({"BitsPerSample": "none", "BitDepth": 10}, "bits_per_sample", 10),
        ({"ColorBitDepth": 24}, "bits_per_sample", 8),
        ({"ColorBitDepth": 48}, "bits_per_sample", 16),
        ({"ColorBitDepth": 32}, "bits_per_sample", 32),
        ({"ContentIdentifier": "cid", "MediaGroupUUID": "other"}, "live_photo_cid", "cid"),
        ({"MediaGroupUUID": "group"}, "live_photo_cid", "group"),
        ({"BurstUUID": "b", "MediaUniqueID": "m"}, "auto_stack_id", "b"),
        ({"MediaUniqueID": "m"}, "auto_stack_id", "m"),
        ({"GPSLatitude": 91, "GPSLongitude": 0}, "latitude", None),
        ({"GPSLatitude": 48.1, "GPSLongitude": ""}, "latitude", None),
        ({"GPSLatitude": 0, "GPSLongitude": 0}, "latitude", None),
        ({"GPSLatitude": 0, "GPSLongitude": 9}, "longitude", 9.0),
        ({"TagsList": ["a/b", 2010], "Keywords": ["no"]}, "tags", ("a/b", "2010")),
        ({"HierarchicalSubject": ["People|A/C", 7], "Keywords": ["no"]}, "tags", ("People/A|C", "7")),
        ({"HierarchicalSubject": "one|two"}, "tags", ("one/two",)),
        ({"Keywords": "single"}, "tags", ("single",)),
        ({"Keywords": ["a", "a", " ", None, {}]}, "tags", ("a",)),
        ({"Orientation": 6}, "orientation", "6"),
        ({"Orientation": 9}, "orientation", None),
        ({"Orientation": "Rotate 90 CW"}, "orientation", None),
    ],
)
def test_fact_of_tag(tags: dict[str, Any], field: str, expected: object) -> None:
    assert getattr(facts(tags), field) == expected


def test_size_prefers_the_composite_and_is_upright() -> None:
    stored = {"ImageSize": "4000x3000", "ImageWidth": 160, "ImageHeight": 120}
    lying = facts(stored | {"Orientation": 8})
    assert (lying.image_width_px, lying.image_height_px) == (4000, 3000)
    assert (lying.width_px, lying.height_px) == (3000, 4000)
    upside_down = facts(stored | {"Orientation": 3})
    assert (upside_down.width_px, upside_down.height_px) == (4000, 3000)


@pytest.mark.parametrize("size", ["", "0x0", "4000", "9999999999x1", None, "x"])
def test_a_junk_composite_size_falls_back(size: str | None) -> None:
    found = facts({"ImageSize": size, "ImageWidth": 160, "ImageHeight": 120})
    assert (found.width_px, found.height_px) == (160, 120)
    assert facts({"ImageSize": size, "ImageWidth": -1, "ImageHeight": 120}).width_px is None


@pytest.mark.parametrize(("turns", "orientation"), [(0, "1"), (1, "8"), (2, "3"), (3, "6"), (None, None), (7, None)])
def test_heif_is_turned_by_its_container(turns: int | None, orientation: str | None) -> None:
    tags = {"Orientation": 5, "ImageSize": "40x30"} | ({"Rotation": turns} if turns is not None else {})
    assert facts(tags, name="IMG.HEIC").orientation == orientation
    assert facts(tags, name="IMG.JPG").orientation == "5"
    assert facts(tags, {"Orientation": 2}, name="IMG.HEIC").orientation == "2"  # a person's word, in the sidecar


def test_duration_comes_from_the_probe() -> None:
    tags = {"Duration": 99.0, "MIMEType": "video/mp4"}
    assert facts(tags, video=VideoSummary(duration_s=1.2346), name="a.mp4").duration_ms == 1235
    assert facts(tags, video=VideoSummary(), name="a.mp4").duration_ms is None
    assert facts({"Duration": 2}, {"Duration": 5}, name="a.webp").duration_ms == 2000
    assert facts({"Duration": 2}, name="a.jpg").duration_ms is None
    assert facts({"Duration": "0:00:05"}, name="a.webp").duration_ms is None


def test_the_probe_wins_over_the_file_and_the_sidecar_over_both() -> None:
    tags = {"Orientation": 1, "ImageWidth": 10, "ImageHeight": 20, "VideoFrameRate": 25}
    probed = VideoSummary(width_px=1920, height_px=1080, orientation=6, fps=29.97)
    found = facts(tags, {"Orientation": 8, "Rating": 5}, probed, name="a.mp4")
    assert (found.image_width_px, found.image_height_px, found.width_px) == (1920, 1080, 1080)
    assert (found.orientation, found.fps, found.rating) == ("8", 29.97, 5)


def test_a_sidecar_wins_over_the_original() -> None:
    found = facts({"Rating": 1, "Make": "Canon", "TagsList": ["a"]}, {"Rating": 4, "TagsList": ["b"]})
    assert (found.rating, found.make, found.tags) == (4, "Canon", ("b",))


def test_without_a_date_the_earliest_time_of_the_file_counts() -> None:
    assert facts({}).taken_at == MODIFIED
    older = datetime(2020, 1, 1, tzinfo=UTC)
    assert facts({}, file=FileStat(1, MODIFIED, older, CREATED)).local_date_time == older
    assert facts({}, file=FileStat(1, MODIFIED, None, older)).date_time_original == older
    unknown = datetime.fromtimestamp(0, UTC)
    assert facts({}, file=FileStat(1, MODIFIED, unknown, CREATED)).taken_at == MODIFIED
    # the zone is known all the same
    assert facts({"GPSLatitude": 48.8, "GPSLongitude": 2.3}).time_zone == "Europe/Paris"


def test_disk_facts_are_kept() -> None:
    found = facts({"ModifyDate": "1999:01:01 00:00:00", "FileSize": "3 MB"})
    assert (found.file_size_bytes, found.modify_date, found.file_modified_at) == (1234, MODIFIED, MODIFIED)


NAMES = [
    "SubSecDateTimeOriginal",
    "DateTimeOriginal",
    "GPSDateTime",
    "TimeZone",
    "OffsetTime",
    "TimeZoneOffset",
    "GPSLatitude",
    "GPSLongitude",
    "ImageSize",
    "ImageWidth",
    "ImageHeight",
    "Orientation",
    "Rotation",
    "Make",
    "Device",
    "LensID",
    "FNumber",
    "FocalLength",
    "ISO",
    "ExposureTime",
    "VideoFrameRate",
    "ImageDescription",
    "Rating",
    "ProjectionType",
    "ColorSpace",
    "BitsPerSample",
    "BurstID",
    "Duration",
    "TagsList",
    "HierarchicalSubject",
    "Keywords",
    "MIMEType",
    "ContentIdentifier",
]
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text("aZ09:+-/|. x\0\ud800é", max_size=20),
    st.sampled_from(
        ["2023:01:01 12:00:00+02:00", "0001:01:01 00:00:00+02:00", "8 8 8", "+14:00", "4000x3000", "../.."]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["Manufacturer", "ModelName"]), inner)
    ),
)
TAGS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=12)


@given(original=TAGS, sidecar=st.none() | TAGS, name=st.sampled_from(["a.jpg", "a.heic", "a.mp4", "a.webp", ""]))
def test_no_tag_value_is_an_error_and_every_fact_can_be_stored(
    original: dict[str, Any], sidecar: dict[str, Any] | None, name: str
) -> None:
    found = facts(original, sidecar, name=name)
    for field in fields(found):
        value = getattr(found, field.name)
        if isinstance(value, str):
            value.encode()
            assert "\0" not in value
        if isinstance(value, int):
            assert abs(value) <= 1000 * 2**31
        if isinstance(value, datetime):
            assert value.utcoffset() is not None
    assert all(tag.encode() and "\0" not in tag for tag in found.tags)
