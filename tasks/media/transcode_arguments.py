"""ffmpeg's arguments for each encoder, in software and on graphics hardware. Pure: facts, need, settings and what the
machine has in; options before and after the input out. Source: spec jobs-media §3.3.

`ways` is the ladder: hardware, hardware with decoding in software, software.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from cluster.errors import AccelerationMissing, AccelerationUnsupported
from tasks.media.ffmpeg_frames import named_colors
from tasks.media.probe import VideoFacts
from tasks.media.transcode import (
    Bitrate,
    Need,
    TranscodeSettings,
    bitrate_cap,
    short_side_px,
    target_side_px,
)

PRESETS: Final = (*("veryslow", "slower", "slow", "medium", "fast", "faster", "veryfast", "superfast", "ultrafast"),)
_AUDIO_ENCODERS: Final = {"aac": "aac", "mp3": "mp3", "opus": "libopus", "pcm_s16le": "pcm_s16le"}
_HARDWARE_CODECS: Final = {
    "nvenc": ("h264", "hevc", "av1"),
    "qsv": ("h264", "hevc", "vp9", "av1"),
    "vaapi": ("h264", "hevc", "vp9", "av1"),
    "rkmpp": ("h264", "hevc"),
}
_HARDWARE_GOP: Final = 256
_UPLOAD: Final = {
    "nvenc": "hwupload_cuda",
    "qsv": "hwupload=extra_hw_frames=64",
    "vaapi": "hwupload=extra_hw_frames=64",
    "rkmpp": "hwupload",
}
_OUTPUT: Final = ("-fps_mode", "passthrough")
_FINE: Final = 10_000
_BT709: Final = "matrix=bt709:primaries=bt709:transfer=bt709"


@dataclass(frozen=True, slots=True)
class Machine:
    """What a node has. `devices`: names in /dev/dri; `filters`: ffmpeg's."""

    devices: tuple[str, ...] = ()
    filters: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to run ffmpeg: options before `-i` and after it, without files, container and `-map` of nothing else."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    two_pass: bool = False


def ways(settings: TranscodeSettings) -> list[TranscodeSettings]:
    """What to try, in order. What ends badly on graphics hardware may well do in software."""
    software = replace(settings, accel="disabled")
    if settings.accel == "disabled":
        return [software]
    decoding_too = [settings] if settings.accel_decode else []
    return [*decoding_too, replace(settings, accel_decode=False), software]


def recipe(facts: VideoFacts, need: Need, settings: TranscodeSettings, machine: Machine) -> Recipe:
    """Video and sound into one file. Raises AccelerationMissing, AccelerationUnsupported."""
    hardware = settings.accel != "disabled" and need.video
    before = _hardware_input(settings, machine) if hardware else ()
    after = [
        *_streams(facts, need, settings),
        *(_video_options(settings) if need.video else ()),
        *_OUTPUT,
        *(_time_base(facts) if need.video else ()),
        *_filters(facts, need, settings, machine),
    ]
    return Recipe(before, tuple(after), two_pass=need.video and is_two_pass(settings))


def sound_recipe(facts: VideoFacts, need: Need, settings: TranscodeSettings) -> Recipe:
    """The sound alone, as `recipe` makes it. `facts.audio` must be there."""
    return Recipe((), ("-vn", *_sound(facts, need, settings), "-map_metadata", "-1"))


def picture_recipe(facts: VideoFacts, need: Need, settings: TranscodeSettings, machine: Machine) -> Recipe:
    """The picture alone, as `recipe` makes it."""
    silent = replace(facts, audio=None)
    made = recipe(silent, replace(need, audio=False), settings, machine)
    return replace(made, after=("-an", *made.after))


def is_two_pass(settings: TranscodeSettings) -> bool:
    """Whether the encoder is run twice over the video; hardware does that inside, or not at all."""
    if settings.accel != "disabled" or not settings.two_pass:
        return False
    return settings.target_video_codec in ("vp9", "av1") or bitrate_cap(settings) is not None


def preset_index(settings: TranscodeSettings) -> int:
    """0 (slowest) to 8 (fastest), -1 for a name that is none."""
    return PRESETS.index(settings.preset) if settings.preset in PRESETS else -1


# What every encoder shares


def _streams(facts: VideoFacts, need: Need, settings: TranscodeSettings) -> list[str]:
    codec = settings.target_video_codec
    options = ["-c:v", _encoder(settings) if need.video else "copy", "-map", f"0:{facts.index}"]
    options += [*_sound(facts, need, settings), "-map_metadata", "-1"]
    if need.video:
        options += _frame_structure(settings)
    if codec == "hevc" and (need.video or facts.codec == "hevc"):
        options += ["-tag:v", "hvc1"]
    return options


