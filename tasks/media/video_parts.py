"""Encoding a video in parts that give the same as encoding it whole: cut at key frames, encode apart, join.

Every part is held against the packets of its source, and the joined video against its parts; what differs in anything
raises NotInParts, and the video is encoded whole. Source of the decoding times: x264's and x265's own rule.
"""

import heapq
import math
import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import av

from cluster.errors import Cancelled, HeliostatError, SourceMissing, UnreadableVideo
from tasks.media.encode import Watch, run_recipe, this_machine
from tasks.media.probe import DEMUXERS, VideoFacts
from tasks.media.transcode import Need, TranscodeSettings
from tasks.media.transcode_arguments import is_two_pass, movie_timescale, picture_recipe, sound_recipe

MOST_PARTS: Final = 240
_SURE_CONTAINERS: Final = ("mov", "matroska")
"""With an index, so that a seek lands where it should."""
_SURE_CODECS: Final = frozenset({"h264", "hevc", "vp9", "av1", "mjpeg", "prores"})
"""One packet is one frame to show, and a key frame needs nothing before it."""
_MOST_REORDERED: Final = 16
_FINEST_TICK: Final = Fraction(1, 250_000)
"""ffmpeg seeks by microseconds: a finer tick could not be told from its neighbour."""
_LOOK_EVERY: Final = 500
_COMPLAINT: Final = re.compile(r"^\[(?!lib(?:x26|svt|vpx|aom))\w+ @ ", re.MULTILINE)
"""A line of a decoder or demuxer, not of an encoder."""


class NotInParts(HeliostatError):
    """This video is not sure to come out the same in parts; the message says why."""


@dataclass(frozen=True, slots=True)
class KeyFrames:
    """Where a video can be cut. `pts`: of every key frame, rising, in ticks of `time_base`; `frame_counts`: frames
    shown from each up to the next; `first_pts`: where ffmpeg begins to count, the container's start."""

    time_base: str
    first_pts: int
    pts: tuple[int, ...]
    frame_counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch from one key frame to another. `start_pts` in the source's ticks."""

    start_pts: int
    frame_count: int


def may_be_cut(facts: VideoFacts, need: Need, settings: TranscodeSettings, threshold_s: float) -> bool:
    """Whether it is worth looking for key frames. `threshold_s` 0: never."""
    long_enough = threshold_s > 0 and (facts.duration_ms or 0) > threshold_s * 1000
    plain = settings.accel == "disabled" and not is_two_pass(settings)
    names = facts.format_name.split(",")
    sure = facts.codec in _SURE_CODECS and any(name in _SURE_CONTAINERS for name in names)
    return need.video and long_enough and plain and sure


def read_key_frames(source: Path, facts: VideoFacts, watch: Watch) -> KeyFrames:
    """Read every packet of the picture, decode none. Raises NotInParts, UnreadableVideo, SourceMissing, Cancelled."""
    with _opened(source) as container:
        stream = container.streams[facts.index]
        time_base = Fraction(stream.time_base)
        if time_base < _FINEST_TICK:
            raise NotInParts(f"its ticks are {time_base} s")
        shown: list[int] = []
        keys: list[int] = []
        for packet in _packets(container, stream, watch):
            shown.append(packet.pts)
            if packet.is_keyframe:
                keys.append(packet.pts)
        first_pts = round(Fraction(container.start_time or 0, 1_000_000) / time_base)
    return _key_frames(time_base, first_pts, sorted(shown), keys)


def _key_frames(time_base: Fraction, first_pts: int, shown: Sequence[int], keys: Sequence[int]) -> KeyFrames:
    if not keys or shown[0] < keys[0]:
        raise NotInParts("it does not begin with a key frame")
    if any(before >= after for before, after in pairwise(shown)) or any(b >= a for b, a in pairwise(keys)):
        raise NotInParts("two frames are shown at one moment")
    edges = [*(bisect_left(shown, key) for key in keys), len(shown)]
    counts = tuple(after - before for before, after in pairwise(edges))
    return KeyFrames(f"{time_base.numerator}/{time_base.denominator}", first_pts, tuple(keys), counts)


def parts_of(keys: KeyFrames, part_s: float) -> tuple[Part, ...]:
    """Stretches of about `part_s` seconds, each from a key frame on; pure. One part: there is nothing to cut at."""
    tick_s = Fraction(keys.time_base)
    length_s = float((keys.pts[-1] - keys.pts[0]) * tick_s)
    least = math.ceil(max(part_s, length_s / MOST_PARTS) / tick_s)
    parts: list[Part] = []
    for pts, count in zip(keys.pts, keys.frame_counts, strict=True):
        if parts and pts - parts[-1].start_pts < least:
            parts[-1] = Part(parts[-1].start_pts, parts[-1].frame_count + count)
        else:
            parts.append(Part(pts, count))
    return tuple(parts)


