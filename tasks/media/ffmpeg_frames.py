"""Frames through ffmpeg as a program: every kind of video, damaged ones, HDR with tone mapping, GIF with alpha."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from cluster.errors import ProgramFailed, UnreadableVideo
from tasks.media.probe import DEMUXERS, UNSPECIFIED, VideoFacts, last_line
from tasks.media.programs import run_program
from tasks.media.scenes import SECONDS_LOOKED_AT, Grey, best_second

_GREY_SIDE_PX: Final = 64

_RESERVED_PRIMARIES: Final = 0
_RESERVED_MATRIX: Final = 3
_BYTES_PER_PIXEL: Final = {"rgb24": 3, "rgba": 4}
_SWSCALE_FLAGS: Final = "lanczos+accurate_rnd+full_chroma_int"


def grab_with_ffmpeg(
    source: Path, facts: VideoFacts, upright_size_px: tuple[int, int], *, timeout_s: float, max_pixels: int
) -> Image.Image:
    """The best frame, upright, of the size given: RGB, or RGBA for a GIF.

    Raises UnreadableVideo when no frame decodes; ProgramMissing, ProgramTimeout; ProgramFailed when ffmpeg was killed.
    """
    second = best_second(_grey_seconds(source, facts, timeout_s, max_pixels))
    said = ""
    # A damaged video may end before the moment, or have key frames that do not decode: anything is better than nothing.
    for moment, keys_only in dict.fromkeys([(second, True), (0, True), (0, False)]):
        pixels, said = _frame(source, facts, upright_size_px, moment, keys_only, timeout_s, max_pixels)
        if pixels is not None:
            return pixels
    raise UnreadableVideo(source, said)


def _input(
    source: Path, facts: VideoFacts, keys_only: bool, max_pixels: int, *, start_s: int = 0, length_s: int = 0
) -> list[str]:
    keys = ["-skip_frame", "nointra"] if keys_only and "mpegts" not in facts.format_name else []
    start = ["-noaccurate_seek", "-ss", str(start_s)] if start_s else []
    length = ["-t", str(length_s)] if length_s else []
    return [
        *("ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-filter_threads", "1", *keys, *start, *length),
        *("-max_pixels", str(max_pixels), "-protocol_whitelist", "file", "-format_whitelist", DEMUXERS),
        *("-i", f"file:{source}", "-map", f"0:{facts.index}"),
    ]


def _grey_seconds(source: Path, facts: VideoFacts, timeout_s: float, max_pixels: int) -> Iterator[Grey]:
    """What stands at each full second, small and grey; nothing when ffmpeg finds no frame."""
    side = _GREY_SIDE_PX
    command = [
        *_input(source, facts, True, max_pixels, length_s=SECONDS_LOOKED_AT),
        *("-vf", f"fps=1:start_time=0:round=down,scale={side}:{side}:flags=area,format=gray"),
        *("-frames:v", str(SECONDS_LOOKED_AT), "-f", "rawvideo", "pipe:1"),
    ]
    try:
        pixels = np.frombuffer(run_program(command, timeout_s=timeout_s).stdout, np.uint8)
    except ProgramFailed as error:
        if error.exit_code < 0:
            raise
        return
    yield from pixels[: len(pixels) // side**2 * side**2].reshape(-1, side, side)


def _frame(
    source: Path,
    facts: VideoFacts,
    size_px: tuple[int, int],
    start_s: int,
    keys_only: bool,
    timeout_s: float,
    max_pixels: int,
) -> tuple[Image.Image | None, str]:
    """The first frame from `start_s` on, or None and what ffmpeg said."""
    pixel_format = "rgba" if facts.codec == "gif" else "rgb24"
    expected_bytes = size_px[0] * size_px[1] * _BYTES_PER_PIXEL[pixel_format]
    command = [
        *_input(source, facts, keys_only, max_pixels, start_s=start_s),
        *("-vf", ",".join(_filters(facts, size_px, pixel_format)), "-frames:v", "1", "-f", "rawvideo", "pipe:1"),
    ]
    try:
        output = run_program(command, timeout_s=timeout_s, stdout_limit_bytes=expected_bytes)
    except ProgramFailed as error:
        if error.exit_code < 0:
            raise
        return None, last_line(error.stderr_tail)
    if len(output.stdout) != expected_bytes:
        return None, last_line(output.stderr_tail)
    mode = "RGBA" if pixel_format == "rgba" else "RGB"
    return Image.frombytes(mode, size_px, output.stdout), ""


def _filters(facts: VideoFacts, size_px: tuple[int, int], pixel_format: str) -> Sequence[str]:
    """ffmpeg turns the frame upright before these; they scale it and bring it into sRGB's range and curve."""
    width, height = size_px
    if facts.is_hdr:
        # linear light is needed to bend it; zscale refuses to guess what the stream leaves open
        return [
            *named_colors(facts, "bt2020", "bt2020nc"),
            f"zscale=w={width}:h={height}:f=lanczos:t=linear:npl=100",
            *("format=gbrpf32le", "zscale=p=bt709", "tonemap=hable:desat=0"),
            *("zscale=t=iec61966-2-1:m=gbr:r=pc", "format=gbrp", f"format={pixel_format}"),
        ]
    if pixel_format == "rgba":
        return [f"scale={width}:{height}:flags={_SWSCALE_FLAGS}", f"format={pixel_format}"]
    return [
        *named_colors(facts, "bt709", "bt709"),
        f"scale={width}:{height}:flags={_SWSCALE_FLAGS}:out_range=pc",
        f"format={pixel_format}",
    ]


def named_colors(facts: VideoFacts, primaries: str, matrix: str) -> list[str]:
    """Filters that replace reserved values, over which others stop, and for HDR the ones that are left open."""
    open_values = {UNSPECIFIED} if facts.is_hdr else set()
    settings = []
    if facts.color_primaries in open_values | {_RESERVED_PRIMARIES}:
        settings.append(f"color_primaries={primaries}")
    if facts.color_matrix in open_values | {_RESERVED_MATRIX}:
        settings.append(f"colorspace={matrix}")
    return ["setparams=" + ":".join(settings)] if settings else []
