"""ffprobe's words → facts, without ffprobe; `tests/integration/media/test_video.py` asks the program itself."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import UnreadableVideo
from tasks.media.probe import VideoFacts, facts_of

VIDEO: dict[str, Any] = {
    "index": 0,
    "codec_type": "video",
    "codec_name": "hevc",
    "profile": "Main 10",
    "level": 153,
    "pix_fmt": "yuv420p10le",
    "width": 1920,
    "height": 1080,
    "avg_frame_rate": "30000/1001",
    "r_frame_rate": "30/1",
    "time_base": "1/600",
    "bit_rate": "8000000",
    "nb_frames": "300",
    "color_primaries": "bt2020",
    "color_transfer": "arib-std-b67",
    "color_space": "bt2020nc",
    "disposition": {"default": 1, "attached_pic": 0},
}
AUDIO: dict[str, Any] = {
    "index": 1,
    "codec_type": "audio",
    "codec_name": "aac",
    "profile": "LC",
    "bit_rate": "128000",
    "channels": 2,
    "sample_rate": "48000",
    "disposition": {"default": 1},
}


def facts(*streams: dict[str, Any], **container: str) -> VideoFacts:
    return facts_of({"streams": list(streams), "format": container}, Path("a.mov"))


def test_facts_of_a_phones_video() -> None:
    dolby = {
        "side_data_type": "DOVI configuration record",
        "dv_profile": 8,
        "dv_level": 4,
        "dv_bl_signal_compatibility_id": 4,
    }
    found = facts(
        VIDEO | {"side_data_list": [dolby, {"side_data_type": "Display Matrix", "rotation": -90}]},
        AUDIO,
        format_name="mov,mp4,m4a,3gp,3g2,mj2",
        format_long_name="QuickTime / MOV",
        duration="10.0105",
    )
    assert (found.codec, found.profile, found.level, found.pixel_format) == ("hevc", "Main 10", 153, "yuv420p10le")
    assert found.upright_size_px == (1080, 1920)
    assert found.orientation == 6
    assert found.fps == pytest.approx(29.97, abs=0.001)
    assert (found.duration_ms, found.bitrate, found.frame_count, found.time_base) == (10010, 8_000_000, 300, "1/600")
    assert (found.color_primaries, found.color_transfer, found.color_matrix) == (9, 18, 9)
    assert found.is_hdr
    assert (found.dolby_vision_profile, found.dolby_vision_level, found.dolby_vision_compatibility) == (8, 4, 4)
    assert found.audio is not None
    assert (found.audio.codec, found.audio.channels, found.audio.sample_rate_hz) == ("aac", 2, 48000)


def test_facts_survive_json() -> None:
    found = facts(VIDEO, AUDIO, duration="1")
    assert VideoFacts.from_values(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize(
    ("rotation", "orientation"), [(0, 1), (-90, 6), (90, 8), (180, 3), (-180, 3), (270, 6), ("-90.00", 6), (45, 1)]
)
def test_rotation_becomes_orientation(rotation: object, orientation: int) -> None:
    matrix = {"side_data_type": "Display Matrix", "rotation": rotation}
    assert facts(VIDEO | {"side_data_list": [matrix]}).orientation == orientation


def test_old_files_say_rotation_as_a_tag() -> None:
    assert facts(VIDEO | {"tags": {"rotate": "90"}}).orientation == 6


@pytest.mark.parametrize(("aspect", "width"), [("16:9", 1024), ("4:3", 768), ("0:1", 720), ("N/A", 720), (None, 720)])
def test_width_is_of_square_pixels(aspect: str | None, width: int) -> None:
    assert facts(VIDEO | {"width": 720, "height": 576, "display_aspect_ratio": aspect}).width_px == width


def test_the_default_stream_wins_then_the_one_with_most_bits() -> None:
    small = VIDEO | {"index": 3, "bit_rate": "1", "disposition": {"default": 0}}
    large = VIDEO | {"index": 4, "bit_rate": "99999999", "disposition": {"default": 0}}
    assert facts(small, VIDEO, large).index == 0
    assert facts(small, large).index == 4


def test_a_cover_picture_is_no_video() -> None:
    cover = VIDEO | {"disposition": {"default": 1, "attached_pic": 1}}
    with pytest.raises(UnreadableVideo, match=r"a\.mov: there is no video stream"):
        facts(cover, AUDIO)


def test_what_is_not_said_has_a_value_that_says_so() -> None:
    bare = {"index": 0, "codec_type": "video", "disposition": {}, "level": -99, "avg_frame_rate": "0/0", "height": 10}
    found = facts(bare)
    assert (found.codec, found.profile, found.level, found.pixel_format) == ("unknown", None, None, "yuv420p")
    assert (found.fps, found.duration_ms, found.bitrate, found.frame_count) == (0.0, None, 0, 0)
    assert (found.color_primaries, found.color_transfer, found.color_matrix) == (2, 2, 2)
    assert found.audio is None
    assert not found.is_hdr


def test_the_containers_bitrate_stands_in() -> None:
    assert facts({k: v for k, v in VIDEO.items() if k != "bit_rate"}, bit_rate="777").bitrate == 777


def test_h265_is_called_hevc() -> None:
    assert facts(VIDEO | {"codec_name": "h265"}).codec == "hevc"
