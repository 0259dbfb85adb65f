"""A video encoded in parts against the same video encoded whole: packets, sound, cleanness, quality."""

import resource
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import SourceMissing
from tasks.media.encode import Watch, encode
from tasks.media.probe import VideoFacts, probe_video
from tasks.media.transcode import TranscodeSettings, needed
from tasks.media.video_parts import (
    KeyFrames,
    NotInParts,
    Part,
    encode_picture_part,
    encode_sound,
    join_parts,
    may_be_cut,
    parts_of,
    read_key_frames,
)
from tests.clips import H264, HDR, HEVC_OPEN_GOP, LATE_PICTURE, MATROSKA, VFR, Clip, ffmpeg, settings
from tests.integration.media.streams import complaints, length_s, packets, psnr_db, psnr_to_source_db, streams

SECONDS, LONG_SECONDS = 6.1, 40.0
"""Of each, some clips end with no whole millisecond."""
PART_S = 1.5
AS_GOOD_DB = 0.3
"""Rate control begins anew with each part, and each has a key frame more."""


def in_parts(source: Path, target: Path, chosen: TranscodeSettings, part_s: float = PART_S) -> tuple[Part, ...]:
    """Encode as the jobs do, one after the other."""
    facts, watch = probe_video(source, 20), Watch()
    keys = read_key_frames(source, facts, watch)
    parts = parts_of(keys, part_s)
    pictures = []
    for number, part in enumerate(parts):
        path = target.with_name(f"{target.name}-{number}")
        encode_picture_part(source, path, facts, chosen, part, watch)
        pictures.append((path, part))
    sound = target.with_name(f"{target.name}-sound")
    encode_sound(source, sound, facts, needed(facts, chosen), chosen, watch)
    join_parts(pictures, sound, target, time_base=keys.time_base, first_pts=keys.first_pts, watch=watch)
    return parts


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


CASES = [
    pytest.param(H264, {"preset": "veryfast"}, id="h264"),
    pytest.param(HEVC_OPEN_GOP, {"preset": "superfast"}, id="open-GOP hevc to h264", marks=pytest.mark.long),
    pytest.param(HEVC_OPEN_GOP, {"target_video_codec": "hevc"}, id="open-GOP hevc to hevc"),
    pytest.param(VFR, {"preset": "veryfast", "bframes": 3}, id="variable rate to h264"),
    pytest.param(VFR, {"target_video_codec": "hevc"}, id="variable rate to hevc", marks=pytest.mark.long),
    pytest.param(HDR, {"target_resolution": "144"}, id="10-bit HDR, tone mapped"),
    pytest.param(
        HDR, {"tonemap": "disabled", "target_video_codec": "hevc"}, id="10-bit HDR, kept", marks=pytest.mark.long
    ),
    pytest.param(H264, {"target_video_codec": "av1"}, id="av1", marks=pytest.mark.long),
    pytest.param(H264, {"target_video_codec": "vp9", "threads": 2}, id="vp9", marks=pytest.mark.long),
    pytest.param(MATROSKA, {"preset": "superfast"}, id="matroska"),
    pytest.param(LATE_PICTURE, {"preset": "superfast"}, id="the picture begins after the sound"),
    pytest.param(H264, {"max_bitrate": "600k", "transcode": "all"}, id="capped bitrate", marks=pytest.mark.long),
]


