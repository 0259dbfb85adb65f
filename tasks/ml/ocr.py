"""Reads printed text: a detector says where lines of it stand, a recogniser what they say; both networks are PP-OCR's.

The networks run in ONNX Runtime. RapidOCR's parts find the lines in the detector's map, cut them out and decode what
the recogniser says; the order and the scores are kept by us, since RapidOCR sorts lines and leaves their scores behind.
Source of every figure: spec/jobs-ml.md §2.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cluster.errors import ModelUnavailable
from tasks.ml.picture import Pixels
from tasks.ml.weights import ModelKind, Weights, checked_weights, damaged, find_weights

MULTIPLE_PX = 32
"""Of which the detector's sides are multiples."""
MOST_DETECTED_PX = 2_000_000
"""What the detector is shown at most, since its memory grows with it: of a panorama, fewer than is asked for."""
LINE_PX = 10
"""Lines whose tops are closer than this stand beside each other."""
THRESHOLD, MOST_LINES, UNCLIP = 0.3, 1000, 1.6
RECOGNISED_AT_ONCE = 6
LINE_HEIGHT_PX, LINE_WIDTH_PX = 48, 320
LONGEST_LINE_PX = 3200
"""What a line is squeezed to at most: 67 times as wide as high."""

Corners = tuple[float, float, float, float, float, float, float, float]
"""x and y of a line's corners as shares of the picture's sides, clockwise from the top left."""


@dataclass(frozen=True, slots=True)
class OcrFiles:
    """The two networks of a model, each an ONNX file; the recogniser's holds its letters. `name`: Immich's."""

    name: str
    detection: Path
    recognition: Path


@dataclass(frozen=True, slots=True)
class PrintedLine:
    """A line of text. Scores: how sure it is that text stands there, and that it says this, 0 to 1."""

    corners: Corners
    text: str
    box_score: float
    text_score: float


BUNDLED = frozenset({"PP-OCRv6_small", "PP-OCRv5_mobile", "EN__PP-OCRv5_mobile", "LATIN__PP-OCRv5_mobile"})
"""Models by Immich's names that need no file: the one that comes with RapidOCR, and the smaller ones before it of the
languages that it reads, for which it stands in."""


def ocr_files(model_folder: Path, name: str, *, verify: bool = False) -> OcrFiles:
    """What lies in the model folder under this name, else what RapidOCR brings, for the BUNDLED names. `verify`: read
    the files and compare their sums.

    Raises ModelUnavailable, also where RapidOCR is not installed.
    """
    weights = Weights(ModelKind.OCR, name)
    if name in BUNDLED and not any(weights.folder(model_folder).rglob("*.onnx")):
        return _bundled_files(name)
    files = (checked_weights if verify else find_weights)(model_folder, weights)
    detection, recognition = (next(path for path in files if _part(path).startswith(part)) for part in ("det", "rec"))
    return OcrFiles(name, detection, recognition)


def _part(path: Path) -> str:
    """What a network is for: in its own name, or in its folder's."""
    return path.parent.name if path.stem == "model" else path.name


def _bundled_files(name: str) -> OcrFiles:
    spec = find_spec("rapidocr")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(name, "rapidocr", "this node is set up without machine learning: `cluster/setup.sh run`")
    folder = Path(spec.submodule_search_locations[0]) / "models"
    return OcrFiles(name, folder / "PP-OCRv6_det_small.onnx", folder / "PP-OCRv6_rec_small.onnx")


