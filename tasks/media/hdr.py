"""High dynamic range pictures made to fit an ordinary screen: PQ and HLG samples → 8-bit Display P3.

What is no brighter than paper white keeps its light; what is brighter is bent below the screen's white, never clipped.
Source of the curves: ITU-R BT.2100; of paper white, 203 cd/m²: BT.2408.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

BT2020_PRIMARIES: Final = 9
DISPLAY_P3_PRIMARIES: Final = 12
PQ: Final = 16
HLG: Final = 18

_PAPER_WHITE_NITS = 203.0
_HLG_PEAK_NITS = 1000.0
_KNEE = 0.7
_ROWS_AT_ONCE = 128

# Linear light, row vectors: red, green, blue of the source as Display P3.
_TO_P3 = {
    BT2020_PRIMARIES: ((1.34358, -0.06530, 0.00282), (-0.28218, 1.07579, -0.01960), (-0.06140, -0.01049, 1.01678)),
    DISPLAY_P3_PRIMARIES: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
}
_BT709_TO_P3 = ((0.82246, 0.03319, 0.01708), (0.17754, 0.96681, 0.07240), (0.0, 0.0, 0.91052))


def is_hdr(transfer: int) -> bool:
    """Whether H.273's number of a transfer curve is one of the two that HDR uses."""
    return transfer in {PQ, HLG}


def tone_mapped(samples: NDArray[np.generic], bits: int, transfer: int, primaries: int) -> NDArray[np.uint8]:
    """`samples`: integers (height, width, 3 or 4) of `bits` bits; a fourth channel is alpha. Same shape, uint8, in
    Display P3 with sRGB's curve. `transfer` is PQ or HLG; unknown `primaries` read as BT.709's. Works on a few rows at
    a time, so that memory stays flat."""
    light = _light_of_code(bits, transfer)
    matrix = np.array(_TO_P3.get(primaries, _BT709_TO_P3), np.float32)
    result = np.empty(samples.shape, np.uint8)
    for start in range(0, samples.shape[0], _ROWS_AT_ONCE):
        rows = samples[start : start + _ROWS_AT_ONCE]
        shown = _bent(np.maximum(light[rows[..., :3].astype(np.intp)] @ matrix, 0))
        result[start : start + _ROWS_AT_ONCE, :, :3] = _encoded(shown)
        if samples.shape[2] == 4:
            result[start : start + _ROWS_AT_ONCE, :, 3] = rows[..., 3].astype(np.uint32) >> (bits - 8)
    return result


def _light_of_code(bits: int, transfer: int) -> NDArray[np.float32]:
    """Linear light of every sample value, 1.0 at paper white."""
    signal = np.linspace(0, 1, 1 << bits)
    if transfer == PQ:
        root = signal ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    else:
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
        nits = _HLG_PEAK_NITS * scene**1.2
    return (nits / _PAPER_WHITE_NITS).astype(np.float32)


def _bent(light: NDArray[np.float32]) -> NDArray[np.float32]:
    over = np.maximum(light - _KNEE, 0) / (1 - _KNEE)
    bent: NDArray[np.float32] = np.where(light <= _KNEE, light, _KNEE + (1 - _KNEE) * over / (1 + over))
    return bent


def _encoded(light: NDArray[np.float32]) -> NDArray[np.uint8]:
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    encoded: NDArray[np.uint8] = (255 * signal + 0.5).astype(np.uint8)
    return encoded
