"""Short videos of every awkward kind, made by ffmpeg. Each test session makes a clip once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cluster.settings import read_settings
from cluster.system_config import defaults
from tasks.media.programs import run_program
from tasks.media.transcode import TranscodeSettings
from tasks.video_encoding import transcode_settings
from tests.programs import program

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration={seconds}")
HDR_TAGS = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
JITTER = r"select='not(eq(mod(n\,7)\,3))*not(eq(mod(n\,11)\,5))',settb=1/90000,setpts='PTS+mod(N\,3)*271'"


@dataclass(frozen=True)
class Clip:
    """`picture`: a lavfi source; `options`: how it is encoded; `sound`: the sound's codec, empty for none."""

    name: str
    picture: str
    options: Sequence[str]
    sound: str = "aac"

    def make(self, folder: Path, seconds: float) -> Path:
        path = folder / f"{seconds:g}-{self.name}"
        if path.exists():
            return path
        given = ["-f", "lavfi", "-i", self.picture.format(seconds=seconds)]
        if self.sound:
            given += [option.format(seconds=seconds) for option in SOUND]
        sound = ["-c:a", self.sound] if self.sound else []
        options = [option.format(seconds=seconds) for option in self.options]
        ffmpeg(*given, "-t", f"{seconds:g}", *options, *sound, path)
        return path


def ffmpeg(*arguments: str | Path) -> None:
    """Run it without questions; the last argument is what it writes."""
    run_program([program("ffmpeg"), "-v", "error", "-nostdin", "-y", *arguments], timeout_s=100)


H264 = Clip("h264.mp4", "testsrc2=s=320x180:r=30000/1001:d={seconds}", (*X264, "-g", "30"))
HEVC_OPEN_GOP = Clip(
    "hevc-open-gop.mp4",
    "mandelbrot=s=320x180:r=30,format=yuv420p",
    (*X265, "-x265-params", "log-level=none:open-gop=1:keyint=24:min-keyint=24:bframes=4:scenecut=0"),
)
VFR = Clip(
    "vfr.mp4",
    "testsrc2=s=320x180:r=60:d={seconds}",
    (
        *("-vf", JITTER, "-fps_mode", "passthrough", "-enc_time_base:v", "1/90000", "-video_track_timescale", "90000"),
        *(*X264, "-g", "30"),
    ),
)
HDR = Clip(
    "hdr.mp4",
    "gradients=s=320x180:r=24:d={seconds}:speed=0.05,format=gbrp10le,scale=out_range=tv,format=yuv420p10le",
    (
        *(*X265, "-x265-params"),
        "log-level=none:keyint=24:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc",
        *HDR_TAGS,
    ),
    sound="libopus",
)
MATROSKA = Clip("h264.mkv", "testsrc2=s=320x180:r=25:d={seconds}", (*X264, "-g", "25"))
LATE_PICTURE = Clip(
    "late.mp4",
    "testsrc2=s=320x180:r=30:d={seconds}",
    (*("-vf", "setpts=PTS+0.7/TB"), *X264, "-g", "30"),
)
TURNED_FIRST = Clip("flat.mp4", "testsrc2=s=320x180:r=30:d={seconds}", (*X264, "-g", "30"))


def turned(folder: Path, seconds: float) -> Path:
    """A clip that says to be shown turned by a quarter."""
    path = folder / f"{seconds:g}-turned.mp4"
    if not path.exists():
        flat = TURNED_FIRST.make(folder, seconds)
        ffmpeg("-i", flat, "-c", "copy", "-metadata:s:v", "rotate=90", path)
    return path


def settings(**changes: Any) -> TranscodeSettings:
    """The defaults of the system config, changed."""
    return replace(transcode_settings(defaults(read_settings({"HOME": "/nowhere"}))), **changes)