class TextReader:
    """Both networks, loaded, each with so many threads. Raises ModelUnavailable for files that are no such networks."""

    def __init__(self, files: OcrFiles, threads: int) -> None:
        self._detection = _Network(files.name, files.detection, threads)
        self._recognition = _Network(files.name, files.recognition, threads)
        self._decode = self._decoder()
        self._detection.require_numbers(MULTIPLE_PX, MULTIPLE_PX)
        self._recognition.require_numbers(LINE_HEIGHT_PX, LINE_WIDTH_PX)

    def read(
        self, picture: Pixels, *, max_resolution: int, min_detection_score: float, min_recognition_score: float
    ) -> list[PrintedLine]:
        """Lines from top to bottom, beside each other from left to right. `max_resolution`: of the shorter side, in
        pixels, where text is looked for; what stands there is read in the picture's own size."""
        height, width = picture.shape[:2]
        size = detected_size(width, height, max_resolution)
        if size is None:
            return []
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        boxes, box_scores = self._detect(bgr, size, min_detection_score)
        texts = self._recognise([_cut_out(bgr, box) for box in boxes])
        return [
            PrintedLine(_shares(box, width, height), text, box_score, text_score)
            for box, box_score, (text, text_score) in zip(boxes, box_scores, texts, strict=True)
            if text_score > min_recognition_score and text.strip()
        ]

    def _detect(
        self, bgr: Pixels, size: tuple[int, int], min_score: float
    ) -> tuple[list[NDArray[np.float32]], list[float]]:
        import cv2
        from rapidocr.ch_ppocr_det.utils import DBPostProcess

        resized = cv2.resize(bgr, size)
        found = self._detection.run((resized.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[np.newaxis])
        lines = DBPostProcess(
            thresh=THRESHOLD,
            box_thresh=min_score,
            max_candidates=MOST_LINES,
            unclip_ratio=UNCLIP,
            score_mode="fast",
            use_dilation=True,
        )
        boxes, scores = lines(found, bgr.shape[:2])
        order = reading_order([(float(box[0][0]), float(box[0][1])) for box in boxes])
        return [boxes[at] for at in order], [float(scores[at]) for at in order]

    def _recognise(self, lines: Sequence[Pixels]) -> list[tuple[str, float]]:
        """What each says, and how sure that is. Those of like width go together, as each is filled up to the widest."""
        read: list[tuple[str, float]] = [("", 0.0)] * len(lines)
        by_width = sorted(range(len(lines)), key=lambda at: lines[at].shape[1] / lines[at].shape[0])
        for start in range(0, len(lines), RECOGNISED_AT_ONCE):
            group = by_width[start : start + RECOGNISED_AT_ONCE]
            said, _ = self._decode(self._recognition.run(_filled_up([lines[at] for at in group])))
            for at, (text, score) in zip(group, said, strict=True):
                read[at] = (text, float(score))
        return read

    def _decoder(self) -> Any:
        from rapidocr.ch_ppocr_rec.utils import CTCLabelDecode

        logging.getLogger("RapidOCR").setLevel(logging.WARNING)
        return CTCLabelDecode(character=self._recognition.letters())


class _Network:
    """An ONNX file in ONNX Runtime, on a GPU where that is built for one."""

    def __init__(self, name: str, path: Path, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        # sizes differ from picture to picture: an arena would keep the sum of all, and a plan for each
        options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        here = [name for name in wanted if name in onnxruntime.get_available_providers()]
        self._name, self._path = name, path
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=here)
            self._input = self._session.get_inputs()[0].name
        except Exception as error:  # ONNX Runtime has a class for each way in which a file is no network
            raise damaged(name, path, error) from error

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """`batch`: (n, 3, height, width)."""
        made: NDArray[np.float32] = self._session.run(None, {self._input: np.ascontiguousarray(batch)})[0]
        return made

    def require_numbers(self, height: int, width: int) -> None:
        """Try it on a blank. Raises ModelUnavailable: by a damaged one, no picture would have any text."""
        try:
            answer = self.run(np.zeros((1, 3, height, width), np.float32))
        except Exception as error:
            raise damaged(self._name, self._path, error) from error
        if not np.isfinite(answer).all():
            raise damaged(self._name, self._path, "it answers without numbers")

    def letters(self) -> list[str]:
        """What the recogniser's classes stand for."""
        said: str | None = self._session.get_modelmeta().custom_metadata_map.get("character")
        if said is None:
            raise damaged(self._name, self._path, "its metadata name no letters, as those of RapidOCR's files do")
        return said.splitlines()


def detected_size(width: int, height: int, max_resolution: int) -> tuple[int, int] | None:
    """In what size (width, height) text is looked for; None when there is room for none. Never larger."""
    if max(width, height) < MULTIPLE_PX:
        return None
    scale = min(1.0, max_resolution / min(width, height), math.sqrt(MOST_DETECTED_PX / (width * height)))
    return _multiple(width * scale), _multiple(height * scale)


def _multiple(side_px: float) -> int:
    return max(1, round(side_px / MULTIPLE_PX)) * MULTIPLE_PX


def reading_order(corners: Sequence[tuple[float, float]]) -> list[int]:
    """The order in which lines with these top left corners (x, y) are read."""
    by_y = sorted(range(len(corners)), key=lambda at: corners[at][1])
    row, row_of = 0, dict[int, int]()
    for before, at in zip([*by_y[:1], *by_y], by_y, strict=False):
        row += corners[at][1] - corners[before][1] >= LINE_PX
        row_of[at] = row
    return sorted(by_y, key=lambda at: (row_of[at], corners[at][0]))


def _cut_out(bgr: Pixels, box: NDArray[np.float32]) -> Pixels:
    """The line, straight; one that stands upright is turned."""
    from rapidocr.utils.process_img import get_rotate_crop_image

    line: Pixels = get_rotate_crop_image(bgr, box.astype(np.float32))
    return line


def _filled_up(lines: Sequence[Pixels]) -> NDArray[np.float32]:
    """(n, 3, 48, w): all as high as the recogniser wants, and as wide as the widest, with zeros on the right."""
    import cv2

    widest = max(LINE_WIDTH_PX / LINE_HEIGHT_PX, *(line.shape[1] / line.shape[0] for line in lines))
    batch_px = min(int(LINE_HEIGHT_PX * widest), LONGEST_LINE_PX)
    batch = np.zeros((len(lines), 3, LINE_HEIGHT_PX, batch_px), np.float32)
    for filled, line in zip(batch, lines, strict=True):
        width_px = min(math.ceil(LINE_HEIGHT_PX * line.shape[1] / line.shape[0]), batch_px)
        resized = cv2.resize(line, (width_px, LINE_HEIGHT_PX))
        filled[:, :, :width_px] = resized.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
    return batch


def _shares(box: NDArray[np.float32], width: int, height: int) -> Corners:
    (x1, y1), (x2, y2), (x3, y3), (x4, y4) = (box / (width, height)).tolist()
    return x1, y1, x2, y2, x3, y3, x4, y4
