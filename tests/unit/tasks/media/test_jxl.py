import imagecodecs
import numpy as np
import pytest

from tasks.media.jxl import size_in_header


@pytest.mark.parametrize("contained", [True, False])
@pytest.mark.parametrize(
    ("width", "height"),
    [(8, 8), (256, 256), (240, 200), (320, 240), (400, 300), (1920, 1080), (1, 1), (513, 7), (600, 9000), (7, 3)],
)
def test_the_size_stands_in_the_header(width: int, height: int, contained: bool) -> None:
    pixels = np.zeros((height, width, 3), np.uint8)
    data = imagecodecs.jpegxl_encode(pixels, effort=1, usecontainer=contained)
    assert size_in_header(data) == (width, height)


@pytest.mark.parametrize("data", [b"", b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n", bytes(64)])
def test_no_header_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        size_in_header(data)
