"""What a video file holds, as ffprobe and ffmpeg see it: packets, and how far two videos are apart."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.media.programs import run_program
from tests.programs import program


@dataclass(frozen=True)
class Packet:
    """Times in ticks of the stream, as stored; where decoding has none of its own, that of showing."""

    pts: int
    dts: int
    size: int


def packets(video: Path, kind: str) -> list[Packet]:
    """All packets of the video ("v") or sound ("a"), as stored."""
    found = _probe(video, "-select_streams", kind, "-show_entries", "packet=pts,dts,size")["packets"]
    return [Packet(int(one["pts"]), int(one.get("dts", one["pts"])), int(one["size"])) for one in found]


def streams(video: Path) -> list[dict[str, Any]]:
    """What a player is told of each stream."""
    wanted = "codec_name,codec_tag_string,profile,pix_fmt,width,height,time_base,start_time,duration,nb_frames"
    wanted += ",color_range,color_space,color_transfer,color_primaries,channels,sample_rate"
    found: list[dict[str, Any]] = _probe(video, "-show_entries", f"stream={wanted}")["streams"]
    return [{key: value for key, value in one.items() if key not in ("tags", "disposition")} for one in found]


def length_s(video: Path) -> float:
    """Of the whole file, as a player shows it."""
    return float(_probe(video, "-show_entries", "format=duration")["format"]["duration"])


def _probe(video: Path, *arguments: str) -> Any:
    command = [program("ffprobe"), "-v", "error", "-of", "json", *arguments, video]
    return json.loads(run_program(command, timeout_s=60).stdout)


def complaints(video: Path) -> str:
    """What a strict decoder says while it decodes everything; empty for a clean video."""
    exact = ("-fps_mode", "passthrough", "-enc_time_base:v", "1/90000", "-f", "null", "-")
    command = [program("ffmpeg"), "-v", "warning", "-xerror", "-i", str(video), *exact]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    return done.stderr if done.returncode == 0 else f"ended with {done.returncode}: {done.stderr}"


def psnr_db(one: Path, other: Path) -> float:
    """Over all frames, by their order. Infinite for equal ones."""
    graph = "[0:v]settb=1/1000,setpts=N[a];[1:v]settb=1/1000,setpts=N[b];[a][b]psnr"
    return _psnr(["-i", str(one), "-i", str(other), "-filter_complex", graph])


def psnr_to_source_db(made: Path, source: Path) -> float:
    """The same, with the source brought to the size and pixels of what was made."""
    stream = next(one for one in streams(made) if "width" in one)
    fit = f"scale={stream['width']}:{stream['height']},format=yuv420p,settb=1/1000,setpts=N"
    graph = f"[0:v]format=yuv420p,settb=1/1000,setpts=N[a];[1:v]{fit}[b];[a][b]psnr"
    return _psnr(["-i", str(made), "-i", str(source), "-filter_complex", graph])


def _psnr(inputs: list[str]) -> float:
    command = [program("ffmpeg"), "-hide_banner", *inputs, "-fps_mode", "passthrough", "-f", "null", "-"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stderr
    found = re.search(r"average:(inf|[\d.]+)", said)
    assert found, said[-500:]
    return float(found[1])
