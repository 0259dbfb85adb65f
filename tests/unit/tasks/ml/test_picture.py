"""What models are shown is decoded within limits, and what cannot be is told apart."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.errors import SourceMissing, TooLarge, UnreadableImage
from tasks.ml import picture
from tasks.ml.picture import read_picture


@pytest.mark.parametrize(("mode", "name"), [("RGB", "a.jpeg"), ("L", "b.jpeg"), ("CMYK", "c.jpeg"), ("RGBA", "d.webp")])
def test_previews_are_three_colours_red_first(tmp_path: Path, mode: str, name: str) -> None:
    red = Image.new("RGB", (40, 30), (200, 10, 10)).convert(mode)
    red.save(tmp_path / name)
    pixels = read_picture(tmp_path / name)
    assert (pixels.shape, pixels.dtype) == ((30, 40, 3), np.uint8)
    if mode != "L":
        assert pixels[0, 0, 0] > 150 > 60 > pixels[0, 0, 2]


def test_what_cannot_be_read_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceMissing, match="not on disk"):
        read_picture(tmp_path / "gone.jpeg")
    path = tmp_path / "a.jpeg"
    Image.effect_noise((300, 200), 50).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(UnreadableImage, match=r"a\.jpeg"):
        read_picture(path)
    with pytest.raises(IsADirectoryError):  # nor is it a picture, but what the disk says may pass
        read_picture(tmp_path)
    path.write_bytes(b"text")
    with pytest.raises(UnreadableImage):
        read_picture(path)
    Image.new("RGB", (40, 30)).save(path, "PNG")  # no preview is written so
    with pytest.raises(UnreadableImage):
        read_picture(path)
    Image.new("RGB", (40, 30)).save(path, "JPEG")
    monkeypatch.setattr(picture, "MOST_PIXELS", 1000)
    with pytest.raises(TooLarge, match="40 x 30"):
        read_picture(path)
