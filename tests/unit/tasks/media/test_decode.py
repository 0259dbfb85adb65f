"""Every kind of picture that a library here reads, told by its content, in its colours and depth."""

import io
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from cluster.errors import UnreadableImage, UnsupportedMedia
from tasks.media import pillow_reader
from tasks.media.color import DISPLAY_P3, profile_bytes
from tasks.media.image import Thumbnails, render_image
from tests.shared_media import media_dir
from tests.unit.tasks.media.pictures import are_corners, preview, quarters, save, thumbnail


def rendered(source: Path, folder: Path, **changes: Any) -> Image.Image:
    """The preview of `source`, read back."""
    made = made_from(source, folder, **changes)
    with Image.open(made.files[0].path) as image:
        image.load()
        return image


def made_from(source: Path, folder: Path, **changes: Any) -> Thumbnails:
    return render_image(
        source, [preview(folder), thumbnail(folder)], **{"name": source.name, "is_srgb": True} | changes
    )


@pytest.mark.parametrize(
    ("name", "picture_format", "options"),
    [
        ("a.jpg", "JPEG", {"quality": 95}),
        ("a.jpe", "JPEG", {"quality": 95, "progressive": True}),
        ("a.insp", "JPEG", {"quality": 95}),
        ("a.png", "PNG", {}),
        ("a.gif", "GIF", {}),
        ("a.webp", "WEBP", {"quality": 95}),
        ("a.bmp", "BMP", {}),
        ("a.tif", "TIFF", {}),
        ("a.tiff", "TIFF", {"compression": "tiff_lzw"}),
        ("a.jp2", "JPEG2000", {}),
    ],
)
def test_a_picture_that_pillow_reads(
    tmp_path: Path, name: str, picture_format: str, options: dict[str, object]
) -> None:
    source = save(tmp_path / name, quarters(), picture_format, **options)
    image = rendered(source, tmp_path)
    assert image.size == (64, 48)
    assert are_corners(image)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "CMYK", "RGBA"])
