"""What of a video must be made anew. Source of the expectations: spec jobs-media §3.1 and §3.2."""

from typing import Any

import pytest

from tasks.media.probe import AudioFacts, VideoFacts
from tasks.media.transcode import Need, bitrate_cap, bits_per_second, needed, target_side_px
from tests.clips import settings

NOTHING = Need(False, False, False)
AAC = AudioFacts(index=1, codec="aac", profile="LC", bitrate=128_000, channels=2, sample_rate_hz=48_000)


def facts(**changes: Any) -> VideoFacts:
    """What every browser plays, in 720p."""
    values: dict[str, Any] = {
        "index": 0,
        "format_name": "mov,mp4,m4a,3gp,3g2,mj2",
        "format_long_name": "QuickTime / MOV",
        "codec": "h264",
        "profile": "High",
        "level": 31,
        "pixel_format": "yuv420p",
        "width_px": 1280,
        "height_px": 720,
        "orientation": 1,
        "fps": 30.0,
        "duration_ms": 20_000,
        "bitrate": 5_000_000,
        "frame_count": 600,
        "time_base": "1/15360",
        "color_primaries": 1,
        "color_transfer": 1,
        "color_matrix": 1,
        "dolby_vision_profile": None,
        "dolby_vision_level": None,
        "dolby_vision_compatibility": None,
        "audio": AAC,
    }
    return VideoFacts(**values | changes)


def audio(codec: str) -> AudioFacts:
    return AudioFacts(1, codec, None, 0, 2, 48_000)


MKV = {"format_name": "matroska,webm", "format_long_name": "Matroska / WebM"}
AVI = {"format_name": "avi", "format_long_name": "AVI (Audio Video Interleaved)"}


@pytest.mark.parametrize(
    ("policy", "of", "expected"),
    [
        ("required", {}, NOTHING),
        ("required", {"codec": "hevc"}, Need(True, False, False)),
        ("required", {"pixel_format": "yuv422p"}, Need(True, False, False)),
        ("required", {"pixel_format": "yuv420p10le"}, Need(True, False, False)),
        ("required", {"pixel_format": "yuvj420p"}, NOTHING),
        ("required", {"width_px": 3840, "height_px": 2160, "bitrate": 90_000_000}, NOTHING),
        ("required", {"audio": audio("ac3")}, Need(False, True, False)),
        ("required", {"audio": audio("opus")}, NOTHING),
        ("required", {"audio": None}, NOTHING),
        ("required", MKV, NOTHING),
        ("required", AVI, Need(False, False, True)),
        ("required", AVI | {"codec": "mpeg4", "audio": audio("mp2")}, Need(True, True, True)),
        ("optimal", {}, NOTHING),
        ("optimal", {"width_px": 1920, "height_px": 1080}, Need(True, False, False)),
        ("optimal", {"width_px": 720, "height_px": 1280}, NOTHING),
        ("optimal", {"codec": "vp9"}, Need(True, False, False)),
        ("bitrate", {}, Need(True, False, False)),
        ("bitrate", {"bitrate": 4_500_000}, NOTHING),
        ("bitrate", {"bitrate": 1, "codec": "av1"}, Need(True, False, False)),
        ("all", {}, Need(True, True, False)),
        ("all", {"audio": None}, Need(True, False, False)),
        ("disabled", AVI | {"codec": "mpeg4", "audio": audio("mp2")}, NOTHING),
    ],
)
def test_what_must_be_made_anew(policy: str, of: dict[str, Any], expected: Need) -> None:
    assert needed(facts(**of), settings(transcode=policy, max_bitrate="4500k")) == expected


def test_accepted_codecs_and_containers_are_the_admins_choice() -> None:
    modern = settings(accepted_video_codecs=("h264", "hevc"), accepted_containers=("ogg",), accepted_audio_codecs=())
    assert needed(facts(codec="hevc"), modern) == Need(False, True, True)


@pytest.mark.parametrize("text", ["0", "", "lots", "0k"])
def test_no_bitrate_is_no_limit(text: str) -> None:
    assert not needed(facts(bitrate=10**9), settings(transcode="bitrate", max_bitrate=text)).video
    assert bitrate_cap(settings(max_bitrate=text)) is None


@pytest.mark.parametrize(
    ("text", "bits"), [("4500k", 4.5e6), ("4.5M", 4.5e6), ("8m", 8e6), ("128000", 128_000), ("fast", None)]
)
def test_a_bitrate_is_read_with_its_unit(text: str, bits: float | None) -> None:
    assert bits_per_second(text) == bits


def test_a_cap_is_whole_numbers_of_its_unit_and_kilobits_when_none_is_said() -> None:
    said, bare = bitrate_cap(settings(max_bitrate="10M")), bitrate_cap(settings(max_bitrate="2900"))
    assert said
    assert (said.most, said.unit, said.target) == (10, "M", 7)
    assert bare
    assert (bare.most, bare.unit, bare.target) == (2900, "k", 2000)


def test_the_target_is_the_short_side() -> None:
    assert target_side_px(facts(), settings(target_resolution="480")) == 480
    assert target_side_px(facts(), settings(target_resolution="original")) == 720
