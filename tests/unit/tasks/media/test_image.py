"""Sizes, orientation, colours and what is (not) written into the files, on JPEG and PNG."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile

from cluster.errors import NoSpace
from tasks.media.color import DISPLAY_P3, SRGB, profile_bytes
from tasks.media.image import Limits, render_image
from tasks.media.renditions import size_outside
from tests.unit.tasks.media.pictures import are_corners, preview, quarters, save, thumbnail


def profile_name(path: Path) -> str:
    with Image.open(path) as image:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))).strip()


@pytest.mark.parametrize(
    ("source", "short_edge", "expected"),
    [
        ((4000, 3000), 1440, (1920, 1440)),
        ((3000, 4000), 1440, (1440, 1920)),
        ((800, 600), 1440, (800, 600)),
        ((4000, 3000), None, (4000, 3000)),
        ((40_000, 2), 250, (16_383, 1)),
    ],
)
def test_sizes_are_of_the_short_edge_and_never_enlarged(
    source: tuple[int, int], short_edge: int | None, expected: tuple[int, int]
) -> None:
    assert size_outside(*source, short_edge, 16_383) == expected


def test_a_photo_becomes_preview_thumbnail_and_hash(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", quarters(800, 600), "JPEG", quality=95)
    made = render_image(
        source, [thumbnail(tmp_path, 60), preview(tmp_path, 300)], name="a.jpg", is_srgb=True, colorspace=DISPLAY_P3
    )
    assert [(file.kind, file.width_px, file.height_px) for file in made.files] == [
        ("thumbnail", 80, 60),
        ("preview", 400, 300),
    ]
    assert (made.width_px, made.height_px) == (800, 600)
    assert 5 < len(made.thumbhash) < 26
    for file, expected in zip(made.files, ("WEBP", "JPEG"), strict=True):
        assert file.size_bytes == file.path.stat().st_size
        with Image.open(file.path) as image:
            assert image.format == expected
            assert image.size == (file.width_px, file.height_px)
            assert are_corners(image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    source = save(tmp_path / "a.jpg", quarters(), "JPEG", quality=95, exif=exif)
    made = render_image(source, [preview(tmp_path), thumbnail(tmp_path)], name="a.jpg", is_srgb=True)
    turned = orientation >= 5
    assert (made.width_px, made.height_px) == ((48, 64) if turned else (64, 48))
    # where the stored corners go; EXIF 2.32, 4.6.4 A, Orientation
    order = {
        1: (0, 1, 2, 3),
        2: (1, 0, 3, 2),
        3: (3, 2, 1, 0),
        4: (2, 3, 0, 1),
        5: (0, 2, 1, 3),
        6: (2, 0, 3, 1),
        7: (3, 1, 2, 0),
        8: (1, 3, 0, 2),
    }[orientation]
    for file in made.files:
        with Image.open(file.path) as image:
            assert image.size == (made.width_px, made.height_px)
            assert are_corners(image, order=order)


def test_nothing_of_the_sources_metadata_is_written(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825)[1] = "N"
    source = save(tmp_path / "a.jpg", quarters(), "JPEG", exif=exif, comment=b"SecretComment", xmp=b"<SecretXmp/>")
    made = render_image(source, [preview(tmp_path), thumbnail(tmp_path)], name="a.jpg", is_srgb=True)
    for file in made.files:
        assert b"Secret" not in file.path.read_bytes()
        with Image.open(file.path) as image:
            assert not image.getexif()


@pytest.mark.parametrize(
    ("is_srgb", "colorspace", "expected"),
    [(True, DISPLAY_P3, "sRGB"), (False, DISPLAY_P3, "Display P3"), (False, SRGB, "sRGB")],
)
def test_files_carry_the_profile_of_their_pixels(tmp_path: Path, is_srgb: bool, colorspace: str, expected: str) -> None:
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    made = render_image(
        source, [preview(tmp_path), thumbnail(tmp_path)], name="a.jpg", is_srgb=is_srgb, colorspace=colorspace
    )
    assert [profile_name(file.path) for file in made.files] == [expected, expected]


def test_a_wide_gamut_photo_is_converted_to_the_profile_it_carries(tmp_path: Path) -> None:
    red = np.full((40, 40, 3), (234, 51, 35), np.uint8)
    source = save(tmp_path / "a.png", red, "PNG", icc_profile=profile_bytes(DISPLAY_P3))
    as_srgb = render_image(source, [preview(tmp_path)], name="a.png", is_srgb=True).files[0]
    with Image.open(as_srgb.path) as image:
        assert image.getpixel((20, 20)) == pytest.approx((255, 0, 0), abs=4)
    as_p3 = render_image(source, [preview(tmp_path)], name="a.png", is_srgb=False).files[0]
    with Image.open(as_p3.path) as image:
        assert image.getpixel((20, 20)) == pytest.approx((234, 51, 35), abs=4)


@pytest.mark.parametrize(("quality", "sampling"), [(79, 2), (80, 1)])
def test_chroma_is_whole_from_quality_80_on(tmp_path: Path, quality: int, sampling: int) -> None:
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    made = render_image(source, [preview(tmp_path, quality=quality)], name="a.jpg", is_srgb=True)
    with Image.open(made.files[0].path) as image:
        assert image.layer[0][1:3] == (sampling, sampling)  # type: ignore[attr-defined]


def test_only_jpeg_is_progressive(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    wanted = [preview(tmp_path, progressive=True), thumbnail(tmp_path, progressive=True)]
    made = render_image(source, wanted, name="a.jpg", is_srgb=True)
    assert [file.is_progressive for file in made.files] == [True, False]
    with Image.open(made.files[0].path) as image:
        assert image.info.get("progressive")


def test_transparency_is_kept_in_webp_and_black_in_jpeg(tmp_path: Path) -> None:
    pixels = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
    pixels[:24, :32, 3] = 0
    source = save(tmp_path / "a.png", pixels, "PNG")
    made = render_image(source, [preview(tmp_path), thumbnail(tmp_path)], name="a.png", is_srgb=True)
    assert [file.is_transparent for file in made.files] == [False, True]
    with Image.open(made.files[0].path) as image:
        assert max(image.convert("RGB").getpixel((8, 8))) < 12  # type: ignore[type-var, arg-type]
    with Image.open(made.files[1].path) as image:
        assert image.mode == "RGBA"
        assert image.getpixel((8, 8))[3] == 0  # type: ignore[index]
        assert image.getpixel((50, 40))[3] == 255  # type: ignore[index]


def test_an_opaque_alpha_channel_is_no_transparency(tmp_path: Path) -> None:
    pixels = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
    source = save(tmp_path / "a.png", pixels, "PNG")
    made = render_image(source, [thumbnail(tmp_path)], name="a.png", is_srgb=True)
    assert not made.files[0].is_transparent
    with Image.open(made.files[0].path) as image:
        assert image.mode == "RGB"


def test_a_full_size_rendition_keeps_every_pixel(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", quarters(1000, 700), "JPEG")
    made = render_image(
        source,
        [
            thumbnail(tmp_path, 50),
            preview(tmp_path, None, kind="fullsize"),
            preview(tmp_path, 100, path=tmp_path / "q"),
        ],
        name="a.jpg",
        is_srgb=True,
    )
    assert [(file.width_px, file.height_px) for file in made.files] == [(71, 50), (1000, 700), (143, 100)]


def test_a_preview_is_close_to_one_made_from_every_pixel(tmp_path: Path) -> None:
    """The bar is one decibel of PSNR; noise would hide what a photo shows, so this is detail without noise."""
    y, x = np.mgrid[:1200, :1600].astype(np.float32)
    waves = 128 + 60 * np.sin(x / 5 + np.sin(y / 40) * 6) + 50 * np.sin(y / 7 + x / 90)
    pixels = np.stack([waves, np.roll(waves, 9, 1), 255 - waves], -1).clip(0, 255).astype(np.uint8)
    source = save(tmp_path / "a.jpg", pixels, "JPEG", quality=92, subsampling=2)
    made = render_image(source, [preview(tmp_path, 576, quality=80)], name="a.jpg", is_srgb=True)
    with Image.open(source) as image:
        best = image.resize((768, 576), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    best.save(written, "JPEG", quality=80, subsampling=0)
    with Image.open(made.files[0].path) as ours, Image.open(written) as theirs:
        assert psnr_db(theirs, best) - psnr_db(ours, best) < 1


def psnr_db(image: Image.Image, truth: Image.Image) -> float:
    error = np.asarray(image.convert("RGB")).astype(np.float64) - np.asarray(truth)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def test_a_name_may_stand_for_a_file_without_suffix(tmp_path: Path) -> None:
    source = save(tmp_path / "0b7f", quarters(), "JPEG")
    assert render_image(source, [thumbnail(tmp_path)], name="IMG.JPG", is_srgb=True).width_px == 64


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    made = render_image(source, [thumbnail(tmp_path / "aa" / "bb")], name="a.jpg", is_srgb=True)
    assert made.files[0].path == tmp_path / "aa" / "bb" / "t"


def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    target = tmp_path / "full"
    target.symlink_to(full)
    with pytest.raises(NoSpace):
        render_image(source, [preview(tmp_path, path=target)], name="a.jpg", is_srgb=True)
    assert not target.is_symlink()


def test_pillows_global_settings_are_as_before(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    source = save(tmp_path / "a.jpg", quarters(), "JPEG")
    render_image(source, [thumbnail(tmp_path)], name="a.jpg", is_srgb=True, process_invalid=True, limits=Limits())
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
