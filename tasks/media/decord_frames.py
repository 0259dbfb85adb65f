"""Frames through decord, within this process: quick for the everyday kinds of video."""

import os
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from tasks.media.probe import VideoFacts
from tasks.media.scenes import SECONDS_LOOKED_AT, Grey, best_second

_CODECS: Final = frozenset({"h264", "hevc", "vp8", "vp9", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg"})
_PIXEL_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})

# decord reads the whole file to index it before it gives one frame.
_LARGEST_BYTES: Final = 128 << 20

_GREY_SIZE_PX = (64, 64)


class DecordFailed(Exception):
    """decord gives no frame of this file; ffmpeg may."""


def decord_reads(source: Path, facts: VideoFacts) -> bool:
    """Whether decord is worth trying: its ffmpeg is old, knows neither AV1 nor HDR, and gives no alpha."""
    return (
        facts.codec in _CODECS
        and facts.pixel_format in _PIXEL_FORMATS
        and not facts.is_hdr
        and facts.dolby_vision_profile is None
        and "mpegts" not in facts.format_name
        and source.stat().st_size <= _LARGEST_BYTES
    )


def grab_with_decord(source: Path, upright_size_px: tuple[int, int]) -> Image.Image:
    """The best frame, RGB, upright, of the size given. Raises DecordFailed."""
    # At a broken end decord tries 10,240 times to go on; this is read by its C++ code.
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "64")
    import decord  # loads a second copy of ffmpeg's libraries, so only where a video is read

    try:
        reader = decord.VideoReader(str(source), ctx=decord.cpu(0), num_threads=1)
        keys = [int(index) for index in reader.get_key_indices()] or [0]
        starts = [float(reader.get_frame_timestamp(index)[0]) for index in keys]
        second = best_second(_grey_seconds(reader, keys, starts))
        pixels = reader[_key_at(keys, starts, second)].asnumpy()
    except Exception as error:  # decord's errors are of no common kind
        raise DecordFailed(str(error).strip()[:300]) from error
    image = Image.fromarray(pixels)
    if (image.width > image.height) != (upright_size_px[0] > upright_size_px[1]):
        raise DecordFailed("it did not turn the picture upright")
    return image.resize(upright_size_px, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _grey_seconds(reader: Any, keys: list[int], starts: list[float]) -> Iterator[Grey]:
    duration_s = float(reader.get_frame_timestamp(len(reader) - 1)[1])
    shown, grey = -1, np.zeros(0, np.uint8)
    for second in range(min(SECONDS_LOOKED_AT, int(duration_s) + 1)):
        key = _key_at(keys, starts, second)
        if key != shown:
            image = Image.fromarray(reader[key].asnumpy())
            shown, grey = (
                key,
                np.asarray(image.resize(_GREY_SIZE_PX, Image.Resampling.BOX, reducing_gap=1.0).convert("L")),
            )
        yield grey


def _key_at(keys: list[int], starts: list[float], second: int) -> int:
    """The key frame that stands at `second`: the last that has begun."""
    return keys[max(0, bisect_right(starts, second) - 1)]
