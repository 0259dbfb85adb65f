"""Which moment of a video to show, from small grey pictures of its first seconds (pure).

Follows spec jobs-media §2: the first picture after a change of scene, though not the one right after the beginning,
else the one after 20 seconds, else the first. Pictures of one second stand for the filter's twelve.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECONDS_LOOKED_AT: Final = 22
LONGEST_WAIT_S: Final = 20
SCENE_CHANGE: Final = 0.1

Grey = NDArray[np.uint8]


def best_second(pictures: Iterable[Grey]) -> int:
    """`pictures`: one for each second from 0 on, uint8 (height, width), all of one size; read only as far as needed.
    Returns the second to show, 0 when there are none."""
    before: Grey | None = None
    difference_before = 0.0
    for second, picture in enumerate(pictures):
        if before is not None:
            difference = _difference(before, picture)
            # a fade or a pan differs all along; only what differs suddenly is a new scene
            score = min(difference, abs(difference - difference_before))
            difference_before = difference
            if second > LONGEST_WAIT_S or (second > 1 and score > SCENE_CHANGE):
                return second
        before = picture
    return 0


def _difference(before: Grey, after: Grey) -> float:
    """Mean absolute difference, 0–1."""
    return float(np.abs(before.astype(np.int16) - after.astype(np.int16)).mean()) / 255