def _sound(facts: VideoFacts, need: Need, settings: TranscodeSettings) -> list[str]:
    if facts.audio is None:
        return []
    codec = ["-c:a", _AUDIO_ENCODERS[settings.target_audio_codec], "-ac", "2"] if need.audio else ["-c:a", "copy"]
    return [*codec, "-map", f"0:{facts.audio.index}"]


def _frame_structure(settings: TranscodeSettings) -> list[str]:
    hardware = settings.accel != "disabled"
    bframes, refs, gop_size = settings.bframes, settings.refs, settings.gop_size
    if settings.accel == "qsv":
        bframes, refs = (7 if bframes < 0 else bframes), (refs or 5)
    if hardware:
        gop_size = gop_size or _HARDWARE_GOP
    options = ["-bf", str(bframes)] if bframes > -1 else []
    options += ["-refs", str(refs)] if refs > 0 else []
    return options + (["-g", str(gop_size)] if gop_size > 0 else [])


def _encoder(settings: TranscodeSettings) -> str:
    codec = settings.target_video_codec
    if settings.accel == "disabled":
        return "libsvtav1" if codec == "av1" else codec
    if codec not in _HARDWARE_CODECS[settings.accel]:
        supported = ", ".join(_HARDWARE_CODECS[settings.accel])
        problem = f"{settings.accel.upper()} acceleration does not support codec '{codec.upper()}'."
        raise AccelerationUnsupported(f"{problem} Supported codecs: {supported}")
    return f"{codec}_{settings.accel}"


def _time_base(facts: VideoFacts) -> list[str]:
    """The source's own ticks: older ffmpegs would move each frame to a multiple of the mean distance."""
    if not re.fullmatch(r"[1-9]\d*/[1-9]\d*", facts.time_base):
        return []
    scale = movie_timescale(Fraction(facts.time_base))
    return ["-enc_time_base:v", facts.time_base, "-movie_timescale", str(scale)]


def movie_timescale(tick_s: Fraction) -> int:
    """How many ticks a second an MP4's edit lists count in: whole ticks of the picture, fine enough for the sound.

    ffmpeg's own choice, a millisecond, cuts off a piece of the last frame's time.
    """
    return tick_s.denominator * math.ceil(_FINE / tick_s.denominator)


# Rate control and speed, by encoder


def _video_options(settings: TranscodeSettings) -> list[str]:
    cap = bitrate_cap(settings)
    match settings.accel:
        case "nvenc":
            return _nvenc(settings, cap)
        case "qsv":
            return _qsv(settings, cap)
        case "vaapi":
            return _vaapi(settings, cap)
        case "rkmpp":
            return _rkmpp(settings, cap)
        case _:
            return _software(settings, cap)


