"""Frames spread over a video, through decord and through PyAV."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.errors import SourceMissing, TooLarge, UnreadableVideo
from tasks.media import sampled_frames
from tasks.media.probe import VideoFacts, probe_video
from tasks.media.sampled_frames import frames_with_decord, frames_with_pyav, sample_frames
from tests.clips import ffmpeg
from tests.programs import program

Grab = Callable[[Path, VideoFacts, int], list[Image.Image]]


@pytest.fixture(scope="module")
def red_then_blue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second of red, three of blue; one key frame in all, so that what lies between must be decoded."""
    program("ffmpeg")
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    parts = [("red", 1), ("blue", 3)]
    sources = [word for name, seconds in parts for word in ("-f", "lavfi", "-i", f"color={name}:160x90:10:d={seconds}")]
    encoder = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", "600", "-sc_threshold", "0")
    ffmpeg(*sources, "-filter_complex", "[0][1]concat=n=2", *encoder, path)
    return path


def words(frames: list[Image.Image]) -> list[str]:
    """What colour each is of."""
    means = [np.asarray(frame.convert("RGB")).mean(axis=(0, 1)) for frame in frames]
    return ["red" if mean[0] > mean[2] else "blue" for mean in means]


@pytest.mark.parametrize("grab", [frames_with_decord, frames_with_pyav, sample_frames])
def test_frames_are_spread_over_the_whole_video(grab: Grab, red_then_blue: Path) -> None:
    facts = probe_video(red_then_blue, 20)
    assert words(grab(red_then_blue, facts, 4)) == ["red", "blue", "blue", "blue"]
    assert words(grab(red_then_blue, facts, 1)) == ["blue"]
    assert len(grab(red_then_blue, facts, 64)) <= 40  # it has no more


@pytest.mark.parametrize("grab", [frames_with_pyav, sample_frames])
def test_frames_stand_upright(grab: Grab, red_then_blue: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    ffmpeg("-i", red_then_blue, "-c", "copy", "-metadata:s:v", "rotate=90", turned)
    facts = probe_video(turned, 20)
    assert {frame.size for frame in grab(turned, facts, 3)} == {facts.upright_size_px} == {(90, 160)}


def test_a_video_that_is_no_good_says_so(red_then_blue: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, broken = probe_video(red_then_blue, 20), tmp_path / "broken.mp4"
    broken.write_bytes(red_then_blue.read_bytes()[:300])
    with pytest.raises(UnreadableVideo):
        sample_frames(broken, facts, 4)
    with pytest.raises(SourceMissing):
        sample_frames(tmp_path / "none.mp4", facts, 4)
    monkeypatch.setattr(sampled_frames, "MOST_PIXELS", 160 * 90 - 1)
    with pytest.raises(TooLarge):
        sample_frames(red_then_blue, facts, 4)
