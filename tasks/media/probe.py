"""What a video holds, as ffprobe says: the chosen video and audio streams and their container.

Source: spec jobs-media §1.2, "Videos also store stream facts".
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

from cluster.errors import ProgramFailed, SourceMissing, UnreadableVideo
from tasks.media.programs import run_program

UNSPECIFIED: Final = 2

# ITU-T H.273's numbers of ffprobe's words. What is not here is unspecified.
COLOR_PRIMARIES: Final = {
    "reserved": 0,
    "bt709": 1,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "film": 8,
    "bt2020": 9,
    "smpte428": 10,
    "smpte431": 11,
    "smpte432": 12,
    "ebu3213": 22,
}
COLOR_TRANSFERS: Final = {
    "reserved": 0,
    "bt709": 1,
    "bt470m": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "linear": 8,
    "log100": 9,
    "log316": 10,
    "iec61966-2-4": 11,
    "bt1361e": 12,
    "iec61966-2-1": 13,
    "bt2020-10": 14,
    "bt2020-12": 15,
    "smpte2084": 16,
    "smpte428": 17,
    "arib-std-b67": 18,
}
COLOR_MATRICES: Final = {
    "gbr": 0,
    "bt709": 1,
    "reserved": 3,
    "fcc": 4,
    "bt470bg": 5,
    "smpte170m": 6,
    "smpte240m": 7,
    "ycgco": 8,
    "bt2020nc": 9,
    "bt2020c": 10,
    "smpte2085": 11,
    "chroma-derived-nc": 12,
    "chroma-derived-c": 13,
    "ictcp": 14,
}

# Containers that hold one video themselves. Playlists and picture sequences are left out: they open other files.
DEMUXERS: Final = (
    "mov,matroska,avi,flv,live_flv,mpegts,mpeg,mpegvideo,m4v,mxf,asf,gif,ogg,h264,hevc,ivf,dv,rm,nut,vob,webm,mp4"
)

_HDR_TRANSFERS = frozenset({COLOR_TRANSFERS["smpte2084"], COLOR_TRANSFERS["arib-std-b67"]})
_ORIENTATION_OF_ROTATION = {0: 1, 90: 8, 180: 3, 270: 6}
_CODEC_NAMES = {"h265": "hevc"}


@dataclass(frozen=True, slots=True)
class AudioFacts:
    """The chosen audio stream. `bitrate`: bits a second, 0 when not said."""

    index: int
    codec: str
    profile: str | None
    bitrate: int
    channels: int
    sample_rate_hz: int

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """From what `dataclasses.asdict` gave; unknown keys are left aside."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class VideoFacts:
    """The chosen video stream and its container, with values that JSON can hold.

    `index`: among all streams; `format_name`, `format_long_name`: the container's, as ffprobe spells them;
    `width_px`: of square pixels, before turning, as is `height_px`; `orientation`: EXIF's 1, 3, 6 or 8;
    `fps`: 0 when not said; `duration_ms`: None when not said; `bitrate`: bits a second, the container's where
    the stream has none, else 0; `frame_count`: 0 when the container does not say; `time_base`: like "1/90000";
    colours: H.273 numbers, 2 for unspecified; `dolby_vision_*`: None without.
    """

    index: int
    format_name: str
    format_long_name: str
    codec: str
    profile: str | None
    level: int | None
    pixel_format: str
    width_px: int
    height_px: int
    orientation: int
    fps: float
    duration_ms: int | None
    bitrate: int
    frame_count: int
    time_base: str
    color_primaries: int
    color_transfer: int
    color_matrix: int
    dolby_vision_profile: int | None
    dolby_vision_level: int | None
    dolby_vision_compatibility: int | None
    audio: AudioFacts | None

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Self:
        """From what `dataclasses.asdict` gave; unknown keys are left aside."""
        known = {field.name: values[field.name] for field in fields(cls)}
        audio = known["audio"]
        return cls(**known | {"audio": AudioFacts.from_values(audio) if isinstance(audio, Mapping) else audio})

    @property
    def is_hdr(self) -> bool:
        """Needs tone mapping on an ordinary screen."""
        return self.color_transfer in _HDR_TRANSFERS

    @property
    def upright_size_px(self) -> tuple[int, int]:
        """Width and height as shown."""
        turned = self.orientation in {6, 8}
        return (self.height_px, self.width_px) if turned else (self.width_px, self.height_px)