def _software(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    index, threads = preset_index(settings), settings.threads
    rate = _software_rate(settings, cap)
    limit = ["-threads", str(threads)] if threads > 0 else []
    match settings.target_video_codec:
        case "vp9":
            speed = ["-cpu-used", str(min(index, 5))] if index >= 0 else []
            return [*speed, *rate, "-row-mt", "1", *limit]
        case "av1":
            speed = ["-preset", str(index + 4)] if index >= 0 else []
            details = [f"lp={threads}"] if threads > 0 else []
            details += [f"mbr={cap.text(cap.most)}"] if cap else []
            return [*speed, *rate, *(["-svtav1-params", ":".join(details)] if details else [])]
        case codec:
            details_of = {"h264": "-x264-params", "hevc": "-x265-params"}[codec]
            alone = [details_of, "frame-threads=1:pools=none"] if threads == 1 else []
            return ["-preset", settings.preset, *rate, *limit, *alone]


def _software_rate(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    codec, quality = settings.target_video_codec, str(settings.crf)
    constant = ["-q:v" if settings.cq_mode == "cqp" else "-crf", quality]
    if codec == "av1":
        return ["-crf", quality]
    if cap and is_two_pass(settings):
        least = cap.text(cap.target / 2)
        return ["-b:v", cap.text(cap.target), "-minrate", least, "-maxrate", cap.text(cap.most)]
    if codec == "vp9":
        return [*constant, "-b:v", cap.text(cap.most) if cap else "0"]
    if cap:
        return [*constant, "-maxrate", cap.text(cap.most), "-bufsize", cap.text(cap.most * 2)]
    return constant


def _nvenc(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    index = preset_index(settings)
    options = ["-tune", "hq", "-qmin", "0", "-rc-lookahead", "20", "-i_qfactor", "0.75"]
    if settings.bframes > 0:
        options += ["-b_ref_mode", "middle", "-b_qfactor", "1.1"]
    if settings.temporal_aq:
        options += ["-temporal-aq", "1"]
    options += ["-preset", f"p{7 - min(6, index)}"] if index >= 0 else []
    capped = ["-maxrate", cap.text(cap.most), "-bufsize", cap.text(cap.target)] if cap else []
    if cap and settings.two_pass:
        return [*options, "-b:v", cap.text(cap.target), *capped, "-multipass", "2"]
    return [*options, "-cq:v", str(settings.crf), *capped]


def _qsv(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    index, vp9 = preset_index(settings), settings.target_video_codec == "vp9"
    constant = settings.cq_mode == "cqp" or vp9
    options = ["-preset", str(min(6, index) + 1)] if index >= 0 else []
    options += ["-q:v" if constant else "-global_quality:v", str(settings.crf)]
    if cap:
        options += [] if settings.cq_mode == "cqp" else ["-b:v", cap.text(cap.target)]
        options += ["-maxrate", cap.text(cap.most), "-bufsize", cap.text(cap.most * 2)]
    return options + (["-low_power", "1"] if vp9 else [])


def _vaapi(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    index, quality = preset_index(settings), str(settings.crf)
    options = ["-compression_level", str(min(6, index) + 1)] if index >= 0 else []
    if settings.target_video_codec == "vp9":
        options += ["-bsf:v", "vp9_raw_reorder,vp9_superframe"]
    if cap:
        rates = ["-b:v", cap.text(cap.target), "-maxrate", cap.text(cap.most), "-minrate", cap.text(cap.target / 2)]
        return [*options, *rates, "-rc_mode", "3"]
    if settings.cq_mode == "icq":
        return [*options, "-global_quality:v", quality, "-rc_mode", "4"]
    return [*options, "-qp:v", quality, "-global_quality:v", quality, "-rc_mode", "1"]


def _rkmpp(settings: TranscodeSettings, cap: Bitrate | None) -> list[str]:
    level = ["-level", "51" if settings.target_video_codec == "h264" else "153"]
    if cap:
        return [*level, "-rc_mode", "AVBR", "-b:v", cap.text(cap.target)]
    return [*level, "-rc_mode", "CQP", "-qp_init", str(settings.crf)]


# Graphics hardware: what stands before the input


def _hardware_input(settings: TranscodeSettings, machine: Machine) -> tuple[str, ...]:
    accel = settings.accel
    device = "" if accel == "nvenc" else _device(settings, machine)
    if settings.accel_decode:
        decoding = {
            "nvenc": ["-hwaccel", "cuda", "-hwaccel_output_format", "cuda"],
            "qsv": ["-hwaccel", "qsv", "-hwaccel_output_format", "qsv", "-async_depth", "4", "-qsv_device", device],
            "vaapi": ["-hwaccel", "vaapi", "-hwaccel_output_format", "vaapi", "-hwaccel_device", device],
            "rkmpp": ["-hwaccel", "rkmpp", "-hwaccel_output_format", "drm_prime", "-afbc", "rga"],
        }
        return (*decoding[accel], "-noautorotate", "-threads", "1")
    named = {
        "nvenc": ["cuda=cuda:0", "cuda"],
        "qsv": [f"qsv=hw,child_device={device}", "hw"],
        "vaapi": [f"vaapi=accel:{device}", "accel"],
        "rkmpp": ["rkmpp=rk", "rk"],
    }
    made, used = named[accel]
    return ("-init_hw_device", made, "-filter_hw_device", used)


def _device(settings: TranscodeSettings, machine: Machine) -> str:
    """The path of the device. `auto`: the last by name, which puts `renderD*` before `card*`."""
    known = sorted(name for name in machine.devices if name.startswith(("renderD", "card")))
    if not known:
        raise AccelerationMissing(
            "No /dev/dri devices found. If using Docker, make sure at least one /dev/dri device is mounted"
        )
    wanted = settings.preferred_hw_device
    if wanted == "auto":
        return f"/dev/dri/{known[-1]}"
    if wanted.removeprefix("/dev/dri/") not in known:
        raise AccelerationMissing(
            f"Device '{wanted}' does not exist. If using Docker, make sure this device is mounted"
        )
    return f"/dev/dri/{wanted.removeprefix('/dev/dri/')}"


# Filters


def _filters(facts: VideoFacts, need: Need, settings: TranscodeSettings, machine: Machine) -> list[str]:
    if not need.video:
        return []
    if settings.accel != "disabled" and settings.accel_decode:
        chain = _hardware_filters(facts, settings)
    else:
        chain = _software_filters(facts, settings, machine)
        if settings.accel != "disabled":
            chain = [*chain, "format=nv12", _UPLOAD[settings.accel]]
    return ["-vf", ",".join(chain)] if chain else []


def _software_filters(facts: VideoFacts, settings: TranscodeSettings, machine: Machine) -> list[str]:
    chain = [f"scale={_size(facts, settings, upright=True)}"] if _scales(facts, settings) else []
    if _tone_maps(facts, settings):
        return [*chain, *_software_tone_mapping(facts, settings, machine)]
    return chain if facts.pixel_format.endswith("420p") else [*chain, "format=yuv420p"]


def _software_tone_mapping(facts: VideoFacts, settings: TranscodeSettings, machine: Machine) -> Sequence[str]:
    """One fast filter where ffmpeg has it (Jellyfin's build), else zscale to linear light, tonemap, and back."""
    if "tonemapx" in machine.filters:
        named = "t=bt709:m=bt709:p=bt709"
        return [f"tonemapx=tonemap={settings.tonemap}:desat=0:{named}:r=pc:peak=100:format=yuv420p"]
    return [
        *named_colors(facts, "bt2020", "bt2020nc"),
        *("zscale=t=linear:npl=100", "format=gbrpf32le", "zscale=p=bt709"),
        f"tonemap={settings.tonemap}:desat=0:peak=100",
        *("zscale=t=bt709:m=bt709:r=pc", "format=yuv420p"),
    ]


def _hardware_filters(facts: VideoFacts, settings: TranscodeSettings) -> list[str]:
    """Frames stay on the device. Autorotation is off, so they are scaled as they are stored."""
    accel, mapped = settings.accel, _tone_maps(facts, settings)
    size = _size(facts, settings, upright=False) if _scales(facts, settings) else ""
    pixels = "p010" if mapped else "nv12"
    scale = {
        "nvenc": f"scale_cuda={size}:format={pixels}" if size else f"scale_cuda=format={pixels}",
        "qsv": f"scale_qsv={size}:mode=hq:format={pixels}" if size else f"scale_qsv=format={pixels}",
        "vaapi": f"scale_vaapi={size}:mode=hq:format={pixels}" if size else f"scale_vaapi=format={pixels}",
        "rkmpp": f"scale_rkrga={size}:format={pixels}:afbc=1" if size else f"scale_rkrga=format={pixels}:afbc=1",
    }
    needs_scale = bool(size) or mapped or not facts.pixel_format.endswith("420p")
    return ([scale[accel]] if needs_scale else []) + (_hardware_tone_mapping(settings) if mapped else [])


def _hardware_tone_mapping(settings: TranscodeSettings) -> list[str]:
    curve = f"tonemap={settings.tonemap}:desat=0:format=nv12:{_BT709}:range=pc:tonemap_mode=lum:peak=100"
    if settings.accel == "nvenc":
        return [f"tonemap_cuda={curve}"]
    back = {
        "qsv": "hwmap=derive_device=qsv:mode=write:reverse=1,format=qsv",
        "vaapi": "hwmap=derive_device=vaapi:mode=write:reverse=1,format=vaapi",
        "rkmpp": "hwmap=derive_device=rkmpp:mode=write:reverse=1,format=drm_prime",
    }
    return ["hwmap=derive_device=opencl:mode=read", f"tonemap_opencl={curve}", back[settings.accel]]


def _tone_maps(facts: VideoFacts, settings: TranscodeSettings) -> bool:
    return facts.is_hdr and settings.tonemap != "disabled"


def _scales(facts: VideoFacts, settings: TranscodeSettings) -> bool:
    odd = facts.width_px % 2 or facts.height_px % 2
    return short_side_px(facts) > target_side_px(facts, settings) or bool(odd)


def _size(facts: VideoFacts, settings: TranscodeSettings, *, upright: bool) -> str:
    """The short side as wanted, the other as it comes. Quick Sync takes any size, the others even ones."""
    multiple = 1 if settings.accel == "qsv" else 2
    side = min(target_side_px(facts, settings), short_side_px(facts))
    side -= side % 2
    width, height = facts.upright_size_px if upright else (facts.width_px, facts.height_px)
    return f"{side}:-{multiple}" if height > width else f"-{multiple}:{side}"
