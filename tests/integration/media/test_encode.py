"""Videos made anew by the real ffmpeg, whole."""

import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import Cancelled, EncodeFailed, SourceMissing
from tasks.media import encode as encoding
from tasks.media.encode import Watch, encode, run_recipe, this_machine
from tasks.media.probe import probe_video
from tasks.media.transcode import Need, needed
from tasks.media.transcode_arguments import Machine, Recipe, recipe
from tests.clips import H264, HDR, HEVC_OPEN_GOP, MATROSKA, VFR, settings, turned
from tests.integration.media.streams import complaints, packets, streams

SECONDS = 2


def made_of(source: Path, target: Path, watch: Watch | None = None, **changes: Any) -> list[dict[str, Any]]:
    """The streams of what is made; the video's first."""
    facts, chosen = probe_video(source, 20), settings(**changes)
    need = needed(facts, chosen)
    assert need.anything
    encode(source, target, facts, need, chosen, watch or Watch())
    assert complaints(target) == ""
    return streams(target)


@pytest.mark.parametrize(("codec", "tag"), [("h264", "avc1"), ("hevc", "hvc1"), ("vp9", "vp09"), ("av1", "av01")])
def test_every_codec_in_software(clips: Path, tmp_path: Path, codec: str, tag: str) -> None:
    source = HEVC_OPEN_GOP.make(clips, SECONDS)
    video, sound = made_of(source, tmp_path / "a.mp4", target_video_codec=codec, transcode="all", threads=1)
    assert (video["codec_name"], video["codec_tag_string"], video["pix_fmt"]) == (codec, tag, "yuv420p")
    assert (sound["codec_name"], sound["channels"]) == ("aac", 2)
    assert len(packets(tmp_path / "a.mp4", "v")) == len(packets(source, "v"))


def test_hdr_becomes_a_picture_for_ordinary_screens(clips: Path, tmp_path: Path) -> None:
    source = HDR.make(clips, SECONDS)
    video, _ = made_of(source, tmp_path / "sdr.mp4", target_resolution="144")
    assert (video["color_transfer"], video["color_primaries"], video["color_space"]) == ("bt709",) * 3
    assert (video["width"], video["height"]) == (256, 144)
    assert this_machine().filters >= {"zscale", "tonemap"}
    kept, _ = made_of(source, tmp_path / "hdr.mp4", tonemap="disabled", target_video_codec="hevc")
    assert kept["color_transfer"] == "smpte2084"


def test_a_turned_video_comes_out_upright_and_small(clips: Path, tmp_path: Path) -> None:
    video, _ = made_of(turned(clips, SECONDS), tmp_path / "a.mp4", transcode="all", target_resolution="120")
    assert (video["width"], video["height"]) == (120, 214)
    assert probe_video(tmp_path / "a.mp4", 20).orientation == 1


def test_another_container_takes_the_streams_as_they_are(clips: Path, tmp_path: Path) -> None:
    source = MATROSKA.make(clips, SECONDS)
    facts = probe_video(source, 20)
    chosen = settings(accepted_containers=("mov",))
    assert needed(facts, chosen) == Need(False, False, True)
    encode(source, tmp_path / "a.mp4", facts, needed(facts, chosen), chosen, Watch())
    for kind in ("v", "a"):
        assert [one.size for one in packets(tmp_path / "a.mp4", kind)] == [one.size for one in packets(source, kind)]


def test_two_passes_leave_no_notes_and_keep_to_the_rate(clips: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    source = H264.make(clips, SECONDS)
    made_of(source, tmp_path / "a.mp4", Watch(shares.append), two_pass=True, max_bitrate="400k", transcode="all")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    bits = sum(one.size for one in packets(tmp_path / "a.mp4", "v")) * 8
    assert bits / SECONDS < 400_000


def test_progress_rises_to_the_end(clips: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    made_of(H264.make(clips, 6), tmp_path / "a.mp4", Watch(shares.append), transcode="all", preset="medium")
    assert shares == sorted(shares)
    assert shares[-1] > 0.9
    assert 0 <= shares[0] <= 1


def test_a_cancelled_encode_leaves_nothing(clips: Path, tmp_path: Path) -> None:
    cancelled = threading.Event()
    source = H264.make(clips, 6)
    watch = Watch(lambda share: cancelled.set(), cancelled)
    with pytest.raises(Cancelled):
        made_of(source, tmp_path / "a.mp4", watch, transcode="all", preset="veryslow", target_video_codec="av1")
    assert list(tmp_path.iterdir()) == []


def test_what_ffmpeg_refuses_is_failed_with_its_words_and_leaves_nothing(clips: Path, tmp_path: Path) -> None:
    source = H264.make(clips, SECONDS)
    with pytest.raises(EncodeFailed, match="ffmpeg ended with 1") as failed:
        run_recipe(source, tmp_path / "a.mp4", Recipe((), ("-nonsense", "1")), probe_video(source, 20), Watch())
    assert not failed.value.retryable
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_is_gone(tmp_path: Path, clips: Path) -> None:
    facts = probe_video(H264.make(clips, SECONDS), 20)
    with pytest.raises(SourceMissing):
        encode(tmp_path / "gone.mp4", tmp_path / "a.mp4", facts, Need(True, True, False), settings(), Watch())


def test_hardware_that_fails_falls_back_to_software(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no device here: both rungs above the last are really tried, and end with ffmpeg's own error."""
    monkeypatch.setattr(encoding, "this_machine", lambda: Machine(devices=("renderD999",)))
    tried: list[str] = []
    monkeypatch.setattr(
        encoding,
        "recipe",
        lambda facts, need, way, machine: (
            tried.append(f"{way.accel} {way.accel_decode}")  # type: ignore[func-returns-value]
            or recipe(facts, need, way, machine)
        ),
    )
    video, _ = made_of(H264.make(clips, SECONDS), tmp_path / "a.mp4", transcode="all", accel="vaapi")
    assert video["codec_name"] == "h264"
    assert tried == ["vaapi True", "vaapi False", "disabled True"]


def test_a_playlist_opens_no_other_file(clips: Path, tmp_path: Path) -> None:
    source = H264.make(clips, SECONDS)
    listed = tmp_path / "list.mp4"
    listed.write_text(f"ffconcat version 1.0\nfile '{source}'\n")
    with pytest.raises(EncodeFailed):
        encode(listed, tmp_path / "a.mp4", probe_video(source, 20), Need(True, True, False), settings(), Watch())
    assert not (tmp_path / "a.mp4").exists()


def test_frames_of_a_variable_rate_keep_their_times(clips: Path, tmp_path: Path) -> None:
    """An ffmpeg that is left to itself moves them to multiples of the mean distance."""
    source = VFR.make(clips, SECONDS)
    video, _ = made_of(source, tmp_path / "a.mp4", transcode="all")
    assert video["time_base"] == "1/90000"
    assert sorted(one.pts for one in packets(tmp_path / "a.mp4", "v")) == sorted(
        one.pts for one in packets(source, "v")
    )
