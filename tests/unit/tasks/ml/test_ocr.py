"""Printed text is found and read by the models that RapidOCR brings."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.errors import ModelUnavailable
from tasks.ml.ocr import MOST_DETECTED_PX, PrintedLine, TextReader, detected_size, ocr_files, reading_order
from tasks.ml.picture import Pixels
from tests.printed_text import picture_of
from tests.shared_media import media_dir
from tests.weight_files import cut_short, garble

pytest.importorskip("rapidocr")


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader(ocr_files(Path("/nowhere"), "PP-OCRv5_mobile"), threads=2)


def read(
    reader: TextReader, picture: Pixels, resolution: int = 736, box_score: float = 0.5, text_score: float = 0.8
) -> list[PrintedLine]:
    return reader.read(
        picture, max_resolution=resolution, min_detection_score=box_score, min_recognition_score=text_score
    )


def test_lines_are_read_in_order_where_they_stand(reader: TextReader) -> None:
    picture = picture_of(("to Hogsmeade", (40, 300)), ("11:00", (600, 305)), ("PLATFORM 9", (40, 120)))

    lines = read(reader, picture)

    assert [line.text for line in lines] == ["PLATFORM 9", "to Hogsmeade", "11:00"]
    x1, y1, x2, y2, x3, _y3, _x4, y4 = lines[2].corners
    assert 590 / 900 < x1 < 610 / 900 < x2 < 780 / 900
    assert y1 < 265 / 600 < 300 / 600 < y4 < 330 / 600
    assert x2 == pytest.approx(x3, abs=0.01)
    assert y1 == pytest.approx(y2, abs=0.01)
    assert all(0.8 < line.text_score <= 1 and 0.5 < line.box_score <= 1 for line in lines)


def test_scores_stay_with_their_lines(reader: TextReader) -> None:
    """Contours are found from below, and lines read from above: the faint one below is the one with the low score."""
    picture = picture_of(("CLEAR", (60, 120)), ("FAINT", (60, 480)))
    picture[360:] = 245 - (245 - picture[360:].astype(np.int16)) // 14

    clear, faint = read(reader, picture, box_score=0.1, text_score=0.1)

    assert (clear.text, clear.box_score > faint.box_score) == ("CLEAR", True)
    assert [line.text for line in read(reader, picture, box_score=(clear.box_score + faint.box_score) / 2)] == ["CLEAR"]


def test_what_is_read_unsurely_is_left_out(reader: TextReader) -> None:
    picture = picture_of(("CLEAR", (60, 120)))
    (line,) = read(reader, picture)
    assert read(reader, picture, text_score=line.text_score) == []  # the limit itself is not enough


def test_upright_lines_are_turned(reader: TextReader) -> None:
    """As far as they are read from above; from below, they would stand on their heads then."""
    picture = np.rot90(picture_of(("SIDEWAYS", (60, 120)), size=(600, 300)), -1).copy()
    assert [line.text for line in read(reader, picture)] == ["SIDEWAYS"]


@pytest.mark.parametrize("picture", [np.full((600, 900, 3), 128, np.uint8), np.zeros((31, 31, 3), np.uint8)])
def test_a_picture_without_text_says_nothing(reader: TextReader, picture: Pixels) -> None:
    assert read(reader, picture) == []


def test_very_wide_and_tiny_pictures_are_read(reader: TextReader) -> None:
    panorama = picture_of(*((f"MILE {number}", (400 * number, 60)) for number in range(20)), size=(8000, 80))
    assert "MILE 7" in {line.text for line in read(reader, panorama)}
    assert read(reader, np.zeros((1, 40, 3), np.uint8)) == []


def test_a_photo_agrees_with_rapidocr_itself(reader: TextReader) -> None:
    from rapidocr import RapidOCR

    with Image.open(media_dir() / "albums" / "text" / "craft-beer.jpg") as photo:
        # so that neither has to scale it for the detector
        pixels = np.asarray(photo.convert("RGB").resize((1120, 736)))
    ours = [(line.text, round(line.text_score, 5)) for line in read(reader, pixels)]
    theirs = RapidOCR(params={"Global.use_cls": False, "Global.text_score": 0.8})(pixels[:, :, ::-1])
    assert ours == [(text, round(score, 5)) for text, score in zip(theirs.txts, theirs.scores, strict=True)]
    assert {"WEEKEND WARRIOR PaleAle", "SEASONAL"} <= {text for text, _ in ours}


@pytest.mark.parametrize(
    ("size", "resolution", "detected"),
    [
        ((4000, 3000), 736, (992, 736)),
        ((600, 400), 736, (608, 384)),  # never larger than it is, but for the multiple
        ((31, 31), 736, None),
        ((32, 10), 736, (32, 32)),
        ((100, 4000), 736, (96, 4000)),
    ],
)
def test_the_shorter_side_is_scaled_down(
    size: tuple[int, int], resolution: int, detected: tuple[int, int] | None
) -> None:
    assert detected_size(*size, resolution) == detected


def test_a_panorama_is_shown_within_limits() -> None:
    width, height = detected_size(40_000, 1440, 736) or (0, 0)
    assert 0.8 * MOST_DETECTED_PX < width * height < 1.2 * MOST_DETECTED_PX


def test_lines_beside_each_other_are_read_from_the_left() -> None:
    assert reading_order([(50, 9), (10, 18), (0, 100), (5, 0)]) == [3, 1, 0, 2]
    assert reading_order([(50, 0), (10, 10)]) == [0, 1]
    assert reading_order([]) == []


def test_a_model_in_the_model_folder_wins_and_others_say_what_they_want(tmp_path: Path) -> None:
    bundled = ocr_files(tmp_path, "PP-OCRv5_mobile")
    assert bundled.detection.is_file()
    assert bundled.recognition.is_file()
    with pytest.raises(ModelUnavailable, match=f"{tmp_path}/ocr/KOREAN__PP-OCRv5_mobile: put det.onnx and rec.onnx"):
        ocr_files(tmp_path, "KOREAN__PP-OCRv5_mobile")

    for name in ("KOREAN__PP-OCRv5_mobile", "PP-OCRv5_mobile"):
        folder = tmp_path / "ocr" / name
        folder.mkdir(parents=True)
        (folder / "det.onnx").symlink_to(bundled.detection)
        (folder / "rec.onnx").symlink_to(bundled.recognition)
        assert ocr_files(tmp_path, name).recognition == folder / "rec.onnx"


def test_files_that_are_no_networks_are_named(tmp_path: Path) -> None:
    good = ocr_files(tmp_path, "PP-OCRv5_mobile")
    broken = tmp_path / "det.onnx"
    broken.write_bytes(b"not a network")
    with pytest.raises(ModelUnavailable, match=r"det\.onnx: it cannot be read"):
        TextReader(replace(good, detection=broken), threads=1)
    with pytest.raises(ModelUnavailable, match="name no letters"):
        TextReader(replace(good, recognition=good.detection), threads=1)


def put_pack(folder: Path, detection: str, recognition: str) -> None:
    bundled = ocr_files(Path("/nowhere"), "PP-OCRv5_mobile")
    for name, target in ((detection, bundled.detection), (recognition, bundled.recognition)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)


def test_networks_in_immichs_own_cache_are_read_where_they_lie(tmp_path: Path) -> None:
    folder = tmp_path / "ocr" / "PP-OCRv5_mobile"
    put_pack(folder, "detection/model.onnx", "recognition/model.onnx")
    files = ocr_files(tmp_path, "PP-OCRv5_mobile", verify=True)
    assert (files.detection, files.recognition) == tuple(
        folder / part / "model.onnx" for part in ("detection", "recognition")
    )


@pytest.mark.parametrize("name", ["det.onnx", "rec.onnx"])
def test_damaged_networks_are_named_and_no_other_takes_their_place(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "ocr" / "PP-OCRv5_mobile"
    put_pack(folder, "det.onnx", "rec.onnx")
    cut_short(folder / name)
    with pytest.raises(ModelUnavailable, match=f"{name}: it is cut short"):
        ocr_files(tmp_path, "PP-OCRv5_mobile")


def test_a_network_that_answers_without_numbers_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "ocr" / "PP-OCRv5_mobile"
    put_pack(folder, "det.onnx", "rec.onnx")
    garble(folder / "rec.onnx")
    with pytest.raises(ModelUnavailable, match=r"PP-OCRv5_mobile .*rec\.onnx: it cannot be read"):
        TextReader(ocr_files(tmp_path, "PP-OCRv5_mobile"), threads=1)
