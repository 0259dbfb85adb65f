"""Whether a video must be made anew so that everything plays it, and what of it. Pure. Source: spec jobs-media §3.2."""

import re
from dataclasses import dataclass
from typing import Final, Literal

from tasks.media.probe import VideoFacts

Policy = Literal["all", "optimal", "bitrate", "required", "disabled"]
Acceleration = Literal["nvenc", "qsv", "vaapi", "rkmpp", "disabled"]

_CONTAINER_NAMES: Final = {"QuickTime / MOV": "mov", "Matroska / WebM": "webm"}
_BITRATE: Final = re.compile(r"(\d+)(?:\.\d*)?(.*)")
_BITS_OF_UNIT: Final = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True, slots=True)
class TranscodeSettings:
    """The system config's `ffmpeg`. `target_resolution`: the short side in pixels, or "original"; `max_bitrate`: like
    "4500k", "0" for none; `bframes` -1, `refs` 0, `gop_size` 0, `threads` 0: as the encoder likes."""

    crf: int
    threads: int
    preset: str
    target_video_codec: str
    accepted_video_codecs: tuple[str, ...]
    target_audio_codec: str
    accepted_audio_codecs: tuple[str, ...]
    accepted_containers: tuple[str, ...]
    target_resolution: str
    max_bitrate: str
    bframes: int
    refs: int
    gop_size: int
    temporal_aq: bool
    cq_mode: str
    two_pass: bool
    preferred_hw_device: str
    transcode: Policy
    tonemap: str
    accel: Acceleration
    accel_decode: bool


@dataclass(frozen=True, slots=True)
class Need:
    """What is to be made anew. `container`: the streams would do, in another container."""

    video: bool
    audio: bool
    container: bool

    @property
    def anything(self) -> bool:
        return self.video or self.audio or self.container


def needed(facts: VideoFacts, settings: TranscodeSettings) -> Need:
    """What of this video does not meet the settings."""
    if settings.transcode == "disabled":
        return Need(False, False, False)
    return Need(_video_needed(facts, settings), _audio_needed(facts, settings), _container_needed(facts, settings))


def _video_needed(facts: VideoFacts, settings: TranscodeSettings) -> bool:
    required = facts.codec not in settings.accepted_video_codecs or not facts.pixel_format.endswith("420p")
    match settings.transcode:
        case "all":
            return True
        case "optimal":
            return required or short_side_px(facts) > target_side_px(facts, settings)
        case "bitrate":
            most = bits_per_second(settings.max_bitrate)
            return required or (most is not None and 0 < most < facts.bitrate)
        case _:
            return required


def _audio_needed(facts: VideoFacts, settings: TranscodeSettings) -> bool:
    if facts.audio is None:
        return False
    return settings.transcode == "all" or facts.audio.codec not in settings.accepted_audio_codecs


def _container_needed(facts: VideoFacts, settings: TranscodeSettings) -> bool:
    container = _CONTAINER_NAMES.get(facts.format_long_name, facts.format_name)
    return container != "mp4" and container not in settings.accepted_containers


def short_side_px(facts: VideoFacts) -> int:
    return min(facts.width_px, facts.height_px)


def target_side_px(facts: VideoFacts, settings: TranscodeSettings) -> int:
    """The short side to make; the video's own for "original", and for what is no number."""
    target = settings.target_resolution
    return int(target) if target.isascii() and target.isdigit() else short_side_px(facts)


@dataclass(frozen=True, slots=True)
class Bitrate:
    """A cap as ffmpeg takes it: whole numbers of one unit."""

    most: int
    unit: str

    @property
    def target(self) -> int:
        return -(-self.most * 100 // 145)

    def text(self, value: float) -> str:
        return f"{value:g}{self.unit}" if value < 1e6 else f"{round(value)}{self.unit}"


def bitrate_cap(settings: TranscodeSettings) -> Bitrate | None:
    """The most bits a second, None without a limit. The unit is `k` where none is said."""
    found = _BITRATE.fullmatch(settings.max_bitrate.strip())
    if found is None or int(found[1]) == 0:
        return None
    return Bitrate(int(found[1]), found[2].strip() or "k")


def bits_per_second(bitrate: str) -> float | None:
    """A text like "4500k" or "8M" as a number; None for what is none."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", bitrate.strip().lower())
    return float(found[1]) * _BITS_OF_UNIT[found[2]] if found else None
