import pytest

from tasks.media import formats


@pytest.mark.parametrize(
    ("name", "mime"),
    [
        ("IMG_1.JPG", "image/jpeg"),
        ("a.insp", "image/jpeg"),
        ("a.tif", "image/tiff"),
        ("a.CR3", "image/cr3"),
        ("a.psd", "image/psd"),
        ("a.mov", "video/quicktime"),
        ("a.m2ts", "video/mp2t"),
        ("a.jpg.xmp", "application/xml"),
        ("a.exe", "application/octet-stream"),
        ("jpg", "application/octet-stream"),
        (".jpg", "application/octet-stream"),
    ],
)
def test_the_extension_decides_the_type(name: str, mime: str) -> None:
    assert formats.mime_type(name) == mime


def test_every_extension_is_in_one_group_only() -> None:
    groups = [formats.WEB_IMAGES, formats.OTHER_IMAGES, formats.RAW_IMAGES, formats.VIDEOS, formats.SIDECARS]
    assert len({extension for group in groups for extension in group}) == sum(len(group) for group in groups)


def test_counts_are_those_of_the_published_lists() -> None:
    assert (len(formats.WEB_IMAGES), len(formats.OTHER_IMAGES), len(formats.RAW_IMAGES)) == (7, 11, 30)
    assert len(formats.VIDEOS) == 20


def test_questions_are_asked_of_names() -> None:
    assert formats.is_image("a.heic")
    assert not formats.is_image("a.mp4")
    assert formats.is_video("a.MP4")
    assert formats.is_asset("a.webm")
    assert not formats.is_asset("a.xmp")
    assert formats.is_raw("a.dng")
    assert not formats.is_raw("a.tiff")
    assert formats.is_web_displayable("a.avif")
    assert not formats.is_web_displayable("a.heic")
    assert formats.may_be_animated("a.gif")
    assert formats.may_be_transparent("a.bmp")
    assert not formats.may_be_transparent("a.jpg")
    assert formats.is_heif_family("a.HIF")
    assert formats.is_profile_image("a.svg")
    assert formats.is_sidecar("a.XMP")