def test_every_mode_becomes_what_jpeg_and_webp_can_hold(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(quarters()).convert(mode)
    suffix, picture_format = (".jpg", "JPEG") if mode == "CMYK" else (".png", "PNG")
    source = save(tmp_path / f"a{suffix}", picture, picture_format)
    image = rendered(source, tmp_path)
    assert image.mode == "RGB"
    truth = np.asarray(picture.convert("RGB")).astype(int)
    if mode != "1":
        assert np.abs(np.asarray(image)[::12, ::12] - truth[::12, ::12]).mean() < 12


def test_a_transparent_palette_stays_transparent(tmp_path: Path) -> None:
    picture = Image.fromarray(quarters()).convert("P", palette=Image.Palette.ADAPTIVE)
    picture.info["transparency"] = picture.getpixel((1, 1))
    source = save(tmp_path / "a.png", picture, "PNG", transparency=picture.getpixel((1, 1)))
    assert made_from(source, tmp_path).files[1].is_transparent


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.tile(np.linspace(0, 65535, 256).astype(np.uint16), (64, 1))
    source = save(tmp_path / f"a{suffix}", Image.fromarray(ramp), suffix[1:].upper())
    grey = np.asarray(rendered(source, tmp_path).convert("L")).astype(int)
    assert np.abs(grey.mean(axis=0) - np.arange(256)).max() <= 3


@pytest.mark.parametrize("brightest", [1.0, 255.0, 4000.0])
def test_float_tiff_is_scaled_to_what_it_holds(tmp_path: Path, brightest: float) -> None:
    ramp = np.tile(np.linspace(0, brightest, 256, dtype=np.float32), (64, 1))
    source = save(tmp_path / "a.tif", Image.fromarray(ramp), "TIFF")
    grey = np.asarray(rendered(source, tmp_path).convert("L")).astype(int)
    assert np.diff(grey.mean(axis=0)).min() > -3
    expected = 255 if brightest <= 255 else round(255 * 4000 / 65535)
    assert abs(int(grey[:, -4:].mean()) - expected) <= 4


def test_sixteen_bit_color_keeps_its_high_byte(tmp_path: Path) -> None:
    deep = imagecodecs.png_encode(quarters().astype(np.uint16) * 257)
    (tmp_path / "a.png").write_bytes(deep)
    assert are_corners(rendered(tmp_path / "a.png", tmp_path))


def test_of_several_pages_the_first_is_shown(tmp_path: Path) -> None:
    first, second = Image.fromarray(quarters()), Image.new("RGB", (64, 48))
    for name, picture_format in (("a.tiff", "TIFF"), ("a.gif", "GIF"), ("a.webp", "WEBP"), ("a.mpo", "MPO")):
        source = save(tmp_path / name, first, picture_format, save_all=True, append_images=[second], quality=95)
        assert are_corners(rendered(source, tmp_path), tolerance=16), name


def test_cmyk_is_converted_by_its_profile(tmp_path: Path) -> None:
    """No profile of a press comes with the tests, so a device link's stand-in: the numbers without one."""
    source = save(tmp_path / "a.tif", Image.new("CMYK", (32, 32), (0, 255, 255, 0)), "TIFF")
    assert rendered(source, tmp_path).getpixel((9, 9)) == pytest.approx((255, 0, 0), abs=6)


def test_lab_tiff(tmp_path: Path) -> None:
    lab = ImageCms.profileToProfile(
        Image.fromarray(quarters()), ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    lab.info.clear()
    source = save(tmp_path / "a.tif", lab, "TIFF")
    assert are_corners(rendered(source, tmp_path), tolerance=20)


def test_heic_is_turned_as_its_container_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    heif = pillow_heif.from_pillow(Image.fromarray(quarters(128, 96)))
    heif.save(tmp_path / "a.heic", quality=95, exif=exif.tobytes())
    made = made_from(tmp_path / "a.heic", tmp_path)
    with pillow_heif.open_heif(tmp_path / "a.heic").to_pillow() as truth:
        assert (made.width_px, made.height_px) == truth.size


def test_ten_bit_heic(tmp_path: Path) -> None:
    deep = quarters(128, 96).astype(np.uint16) * 257
    heif = pillow_heif.from_bytes(mode="RGB;16", size=(128, 96), data=deep.tobytes())
    heif.save(tmp_path / "a.heic", quality=95)
    assert are_corners(rendered(tmp_path / "a.heic", tmp_path), tolerance=16)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_avif_of_every_depth(tmp_path: Path, bits: int) -> None:
    pixels = quarters(128, 96).astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.avif_encode(pixels << (bits - 8), level=95, speed=10, bitspersample=bits)
    (tmp_path / "a.avif").write_bytes(data)
    assert are_corners(rendered(tmp_path / "a.avif", tmp_path), tolerance=16)


@pytest.mark.parametrize("contained", [True, False])
def test_jxl_with_and_without_container(tmp_path: Path, contained: bool) -> None:
    data = imagecodecs.jpegxl_encode(quarters(), lossless=True, usecontainer=contained)
    (tmp_path / "a.jxl").write_bytes(data)
    assert are_corners(rendered(tmp_path / "a.jxl", tmp_path))


def test_sixteen_bit_jxl_with_alpha(tmp_path: Path) -> None:
    pixels = np.dstack([quarters().astype(np.uint16) * 257, np.full((48, 64), 65535, np.uint16)])
    pixels[:24, :32, 3] = 0
    (tmp_path / "a.jxl").write_bytes(imagecodecs.jpegxl_encode(pixels, lossless=True))
    assert made_from(tmp_path / "a.jxl", tmp_path).files[1].is_transparent


def test_photoshop_files_show_their_merged_picture(tmp_path: Path) -> None:
    pixels = quarters()
    header = b"8BPS" + b"\x00\x01" + bytes(6) + b"\x00\x03" + (48).to_bytes(4, "big") + (64).to_bytes(4, "big")
    planes = np.ascontiguousarray(np.moveaxis(pixels, 2, 0)).tobytes()
    (tmp_path / "a.psd").write_bytes(header + b"\x00\x08\x00\x03" + bytes(12) + b"\x00\x00" + planes)
    assert are_corners(rendered(tmp_path / "a.psd", tmp_path))


def test_a_wrong_extension_does_not_matter_while_the_content_is_a_picture(tmp_path: Path) -> None:
    """Phones send HEIC called .jpg and PNG called .jpeg."""
    source = save(tmp_path / "a.jpg", quarters(), "PNG")
    assert are_corners(rendered(source, tmp_path))
    jpeg_called_raw = save(tmp_path / "a.cr2", quarters(), "JPEG", quality=95)
    assert are_corners(rendered(jpeg_called_raw, tmp_path))


def test_a_camera_file_that_libraw_does_not_know_is_unsupported(tmp_path: Path) -> None:
    source = save(tmp_path / "a.nef", quarters(), "TIFF")
    with pytest.raises((UnsupportedMedia, UnreadableImage), match=r"a\.nef"):
        rendered(source, tmp_path)


def test_grey_p3_and_profiled_grey_do_not_confuse_each_other(tmp_path: Path) -> None:
    source = save(tmp_path / "a.png", Image.new("L", (32, 32), 100), "PNG", icc_profile=profile_bytes(DISPLAY_P3))
    assert rendered(source, tmp_path).getpixel((9, 9)) == pytest.approx((100, 100, 100), abs=3)


def test_a_large_jpeg_is_not_decoded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = save(tmp_path / "a.jpg", quarters(4000, 3000), "JPEG")
    loaded: list[tuple[int, int]] = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image, "resize", lambda self, *args, **kwargs: loaded.append(self.size) or resize(self, *args, **kwargs)
    )
    made_from(source, tmp_path)
    assert loaded[0] == (2000, 1500)


def test_every_real_photo_becomes_its_thumbnails(tmp_path: Path) -> None:
    photos = [file for file in sorted(media_dir().rglob("*")) if file.suffix.lower() not in {".xmp", ".md", ""}]
    assert len(photos) >= 20
    for photo in photos:
        made = made_from(photo, tmp_path)
        short = min(made.width_px, made.height_px)
        assert [min(file.width_px, file.height_px) for file in made.files] == [min(short, 1440), min(short, 250)], photo
        with Image.open(made.files[0].path) as image:
            spread = np.asarray(image.convert("L")).std()
        assert spread > 5, f"{photo} is blank"


def test_a_real_heic_matches_its_embedded_thumbnail_size(tmp_path: Path) -> None:
    heic = next((media_dir() / "formats" / "heic").glob("*.heic"))
    made = made_from(heic, tmp_path, is_srgb=False)
    assert (made.width_px, made.height_px) == (4032, 3024)
    with Image.open(made.files[0].path) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert ImageCms.getProfileDescription(profile).strip() == "Display P3"


@pytest.mark.parametrize("size", [(1203, 901), (800, 600), (607, 411), (64, 48)])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": "4:2:2"}, {"subsampling": "4:4:4"}])
def test_the_quick_way_gives_pillows_pixels(
    tmp_path: Path, size: tuple[int, int], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = save(tmp_path / "a.jpg", quarters(*size), "JPEG", quality=90, **options)
    quick = rendered(source, tmp_path / "quick")
    monkeypatch.setattr(pillow_reader, "_QUICK_LIMIT_BYTES", 0)
    pillows = rendered(source, tmp_path / "pillow")
    assert quick.size == pillows.size
    assert np.abs(np.asarray(quick).astype(int) - np.asarray(pillows)).max() <= 3


def test_a_wide_gamut_jpeg_is_converted_on_the_quick_way_too(tmp_path: Path) -> None:
    red = np.full((40, 40, 3), (234, 51, 35), np.uint8)
    source = save(tmp_path / "a.jpg", red, "JPEG", quality=95, icc_profile=profile_bytes(DISPLAY_P3))
    assert rendered(source, tmp_path, is_srgb=True).getpixel((20, 20)) == pytest.approx((255, 0, 0), abs=5)
    assert rendered(source, tmp_path, is_srgb=False).getpixel((20, 20)) == pytest.approx((234, 51, 35), abs=4)
