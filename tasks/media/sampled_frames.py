"""Frames spread evenly over a whole video, for whoever wants more of it than the one that stands for it.

decord reads what it can; PyAV reads the rest.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from PIL import Image

from cluster.errors import SourceMissing, TooLarge, UnreadableVideo
from tasks.media.decord_frames import DecordFailed, decord_reads
from tasks.media.probe import DEMUXERS, VideoFacts

MOST_PIXELS = 50_000_000
"""Of one frame; 8K has 33 million."""
MOST_DECODED = 600
"""Frames between a key frame and the moment; what lies further is not worth it."""
TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}


def sample_frames(source: Path, facts: VideoFacts, count: int) -> list[Image.Image]:
    """Up to `count` frames, RGB and upright, in their order: the middles of as many equal stretches.

    Raises UnreadableVideo, TooLarge and SourceMissing: a retry will not help.
    """
    if not source.is_file():
        raise SourceMissing(source, "no such file")
    if facts.width_px * facts.height_px > MOST_PIXELS:
        raise TooLarge(source, f"frames of {facts.width_px} x {facts.height_px} pixels")
    if decord_reads(source, facts):
        try:
            return frames_with_decord(source, facts, count)
        except DecordFailed:
            pass
    return frames_with_pyav(source, facts, count)


def frames_with_decord(source: Path, facts: VideoFacts, count: int) -> list[Image.Image]:
    """Raises DecordFailed, also where it leaves frames lying on their side."""
    os.environ.setdefault("DECORD_EOF_RETRY_MAX", "64")  # at a broken end it would go on trying
    import decord  # loads a second copy of ffmpeg's libraries, so only where a video is read

    try:
        reader = decord.VideoReader(str(source), ctx=decord.cpu(0), num_threads=1)
        wanted = sorted({int((number + 0.5) / count * len(reader)) for number in range(count)})
        frames = [Image.fromarray(reader[index].asnumpy()) for index in wanted]
    except Exception as error:  # decord's errors are of no common kind
        raise DecordFailed(str(error).strip()[:300]) from error
    width, height = facts.upright_size_px
    if not frames or (frames[0].width > frames[0].height) != (width > height):
        raise DecordFailed("it did not turn the picture upright")
    return frames


def frames_with_pyav(source: Path, facts: VideoFacts, count: int) -> list[Image.Image]:
    """Raises UnreadableVideo when not one frame decodes."""
    try:
        with av.open(f"file:{source}", container_options=_OPTIONS) as container:
            found = list(_frames_at_moments(container, facts, count))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnreadableVideo(source, str(error)) from error
    if not found:
        raise UnreadableVideo(source, "no frame of it decodes")
    turn = TURNED.get(facts.orientation)
    return [frame if turn is None else frame.transpose(turn) for frame in found]


_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}


def _frames_at_moments(container: Any, facts: VideoFacts, count: int) -> Iterator[Image.Image]:
    """Each moment by a seek of its own, to the key frame before it and then on."""
    stream = container.streams[facts.index]
    duration_s, start = (facts.duration_ms or 0) / 1000, stream.start_time or 0
    seen: set[int] = set()
    for number in range(count):
        moment = start + int((number + 0.5) / count * duration_s / stream.time_base)
        container.seek(moment, stream=stream)
        frame = _frame_at(container, stream, moment)
        if frame is not None and frame.pts not in seen:
            seen.add(frame.pts)
            yield frame.to_image()


def _frame_at(container: Any, stream: Any, moment: int) -> Any:
    """The frame that stands there, or the last before it."""
    last = None
    for number, frame in enumerate(container.decode(stream)):
        if last is not None and (frame.pts is None or frame.pts > moment):
            return last
        last = frame
        if number == MOST_DECODED:
            return last
    return last