def encode_picture_part(
    source: Path, target: Path, facts: VideoFacts, settings: TranscodeSettings, part: Part, watch: Watch
) -> None:
    """Write one part without sound, its times counted from its first frame.

    Raises NotInParts, and what `encode` raises.
    """
    expected = _times_of(source, facts, part, watch)
    tick_s = Fraction(facts.time_base)
    start_us = math.ceil(part.start_pts * tick_s * 1_000_000)
    seek = ["-seek_timestamp", "1", "-ss", f"{start_us}us"]
    need = Need(video=True, audio=False, container=False)
    made = picture_recipe(facts, need, settings, this_machine())
    cut = replace(made, after=(*made.after, "-frames:v", str(part.frame_count)))
    length_s = float((expected[-1] - expected[0]) * tick_s)
    said = run_recipe(source, target, cut, facts, watch, seek=seek, expected_s=length_s, faststart=False)
    try:
        if complaint := _COMPLAINT.search(said):
            raise NotInParts(f"ffmpeg complained: {said[complaint.start() :].splitlines()[0]}")
        _compare(target, [(pts - expected[0]) * tick_s for pts in expected])
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def encode_sound(
    source: Path, target: Path, facts: VideoFacts, need: Need, settings: TranscodeSettings, watch: Watch
) -> None:
    """Write the sound, encoded or as it is. Raises what `encode` raises."""
    run_recipe(source, target, sound_recipe(facts, need, settings), facts, watch, faststart=False)


def _times_of(source: Path, facts: VideoFacts, part: Part, watch: Watch) -> list[int]:
    """When the frames of a part are shown, rising, in the source's ticks: what must come out."""
    shown: list[int] = []
    with _opened(source) as container:
        stream = container.streams[facts.index]
        container.seek(part.start_pts, stream=stream)
        for packet in _packets(container, stream, watch):
            if packet.pts == part.start_pts and not packet.is_keyframe:
                raise NotInParts("a part begins with no key frame")
            if packet.pts >= part.start_pts:
                shown.append(packet.pts)
            # a frame of this part may be stored up to so many packets behind the key frame of the next
            if len(shown) >= part.frame_count + _MOST_REORDERED:
                break
    shown.sort()
    if len(shown) < part.frame_count or shown[0] != part.start_pts:
        raise NotInParts("the video is not as it was when it was cut")
    return shown[: part.frame_count]


def _compare(made: Path, expected_s: Sequence[Fraction]) -> None:
    with _opened(made) as container:
        stream = container.streams.video[0]
        tick_s = Fraction(stream.time_base)
        got = sorted(packet.pts * tick_s for packet in container.demux(stream) if packet.pts is not None)
    if got != list(expected_s):
        raise NotInParts(f"{len(got)} frames came out, not at the times of the {len(expected_s)} that went in")


# Joining


