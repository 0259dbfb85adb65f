from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from tasks.media.scenes import best_second


def picture(level: int) -> NDArray[np.uint8]:
    return np.full((8, 8), level, np.uint8)


@pytest.mark.parametrize(
    ("levels", "second"),
    [
        ([], 0),
        ([10], 0),
        ([10] * 10, 0),
        ([10] * 30, 21),
        ([10, 10, 10, 200, 200], 3),
        ([10, 200, 200, 200], 0),
        ([10, 200, 200, 90, 90], 3),
        ([0, 20, 40, 60, 80, 100, 120], 0),
        ([10, 10, 10, 20, 20], 0),
    ],
    ids=[
        "nothing",
        "one picture",
        "short and even",
        "long and even",
        "a new scene",
        "a flash at the start",
        "two scenes, the first at once",
        "a steady fade",
        "a slight change",
    ],
)
def test_the_moment(levels: list[int], second: int) -> None:
    assert best_second(picture(level) for level in levels) == second


def test_no_more_is_read_than_needed() -> None:
    read: list[int] = []

    def pictures() -> Iterator[NDArray[np.uint8]]:
        for place, level in enumerate([10, 10, 10, 200, 10, 10]):
            read.append(place)
            yield picture(level)

    assert best_second(pictures()) == 3
    assert read == [0, 1, 2, 3]