@pytest.mark.parametrize(
    "seconds", [SECONDS, pytest.param(LONG_SECONDS, marks=[pytest.mark.long, pytest.mark.timeout(900)])]
)
@pytest.mark.parametrize(("clip", "changes"), CASES)
def test_parts_give_what_the_whole_gives(
    clips: Path, tmp_path: Path, clip: Clip, changes: dict[str, Any], seconds: float, report: Callable[[str], None]
) -> None:
    source, chosen = clip.make(clips, seconds), settings(**{"transcode": "all"} | changes)
    facts = probe_video(source, 20)
    whole, joined = tmp_path / "whole.mp4", tmp_path / "joined.mp4"

    before_s = cpu_s()
    encode(source, whole, facts, needed(facts, chosen), chosen, Watch())
    whole_s = cpu_s() - before_s
    parts = in_parts(source, joined, chosen, part_s=PART_S if seconds == SECONDS else 10)
    parts_s = cpu_s() - before_s - whole_s

    assert len(parts) >= 3
    assert streams(joined) == streams(whole)
    assert abs(length_s(joined) - length_s(whole)) < 0.001
    assert [one.dts for one in packets(joined, "v")] == [one.dts for one in packets(whole, "v")]
    assert sorted(one.pts for one in packets(joined, "v")) == sorted(one.pts for one in packets(whole, "v"))
    assert packets(joined, "a") == packets(whole, "a")
    assert complaints(joined) == ""
    ours, theirs = psnr_to_source_db(joined, source), psnr_to_source_db(whole, source)
    assert ours > theirs - AS_GOOD_DB
    sizes = f"{joined.stat().st_size / whole.stat().st_size - 1:+.1%} bytes"
    spent = f"{whole_s:.1f} CPU s whole, {parts_s:.1f} in {len(parts)} parts"
    quality = f"{theirs:.2f} dB whole, {ours:.2f} dB in parts, {psnr_db(joined, whole):.1f} dB between them"
    report(f"{clip.name} {seconds} s {changes}: {quality}, {sizes}, {spent}")


# Where it is not sure


def test_what_is_worth_cutting() -> None:
    from tests.unit.tasks.media.test_transcode import facts

    def worth(threshold_s: float = 10, changes: dict[str, Any] | None = None, **of: Any) -> bool:
        chosen = settings(**{"transcode": "all"} | (changes or {}))
        return may_be_cut(facts(**of), needed(facts(**of), chosen), chosen, threshold_s)

    assert worth()
    assert worth(codec="hevc", format_name="matroska,webm")
    assert not worth(threshold_s=20), "not longer than the threshold"
    assert not worth(threshold_s=0), "switched off"
    assert not worth(format_name="mpegts"), "no index"
    assert not worth(codec="mpeg4"), "frames that are packed together"
    assert not worth(changes={"accel": "vaapi"})
    assert not worth(changes={"two_pass": True, "max_bitrate": "4M"}), "the second pass needs the whole first"
    assert not worth(changes={"transcode": "required"}), "the picture stays as it is"


def test_a_picture_that_does_not_begin_with_a_key_frame(tmp_path: Path, clips: Path) -> None:
    leading = read_keys_of(tmp_path / "cut.mkv", clips)
    with pytest.raises(NotInParts, match="does not begin with a key frame"):
        leading()


def read_keys_of(target: Path, clips: Path) -> Callable[[], KeyFrames]:
    """An open-GOP video whose first pictures hang on what was cut away."""
    source = HEVC_OPEN_GOP.make(clips, SECONDS)
    ffmpeg("-ss", "1.7", "-i", source, "-c", "copy", "-an", "-copyts", target)
    return lambda: read_key_frames(target, probe_video(target, 20), Watch())


def test_frames_that_are_stored_and_not_shown(tmp_path: Path, clips: Path) -> None:
    """A phone's trimmed video: its edit list leaves out the beginning."""
    trimmed = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "1.5", "-i", H264.make(clips, SECONDS), "-c", "copy", "-an", trimmed)
    with pytest.raises(NotInParts, match="not shown"):
        read_key_frames(trimmed, probe_video(trimmed, 20), Watch())


def part_of(source: Path, number: int = 1) -> tuple[VideoFacts, Part]:
    facts = probe_video(source, 20)
    return facts, parts_of(read_key_frames(source, facts, Watch()), PART_S)[number]