def join_parts(
    pictures: Sequence[tuple[Path, Part]],
    sound: Path | None,
    target: Path,
    *,
    time_base: str,
    first_pts: int,
    watch: Watch,
) -> None:
    """Write `target`: the parts in order, each frame at its time in the source, with the sound beside them.

    `time_base`, `first_pts`: of the source, see KeyFrames. Decodes nothing. Raises NotInParts, Cancelled. Nothing of
    `target` is left then.
    """
    tick_s = Fraction(time_base)
    times = [_part_times(path, part.start_pts - first_pts, tick_s) for path, part in pictures]
    depth = _reorder_depth(times)
    shown = sorted(pts for part in times for pts, _ in part)
    if any(before >= after for before, after in pairwise(shown)):
        raise NotInParts("parts overlap")
    try:
        with ExitStack() as stack:
            _mux(stack, pictures, times, _decoding_times(shown, depth), sound, target, tick_s, watch)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _part_times(path: Path, start: int, tick_s: Fraction) -> list[tuple[int, int]]:
    """(shown, decoded) of each packet as stored, in the source's ticks from the start of the video."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        ratio = Fraction(stream.time_base) / tick_s
        pairs = [(p.pts * ratio, p.dts * ratio) for p in container.demux(stream) if p.pts is not None]
    if not pairs or any(value.denominator != 1 for pair in pairs for value in pair):
        raise NotInParts("a part counts time in other ticks")
    return [(int(pts) + start, int(dts) + start) for pts, dts in pairs]


def _reorder_depth(times: Sequence[Sequence[tuple[int, int]]]) -> int:
    """By how many frames the encoder shows later than it decodes, as it said in the part that tells most."""
    depths = []
    for part in sorted(times, key=len, reverse=True):
        shown = sorted(pts for pts, _ in part)
        fits = (
            depth
            for depth in range(_MOST_REORDERED + 1)
            if all(dts == shown[at - depth] for at, (_, dts) in enumerate(part) if at >= depth)
        )
        depths.append(next(fits, None))
    depth = depths[0]
    # a part of few frames fits any depth from its own on
    if depth is None or any(one is None or one > depth for one in depths):
        raise NotInParts("its decoding times follow no rule that we know")
    return depth


def _decoding_times(shown: Sequence[int], depth: int) -> list[int]:
    """One per packet, as one encoder would give them over the whole: the times of showing, `depth` frames earlier."""
    lead = shown[min(depth, len(shown) - 1)] - shown[0]
    return [pts - lead for pts in shown[:depth]] + list(shown[: len(shown) - depth])


def _mux(
    stack: ExitStack,
    pictures: Sequence[tuple[Path, Part]],
    times: Sequence[Sequence[tuple[int, int]]],
    decoded: Sequence[int],
    sound: Path | None,
    target: Path,
    tick_s: Fraction,
    watch: Watch,
) -> None:
    options = {"movflags": "faststart", "movie_timescale": str(movie_timescale(tick_s))}
    out = stack.enter_context(av.open(str(target), "w", format="mp4", options=options))
    first = stack.enter_context(_opened(pictures[0][0])).streams.video[0]
    picture = _stream_like(out, first)
    picture.time_base = tick_s
    duration = _last_duration(pictures[-1][0], tick_s)
    tracks = [_picture_packets(pictures, times, decoded, duration, picture, first, tick_s)]
    if sound is not None:
        source = stack.enter_context(_opened(sound))
        heard = _stream_like(out, source.streams.audio[0])
        tracks.append(_sound_packets(source, heard))
    in_order = heapq.merge(*tracks, key=lambda packet: packet.dts * packet.time_base)
    for number, packet in enumerate(in_order):
        out.mux(packet)
        if number % _LOOK_EVERY == 0:
            _look(watch)
            watch.progress(min(1.0, number / len(decoded)))


def _last_duration(path: Path, tick_s: Fraction) -> int:
    """How long the encoder says that a frame is shown, in ticks. An MP4 keeps that of the last packet alone."""
    with _opened(path) as container:
        stream = container.streams.video[0]
        durations = [packet.duration or 0 for packet in container.demux(stream) if packet.pts is not None]
        return int(durations[-1] * Fraction(stream.time_base) / tick_s)


def _stream_like(out: Any, stream: Any) -> Any:
    try:
        made = out.add_stream_from_template(stream)
    except av.codec.codec.UnknownCodecError:  # PyAV looks for an encoder of the decoder's name, AV1's has none
        return out.add_stream_from_template(stream, opaque=True)
    made.codec_context.codec_tag = stream.codec_context.codec_tag  # hvc1, without which Apple's players refuse
    return made


def _picture_packets(
    pictures: Sequence[tuple[Path, Part]],
    times: Sequence[Sequence[tuple[int, int]]],
    decoded: Sequence[int],
    duration: int,
    picture: Any,
    first: Any,
    tick_s: Fraction,
) -> Iterator[Any]:
    number = 0
    for (path, _), shown in zip(pictures, times, strict=True):
        with _opened(path) as container:
            stream = container.streams.video[0]
            _check_alike(first, stream)
            packets = (packet for packet in container.demux(stream) if packet.pts is not None)
            for packet, (pts, _) in zip(packets, shown, strict=True):
                packet.stream, packet.time_base = picture, tick_s
                packet.pts, packet.dts, packet.duration = pts, decoded[number], duration
                number += 1
                yield packet


def _check_alike(first: Any, stream: Any) -> None:
    """A decoder is set up once for the whole: the parts must ask for the same."""
    ours, others = first.codec_context, stream.codec_context
    for name in ("name", "width", "height", "extradata", "profile"):
        if getattr(ours, name) != getattr(others, name):
            raise NotInParts(f"its parts differ in {name}: were they encoded by different versions of ffmpeg?")


def _sound_packets(source: Any, heard: Any) -> Iterator[Any]:
    for packet in source.demux(source.streams.audio[0]):
        if packet.dts is not None:
            packet.stream = heard
            yield packet


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """A file for reading packets. Only the file itself is read, whatever it says of others."""
    if not path.is_file():
        raise SourceMissing(path, "no such file")
    options = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS}
    try:
        container = av.open(f"file:{path}", container_options=options)
    except av.FFmpegError as error:
        raise UnreadableVideo(path, str(error)) from error
    with container:
        yield container


def _packets(container: Any, stream: Any, watch: Watch) -> Iterator[Any]:
    """Packets of one stream that show a frame. Raises NotInParts for those that show none or do not say when."""
    for number, packet in enumerate(container.demux(stream)):
        if number % _LOOK_EVERY == 0:
            _look(watch)
        if packet.size == 0:  # the end
            continue
        if packet.pts is None:
            raise NotInParts("a frame does not say when it is shown")
        if packet.is_discard or packet.is_corrupt:
            raise NotInParts("it has frames that are not shown, or damaged ones")
        yield packet


def _look(watch: Watch) -> None:
    if watch.cancelled.is_set():
        raise Cancelled("the job was given up")
