import io

import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from tasks.media.color import DISPLAY_P3, SRGB, converted, profile_bytes
from tests.shared_media import media_dir


def opened(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def pixel(color: tuple[int, ...], mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (4, 4), color)


@pytest.mark.parametrize(("space", "name"), [(SRGB, "sRGB"), (DISPLAY_P3, "Display P3")])
def test_our_profiles_open_and_say_their_name(space: str, name: str) -> None:
    profile = profile_bytes(space)
    assert ImageCms.getProfileDescription(opened(profile)).strip() == name
    assert len(profile) == int.from_bytes(profile[:4], "big") < 600


def test_our_srgb_is_the_one_that_lcms_makes() -> None:
    theirs = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    colors = Image.fromarray(np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8))
    there = ImageCms.profileToProfile(colors, opened(profile_bytes(SRGB)), theirs)
    assert there is not None
    assert np.abs(np.asarray(there).astype(int) - np.asarray(colors)).max() <= 1


@pytest.mark.parametrize(
    ("srgb", "p3"),
    # the numbers that browsers compute for color(display-p3 …): CSS Color 4, conversion code in its appendix
    [((255, 0, 0), (234, 51, 35)), ((0, 255, 0), (117, 251, 76)), ((0, 0, 255), (0, 0, 245)), ((9, 9, 9), (9, 9, 9))],
)
def test_srgb_colors_become_p3_numbers(srgb: tuple[int, ...], p3: tuple[int, ...]) -> None:
    found = converted(pixel(srgb), None, DISPLAY_P3).getpixel((0, 0))
    assert found == pytest.approx(p3, abs=1)


def test_a_p3_picture_is_carried_into_p3_untouched() -> None:
    image = pixel((234, 51, 35))
    assert converted(image, profile_bytes(DISPLAY_P3), DISPLAY_P3) is image


def test_a_p3_picture_that_counts_as_srgb_is_converted() -> None:
    found = converted(pixel((234, 51, 35)), profile_bytes(DISPLAY_P3), SRGB).getpixel((0, 0))
    assert found == pytest.approx((255, 0, 0), abs=3)


def test_other_makers_srgb_and_p3_are_recognised_by_what_they_do() -> None:
    lcms = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = pixel((1, 2, 3))
    assert converted(image, lcms, SRGB) is image


def test_an_iphones_p3_is_carried() -> None:
    heic = next((media_dir() / "formats" / "heic").glob("*.heic"))
    profile = pillow_heif.open_heif(heic).info["icc_profile"]
    image = pixel((1, 2, 3))
    assert converted(image, profile, DISPLAY_P3) is image
    assert converted(image, profile, SRGB) is not image


def test_grey_with_a_color_profile_reads_as_grey() -> None:
    assert converted(pixel((77,), "L"), profile_bytes(DISPLAY_P3), SRGB).getpixel((0, 0)) == (77, 77, 77)


@pytest.mark.parametrize("broken", [b"", b"junk", profile_bytes(SRGB)[:200]])
def test_a_broken_profile_reads_as_srgb(broken: bytes) -> None:
    image = pixel((10, 20, 30))
    assert converted(image, broken, SRGB) is image
    assert converted(pixel((255, 0, 0)), broken, DISPLAY_P3).getpixel((0, 0)) == pytest.approx((234, 51, 35), abs=1)


def test_alpha_survives_conversion() -> None:
    found = converted(pixel((255, 0, 0, 77), "RGBA"), None, DISPLAY_P3)
    assert found.getpixel((0, 0)) == pytest.approx((234, 51, 35, 77), abs=1)


def test_cmyk_and_lab_become_rgb() -> None:
    assert converted(pixel((0, 0, 0, 0), "CMYK"), None, SRGB).getpixel((0, 0)) == (255, 255, 255)
    white = converted(Image.new("LAB", (4, 4), (255, 128, 128)), None, SRGB)
    assert white.mode == "RGB"
    assert white.getpixel((0, 0)) == pytest.approx((255, 255, 255), abs=2)