@pytest.mark.parametrize("change", [{"start_pts": 1001}, {"frame_count": 500}])
def test_a_video_that_changed_since_it_was_cut(clips: Path, tmp_path: Path, change: dict[str, int]) -> None:
    source = H264.make(clips, SECONDS)
    facts, part = part_of(source)
    with pytest.raises(NotInParts, match=r"not as it was|no key frame"):
        encode_picture_part(source, tmp_path / "a", facts, settings(), replace(part, **change), Watch())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_video_is_noticed(clips: Path, tmp_path: Path) -> None:
    source = tmp_path / "damaged.mp4"
    whole = bytearray(H264.make(clips, SECONDS).read_bytes())
    for at in range(len(whole) // 3, len(whole) * 2 // 3, 5000):
        whole[at : at + 200] = bytes(200)
    source.write_bytes(whole)
    facts = probe_video(source, 20)
    refused = []
    for number, part in enumerate(parts_of(read_key_frames(source, facts, Watch()), PART_S)):
        try:
            encode_picture_part(source, tmp_path / f"{number}", facts, settings(), part, Watch())
        except NotInParts as reason:
            refused.append(str(reason))
    assert refused
    assert all("complained" in reason or "frames came out" in reason for reason in refused)


def two_parts(source: Path, folder: Path, *chosen: TranscodeSettings) -> Callable[[], None]:
    """Encode the first parts, each with settings of its own; returns what joins them."""
    facts, watch = probe_video(source, 20), Watch()
    keys = read_key_frames(source, facts, watch)
    pictures = []
    for number, (part, one) in enumerate(zip(parts_of(keys, PART_S), chosen, strict=False)):
        encode_picture_part(source, folder / f"{number}", facts, one, part, watch)
        pictures.append((folder / f"{number}", part))
    given = {"time_base": keys.time_base, "first_pts": keys.first_pts, "watch": watch}
    return lambda: join_parts(pictures, None, folder / "joined.mp4", **given)  # type: ignore[arg-type]


def test_parts_of_different_encoders_are_not_joined(clips: Path, tmp_path: Path) -> None:
    join = two_parts(H264.make(clips, SECONDS), tmp_path, settings(), settings(preset="medium"))
    with pytest.raises(NotInParts, match=r"no rule|differ in"):
        join()
    assert not (tmp_path / "joined.mp4").exists()


def test_a_part_twice_is_noticed(clips: Path, tmp_path: Path) -> None:
    join = two_parts(H264.make(clips, SECONDS), tmp_path, settings(), settings())
    shutil.copy(tmp_path / "0", tmp_path / "1")
    facts = probe_video(H264.make(clips, SECONDS), 20)
    part = parts_of(read_key_frames(H264.make(clips, SECONDS), facts, Watch()), PART_S)[0]
    join()  # two equal parts in different places are two parts
    with pytest.raises(NotInParts, match="overlap"):
        join_parts(
            [(tmp_path / "0", part), (tmp_path / "1", part)],
            None,
            tmp_path / "twice.mp4",
            time_base=facts.time_base,
            first_pts=0,
            watch=Watch(),
        )


def test_a_part_that_is_gone(clips: Path, tmp_path: Path) -> None:
    join = two_parts(H264.make(clips, SECONDS), tmp_path, settings(), settings())
    (tmp_path / "1").unlink()
    with pytest.raises(SourceMissing):
        join()


# Where to cut, without a video


def keys_at(*seconds: float, frames: int = 30) -> KeyFrames:
    return KeyFrames("1/1000", 0, tuple(round(at * 1000) for at in seconds), (frames,) * len(seconds))


@pytest.mark.parametrize(
    ("keys", "part_s", "starts"),
    [
        ((0, 1, 2, 3, 4, 5, 6), 2, [0, 2, 4, 6]),
        ((0, 1, 2, 3, 4, 5, 6), 3, [0, 3, 6]),
        ((0, 0.5, 7, 7.5, 8), 2, [0, 7]),
        ((0, 1.9, 3.9, 6), 2, [0, 3.9, 6]),
        ((0,), 2, [0]),
    ],
)
def test_parts_begin_at_key_frames_and_only_the_last_is_short(
    keys: tuple[float, ...], part_s: float, starts: list[float]
) -> None:
    parts = parts_of(keys_at(*keys), part_s)
    assert [part.start_pts / 1000 for part in parts] == starts
    assert sum(part.frame_count for part in parts) == 30 * len(keys)


def test_a_long_video_is_not_cut_into_thousands() -> None:
    parts = parts_of(keys_at(*range(36_000)), 30)
    assert 200 < len(parts) <= 240
