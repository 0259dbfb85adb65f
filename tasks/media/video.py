"""The still picture that stands for a video or a GIF, and its renditions. Source: spec jobs-media §2.

decord reads what it can within this process; ffmpeg reads the rest: AV1, HDR, GIF, transport streams, large files,
damaged ones.
"""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cluster.errors import SourceMissing, TooLarge, UnreadableVideo
from tasks.media.color import SRGB
from tasks.media.decord_frames import DecordFailed, decord_reads, grab_with_decord
from tasks.media.ffmpeg_frames import grab_with_ffmpeg
from tasks.media.probe import AudioFacts, VideoFacts, probe_video
from tasks.media.renditions import Limits, Rendition, Thumbnails, size_outside, write_renditions

__all__ = ["AudioFacts", "VideoFacts", "probe_video", "render_video"]

_DEFAULT_LIMITS = Limits()


def render_video(
    source: Path, renditions: Sequence[Rendition], facts: VideoFacts, *, limits: Limits = _DEFAULT_LIMITS
) -> Thumbnails:
    """Make every rendition of one telling frame of `source`, and its hash. `facts`: from `probe_video`.

    Raises UnreadableVideo, TooLarge and SourceMissing, where a retry cannot help; ProgramMissing, ProgramTimeout,
    NoSpace, and ProgramFailed when ffmpeg was killed.
    """
    if not source.is_file():
        raise SourceMissing(source, "no such file")
    width, height = facts.upright_size_px
    if not width or not height:
        raise UnreadableVideo(source, f"its frames are {width} x {height} pixels")
    if width * height > limits.max_decoded_pixels:
        raise TooLarge(source, f"frames of {width} x {height} pixels, at most {limits.max_decoded_pixels} are decoded")
    sizes = [rendition.size_px for rendition in renditions]
    short_edge_px = None if None in sizes else max((size for size in sizes if size is not None), default=None)
    frame = _grab(source, facts, size_outside(width, height, short_edge_px, max(width, height)), limits)
    return write_renditions(frame, renditions, SRGB, (width, height))


def _grab(source: Path, facts: VideoFacts, size_px: tuple[int, int], limits: Limits) -> Image.Image:
    if decord_reads(source, facts):
        try:
            return grab_with_decord(source, size_px)
        except DecordFailed:
            pass
    return grab_with_ffmpeg(
        source, facts, size_px, timeout_s=limits.program_timeout_s, max_pixels=limits.max_decoded_pixels
    )
