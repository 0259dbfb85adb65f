import imagecodecs
import numpy as np
import pytest

from tasks.media.hdr import BT2020_PRIMARIES, DISPLAY_P3_PRIMARIES, HLG, PQ, is_hdr, tone_mapped


def shown(code: int, transfer: int, primaries: int = DISPLAY_P3_PRIMARIES, bits: int = 10) -> tuple[int, ...]:
    samples = np.full((1, 1, 3), code, np.uint16)
    return tuple(int(v) for v in tone_mapped(samples, bits, transfer, primaries)[0, 0])


# ITU-R BT.2100 and BT.2408: 10-bit full-range codes of what screens show; 203 cd/m² is PQ 58 % and HLG 75 %.
@pytest.mark.parametrize(("code", "transfer"), [(round(0.58 * 1023), PQ), (round(0.75 * 1023), HLG)])
def test_paper_white_is_bright_but_leaves_room_above(code: int, transfer: int) -> None:
    assert 225 <= shown(code, transfer)[0] <= 248


def test_black_is_black_and_the_brightest_is_below_white() -> None:
    assert shown(0, PQ) == shown(0, HLG) == (0, 0, 0)
    assert 250 <= shown(1023, PQ)[0] <= 255


def test_dark_and_middle_tones_keep_their_light() -> None:
    """26 cd/m² is 12.8 % of paper white, which sRGB's curve writes as 101 (PQ 38 %: BT.2408, table 1, 18 % grey)."""
    assert shown(round(0.38 * 1023), PQ)[0] == pytest.approx(101, abs=4)


def test_brighter_is_never_darker() -> None:
    ramp = np.repeat(np.arange(1024, dtype=np.uint16)[None, :, None], 3, axis=2)
    for transfer in (PQ, HLG):
        assert (np.diff(tone_mapped(ramp, 10, transfer, BT2020_PRIMARIES)[0, :, 1].astype(int)) >= 0).all()


@pytest.mark.parametrize("primaries", [1, BT2020_PRIMARIES, DISPLAY_P3_PRIMARIES])
def test_grey_stays_grey_in_every_gamut(primaries: int) -> None:
    r, g, b = shown(500, PQ, primaries)
    assert max(r, g, b) - min(r, g, b) <= 1


def test_alpha_is_only_scaled() -> None:
    samples = np.full((300, 2, 4), (500, 500, 500, 512), np.uint16)
    assert set(tone_mapped(samples, 10, PQ, BT2020_PRIMARIES)[..., 3].ravel()) == {128}


def test_only_pq_and_hlg_are_hdr() -> None:
    assert [transfer for transfer in range(20) if is_hdr(transfer)] == [PQ, HLG]


def test_libavifs_samples_have_the_shape_that_we_expect() -> None:
    deep = np.full((16, 16, 3), 512, np.uint16)
    decoded = imagecodecs.avif_decode(imagecodecs.avif_encode(deep, level=100, speed=10, bitspersample=10))
    assert decoded.shape == deep.shape
    assert decoded.dtype == np.uint16