def probe_video(path: Path, timeout_s: float) -> VideoFacts:
    """Read the headers of `path`: a video, or a GIF.

    Raises UnreadableVideo when there is no video in it, SourceMissing; ProgramMissing and ProgramTimeout.
    """
    if not path.is_file():
        raise SourceMissing(path, "no such file")
    try:
        output = run_program(
            [
                *("ffprobe", "-v", "error", "-print_format", "json", "-show_format", "-show_streams"),
                *("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-i", f"file:{path}"),
            ],
            timeout_s=timeout_s,
        )
    except ProgramFailed as error:
        if error.exit_code < 0:  # killed from outside, which says nothing about the file
            raise
        raise UnreadableVideo(path, last_line(error.stderr_tail)) from error
    return facts_of(json.loads(output.stdout), path)


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no message"


def facts_of(probed: Mapping[str, Any], path: Path) -> VideoFacts:
    """`probed`: ffprobe's JSON with streams and format. Raises UnreadableVideo when there is no video stream."""
    streams: list[Mapping[str, Any]] = probed.get("streams", [])
    container: Mapping[str, Any] = probed.get("format", {})
    videos = [s for s in streams if s.get("codec_type") == "video" and not s["disposition"].get("attached_pic")]
    if not videos:
        raise UnreadableVideo(path, "there is no video stream in it")
    video = max(videos, key=_preference)
    side_data = {entry.get("side_data_type"): entry for entry in video.get("side_data_list", [])}
    dolby_vision = side_data.get("DOVI configuration record", {})
    return VideoFacts(
        index=int(video["index"]),
        format_name=str(container.get("format_name", "")),
        format_long_name=str(container.get("format_long_name", "")),
        codec=_codec(video),
        profile=video.get("profile"),
        level=_level(video),
        pixel_format=str(video.get("pix_fmt", "yuv420p")),
        width_px=_display_width(video),
        height_px=_integer(video.get("height")),
        orientation=_orientation(video, side_data.get("Display Matrix", {})),
        fps=float(_fraction(video.get("avg_frame_rate")) or _fraction(video.get("r_frame_rate"))),
        duration_ms=_duration_ms(container.get("duration") or video.get("duration")),
        bitrate=_integer(video.get("bit_rate")) or _integer(container.get("bit_rate")),
        frame_count=_integer(video.get("nb_frames")),
        time_base=str(video.get("time_base", "")),
        color_primaries=COLOR_PRIMARIES.get(video.get("color_primaries", ""), UNSPECIFIED),
        color_transfer=COLOR_TRANSFERS.get(video.get("color_transfer", ""), UNSPECIFIED),
        color_matrix=COLOR_MATRICES.get(video.get("color_space", ""), UNSPECIFIED),
        dolby_vision_profile=dolby_vision.get("dv_profile"),
        dolby_vision_level=dolby_vision.get("dv_level"),
        dolby_vision_compatibility=dolby_vision.get("dv_bl_signal_compatibility_id"),
        audio=_audio(streams),
    )


def _audio(streams: list[Mapping[str, Any]]) -> AudioFacts | None:
    audios = [stream for stream in streams if stream.get("codec_type") == "audio"]
    if not audios:
        return None
    audio = max(audios, key=_preference)
    return AudioFacts(
        index=int(audio["index"]),
        codec=_codec(audio),
        profile=audio.get("profile"),
        bitrate=_integer(audio.get("bit_rate")),
        channels=_integer(audio.get("channels")),
        sample_rate_hz=_integer(audio.get("sample_rate")),
    )


def _preference(stream: Mapping[str, Any]) -> tuple[int, int]:
    """The default one first, then the one with most bits."""
    return int(stream.get("disposition", {}).get("default", 0)), _integer(stream.get("bit_rate"))


def _codec(stream: Mapping[str, Any]) -> str:
    name = str(stream.get("codec_name", "unknown"))
    return _CODEC_NAMES.get(name, name)


def _level(video: Mapping[str, Any]) -> int | None:
    level = _integer(video.get("level"))
    return level if level > 0 else None  # ffprobe's word for none is -99


def _display_width(video: Mapping[str, Any]) -> int:
    aspect = _fraction(str(video.get("display_aspect_ratio", "")).replace(":", "/"))
    return round(_integer(video.get("height")) * aspect) if aspect else _integer(video.get("width"))


def _orientation(video: Mapping[str, Any], display_matrix: Mapping[str, Any]) -> int:
    """ffprobe turns anticlockwise; old files say it as a tag, clockwise."""
    if "rotation" in display_matrix:
        turned = round(float(display_matrix["rotation"]))
    else:
        turned = -_integer(video.get("tags", {}).get("rotate"))
    return _ORIENTATION_OF_ROTATION.get(turned % 360, 1)


def _integer(value: object) -> int:
    try:
        return int(str(value))
    except ValueError:
        return 0


def _fraction(value: object) -> Fraction:
    try:
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return Fraction(0)


def _duration_ms(seconds: object) -> int | None:
    try:
        return round(float(str(seconds)) * 1000)
    except (ValueError, OverflowError):
        return None
