"""Arguments for each encoder, held against the tables of spec jobs-media §3.3. Hardware is judged by these alone."""

from typing import Any

import pytest

from cluster.errors import AccelerationMissing, AccelerationUnsupported
from tasks.media.transcode import Need
from tasks.media.transcode_arguments import (
    PRESETS,
    Machine,
    Recipe,
    picture_recipe,
    recipe,
    sound_recipe,
    ways,
)
from tests.clips import settings
from tests.unit.tasks.media.test_transcode import facts

BOTH, PICTURE, SOUND, CONTAINER = (
    Need(True, True, False),
    Need(True, False, False),
    Need(False, True, False),
    Need(False, False, True),
)
GPU = Machine(devices=("card0", "renderD128", "renderD129"), filters=frozenset({"tonemap", "zscale"}))
HDR = {"pixel_format": "yuv420p10le", "color_primaries": 9, "color_transfer": 16, "color_matrix": 9, "codec": "hevc"}


def made(need: Need = BOTH, machine: Machine = GPU, of: dict[str, Any] | None = None, **changes: Any) -> Recipe:
    return recipe(facts(**of or {}), need, settings(**changes), machine)


def after(need: Need = PICTURE, machine: Machine = GPU, of: dict[str, Any] | None = None, **changes: Any) -> str:
    return " ".join(made(need, machine, of, **changes).after)


def rates(**changes: Any) -> str:
    """What follows the mapping and comes before the frame rate mode: speed, quality, threads."""
    return after(of={"audio": None}, **changes).partition("-map_metadata -1 ")[2].partition(" -fps_mode")[0]


def filters(of: dict[str, Any] | None = None, machine: Machine = GPU, **changes: Any) -> str:
    return after(of=of, machine=machine, **changes).partition("-vf ")[2]


def test_a_whole_command_in_software() -> None:
    assert after(BOTH) == (
        "-c:v h264 -map 0:0 -c:a aac -ac 2 -map 0:1 -map_metadata -1 -preset ultrafast -crf 23"
        " -fps_mode passthrough -enc_time_base:v 1/15360 -movie_timescale 15360"
    )
    assert made().before == ()


@pytest.mark.parametrize(
    ("need", "expected"),
    [
        (PICTURE, "-c:v h264 -map 0:0 -c:a copy -map 0:1 "),
        (SOUND, "-c:v copy -map 0:0 -c:a aac -ac 2 -map 0:1 "),
        (CONTAINER, "-c:v copy -map 0:0 -c:a copy -map 0:1 "),
    ],
)
def test_what_is_good_is_copied(need: Need, expected: str) -> None:
    command = after(need)
    assert command.startswith(expected)
    assert ("-preset" in command) == need.video
    assert not made(CONTAINER, accel="vaapi").before, "nothing is encoded, so no device is needed"


@pytest.mark.parametrize(
    ("codec", "encoder"), [("aac", "aac"), ("mp3", "mp3"), ("opus", "libopus"), ("pcm_s16le", "pcm_s16le")]
)
def test_sound_encoders(codec: str, encoder: str) -> None:
    assert f"-c:a {encoder} -ac 2" in after(SOUND, target_audio_codec=codec)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "-preset ultrafast -crf 23"),
        ({"preset": "slow", "crf": 18, "threads": 4}, "-preset slow -crf 18 -threads 4"),
        ({"threads": 1}, "-preset ultrafast -crf 23 -threads 1 -x264-params frame-threads=1:pools=none"),
        ({"cq_mode": "cqp"}, "-preset ultrafast -q:v 23"),
        ({"max_bitrate": "2900k"}, "-preset ultrafast -crf 23 -maxrate 2900k -bufsize 5800k"),
        ({"bframes": 0, "refs": 3, "gop_size": 60}, "-bf 0 -refs 3 -g 60 -preset ultrafast -crf 23"),
        (
            {"max_bitrate": "2900k", "two_pass": True},
            "-preset ultrafast -b:v 2000k -minrate 1000k -maxrate 2900k",
        ),
        ({"two_pass": True}, "-preset ultrafast -crf 23"),
    ],
)
def test_h264_in_software(changes: dict[str, Any], expected: str) -> None:
    assert rates(**changes) == expected


@pytest.mark.parametrize(
    ("codec", "changes", "expected"),
    [
        ("hevc", {}, "-tag:v hvc1 -preset ultrafast -crf 23"),
        (
            "hevc",
            {"threads": 1},
            "-tag:v hvc1 -preset ultrafast -crf 23 -threads 1 -x265-params frame-threads=1:pools=none",
        ),
        ("vp9", {}, "-cpu-used 5 -crf 23 -b:v 0 -row-mt 1"),
        ("vp9", {"preset": "slow"}, "-cpu-used 2 -crf 23 -b:v 0 -row-mt 1"),
        ("vp9", {"preset": "warp", "threads": 2}, "-crf 23 -b:v 0 -row-mt 1 -threads 2"),
        ("vp9", {"max_bitrate": "4M"}, "-cpu-used 5 -crf 23 -b:v 4M -row-mt 1"),
        ("av1", {}, "-preset 12 -crf 23"),
        ("av1", {"preset": "veryslow"}, "-preset 4 -crf 23"),
        ("av1", {"threads": 3, "max_bitrate": "4M"}, "-preset 12 -crf 23 -svtav1-params lp=3:mbr=4M"),
    ],
)
def test_other_codecs_in_software(codec: str, changes: dict[str, Any], expected: str) -> None:
    assert rates(target_video_codec=codec, **changes) == expected


@pytest.mark.parametrize(
    ("codec", "max_bitrate", "twice"),
    [("h264", "0", False), ("h264", "4M", True), ("hevc", "4M", True), ("vp9", "0", True), ("av1", "0", True)],
)
def test_when_the_encoder_runs_twice(codec: str, max_bitrate: str, twice: bool) -> None:
    asked = {"target_video_codec": codec, "max_bitrate": max_bitrate}
    assert made(**asked, two_pass=True).two_pass == twice
    assert not made(**asked, two_pass=False).two_pass
    assert not made(SOUND, **asked, two_pass=True).two_pass
    assert not made(**asked | {"target_video_codec": "h264"}, two_pass=True, accel="nvenc").two_pass


@pytest.mark.parametrize("target", ["h264", "hevc"])
@pytest.mark.parametrize("source", ["h264", "hevc"])
def test_apples_tag_for_hevc(target: str, source: str) -> None:
    encoded = after(PICTURE, of={"codec": source}, target_video_codec=target)
    copied = after(SOUND, of={"codec": source}, target_video_codec=target)
    assert ("-tag:v hvc1" in encoded) == (target == "hevc")
    assert ("-tag:v hvc1" in copied) == (target == source == "hevc")


@pytest.mark.parametrize(
    ("of", "target", "expected"),
    [
        ({}, "720", ""),
        ({"width_px": 1920, "height_px": 1080}, "720", "scale=-2:720"),
        ({"width_px": 1080, "height_px": 1920}, "720", "scale=720:-2"),
        ({"width_px": 1920, "height_px": 1080, "orientation": 6}, "720", "scale=720:-2"),
        ({"width_px": 1080, "height_px": 1920, "orientation": 8}, "720", "scale=-2:720"),
        ({"width_px": 640, "height_px": 480}, "720", ""),
        ({"width_px": 641, "height_px": 481}, "720", "scale=-2:480"),
        ({"width_px": 1921, "height_px": 1080}, "original", "scale=-2:1080"),
        ({"width_px": 1920, "height_px": 1080}, "original", ""),
        ({"width_px": 1920, "height_px": 1080}, "481", "scale=-2:480"),
        ({"pixel_format": "yuv444p"}, "720", "format=yuv420p"),
        ({"width_px": 1920, "height_px": 1080, "pixel_format": "yuv422p10le"}, "720", "scale=-2:720,format=yuv420p"),
    ],
)
def test_size_and_pixels_in_software(of: dict[str, Any], target: str, expected: str) -> None:
    assert filters(of, target_resolution=target) == expected


def test_hdr_is_tone_mapped_by_what_the_machine_has() -> None:
    tagged = "zscale=t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,tonemap=mobius:desat=0:peak=100"
    back = "zscale=t=bt709:m=bt709:r=pc,format=yuv420p"
    assert filters(HDR, tonemap="mobius") == f"{tagged},{back}"
    jellyfin = Machine(filters=frozenset({"tonemapx"}))
    expected = "tonemapx=tonemap=hable:desat=0:t=bt709:m=bt709:p=bt709:r=pc:peak=100:format=yuv420p"
    assert filters(HDR, jellyfin) == expected
    unsaid = {**HDR, "color_primaries": 2, "color_matrix": 2}
    assert filters(unsaid).startswith("setparams=color_primaries=bt2020:colorspace=bt2020nc,zscale")
    assert filters(HDR, tonemap="disabled") == "format=yuv420p"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "-g 256 {head} -preset p1 -cq:v 23"),
        ({"preset": "veryslow"}, "-g 256 {head} -preset p7 -cq:v 23"),
        ({"preset": "medium"}, "-g 256 {head} -preset p4 -cq:v 23"),
        ({"bframes": 3}, "-bf 3 -g 256 {head} -b_ref_mode middle -b_qfactor 1.1 -preset p1 -cq:v 23"),
        ({"temporal_aq": True, "gop_size": 30}, "-g 30 {head} -temporal-aq 1 -preset p1 -cq:v 23"),
        ({"max_bitrate": "2900k"}, "-g 256 {head} -preset p1 -cq:v 23 -maxrate 2900k -bufsize 2000k"),
        (
            {"max_bitrate": "2900k", "two_pass": True},
            "-g 256 {head} -preset p1 -b:v 2000k -maxrate 2900k -bufsize 2000k -multipass 2",
        ),
    ],
)
def test_nvenc(changes: dict[str, Any], expected: str) -> None:
    head = "-tune hq -qmin 0 -rc-lookahead 20 -i_qfactor 0.75"
    assert rates(accel="nvenc", **changes) == expected.format(head=head)
    assert "-c:v h264_nvenc" in after(accel="nvenc", **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "-bf 7 -refs 5 -g 256 -preset 7 -global_quality:v 23"),
        ({"bframes": 2, "refs": 1}, "-bf 2 -refs 1 -g 256 -preset 7 -global_quality:v 23"),
        ({"cq_mode": "cqp", "preset": "slower"}, "-bf 7 -refs 5 -g 256 -preset 2 -q:v 23"),
        ({"target_video_codec": "vp9"}, "-bf 7 -refs 5 -g 256 -preset 7 -q:v 23 -low_power 1"),
        (
            {"max_bitrate": "2900k"},
            "-bf 7 -refs 5 -g 256 -preset 7 -global_quality:v 23 -b:v 2000k -maxrate 2900k -bufsize 5800k",
        ),
        (
            {"max_bitrate": "2900k", "cq_mode": "cqp"},
            "-bf 7 -refs 5 -g 256 -preset 7 -q:v 23 -maxrate 2900k -bufsize 5800k",
        ),
    ],
)
def test_qsv(changes: dict[str, Any], expected: str) -> None:
    assert rates(accel="qsv", **changes) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "-g 256 -compression_level 7 -qp:v 23 -global_quality:v 23 -rc_mode 1"),
        ({"cq_mode": "icq"}, "-g 256 -compression_level 7 -global_quality:v 23 -rc_mode 4"),
        (
            {"max_bitrate": "2900k", "preset": "fast"},
            "-g 256 -compression_level 5 -b:v 2000k -maxrate 2900k -minrate 1000k -rc_mode 3",
        ),
        (
            {"target_video_codec": "vp9"},
            "-g 256 -compression_level 7 -bsf:v vp9_raw_reorder,vp9_superframe"
            " -qp:v 23 -global_quality:v 23 -rc_mode 1",
        ),
    ],
)
def test_vaapi(changes: dict[str, Any], expected: str) -> None:
    assert rates(accel="vaapi", **changes) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "-g 256 -level 51 -rc_mode CQP -qp_init 23"),
        ({"target_video_codec": "hevc"}, "-g 256 -tag:v hvc1 -level 153 -rc_mode CQP -qp_init 23"),
        ({"max_bitrate": "2900k"}, "-g 256 -level 51 -rc_mode AVBR -b:v 2000k"),
    ],
)
def test_rkmpp(changes: dict[str, Any], expected: str) -> None:
    assert rates(accel="rkmpp", **changes) == expected


@pytest.mark.parametrize(
    ("accel", "decoding", "uploading"),
    [
        ("nvenc", "-hwaccel cuda -hwaccel_output_format cuda", "-init_hw_device cuda=cuda:0 -filter_hw_device cuda"),
        (
            "qsv",
            "-hwaccel qsv -hwaccel_output_format qsv -async_depth 4 -qsv_device /dev/dri/renderD129",
            "-init_hw_device qsv=hw,child_device=/dev/dri/renderD129 -filter_hw_device hw",
        ),
        (
            "vaapi",
            "-hwaccel vaapi -hwaccel_output_format vaapi -hwaccel_device /dev/dri/renderD129",
            "-init_hw_device vaapi=accel:/dev/dri/renderD129 -filter_hw_device accel",
        ),
        (
            "rkmpp",
            "-hwaccel rkmpp -hwaccel_output_format drm_prime -afbc rga",
            "-init_hw_device rkmpp=rk -filter_hw_device rk",
        ),
    ],
)
def test_what_stands_before_the_input(accel: str, decoding: str, uploading: str) -> None:
    assert " ".join(made(accel=accel).before) == f"{decoding} -noautorotate -threads 1"
    assert " ".join(made(accel=accel, accel_decode=False).before) == uploading


@pytest.mark.parametrize(
    ("accel", "scaled", "mapped"),
    [
        ("nvenc", "scale_cuda=-2:720:format=nv12", "scale_cuda=format=p010,tonemap_cuda=tonemap=hable"),
        ("qsv", "scale_qsv=-1:720:mode=hq:format=nv12", "scale_qsv=format=p010,hwmap=derive_device=opencl"),
        ("vaapi", "scale_vaapi=-2:720:mode=hq:format=nv12", "scale_vaapi=format=p010,hwmap=derive_device=opencl"),
        ("rkmpp", "scale_rkrga=-2:720:format=nv12:afbc=1", "scale_rkrga=format=p010:afbc=1,hwmap=derive_device=opencl"),
    ],
)
def test_filters_on_the_device_and_before_it(accel: str, scaled: str, mapped: str) -> None:
    large = {"width_px": 1920, "height_px": 1080}
    assert filters(large, accel=accel) == scaled
    assert filters(HDR, accel=accel).startswith(mapped)
    in_software = filters(large, accel=accel, accel_decode=False)
    multiple = 1 if accel == "qsv" else 2
    assert in_software.startswith(f"scale=-{multiple}:720,format=nv12,hwupload")
    assert filters(accel=accel) == ""
    # autorotation is off on the device: what is stored lying is scaled lying
    assert filters({**large, "orientation": 6}, accel=accel) == scaled


def test_the_device_is_the_last_one_or_the_one_that_is_asked_for() -> None:
    def before(machine: Machine = GPU, **changes: Any) -> tuple[str, ...]:
        return made(machine=machine, accel="vaapi", **changes).before

    assert "/dev/dri/card0" in before(preferred_hw_device="card0")
    assert "/dev/dri/renderD128" in before(preferred_hw_device="/dev/dri/renderD128")
    with pytest.raises(AccelerationMissing, match="Device 'renderD200' does not exist"):
        before(preferred_hw_device="renderD200")
    with pytest.raises(AccelerationMissing, match="No /dev/dri devices found"):
        before(Machine(devices=("by-path",)))
    assert made(machine=Machine(), accel="nvenc").before, "nvenc takes the first GPU"


@pytest.mark.parametrize(
    ("accel", "codecs"),
    [
        ("nvenc", {"h264", "hevc", "av1"}),
        ("qsv", {"h264", "hevc", "vp9", "av1"}),
        ("vaapi", {"h264", "hevc", "vp9", "av1"}),
        ("rkmpp", {"h264", "hevc"}),
    ],
)
def test_codecs_that_hardware_encodes(accel: str, codecs: set[str]) -> None:
    for codec in ("h264", "hevc", "vp9", "av1"):
        if codec in codecs:
            assert f"-c:v {codec}_{accel} " in after(accel=accel, target_video_codec=codec)
        else:
            problem = f"{accel.upper()} acceleration does not support codec '{codec.upper()}'"
            with pytest.raises(AccelerationUnsupported, match=problem):
                made(accel=accel, target_video_codec=codec)


def test_the_ladder_from_hardware_down_to_software() -> None:
    def rungs(**changes: Any) -> list[tuple[str, bool]]:
        return [(way.accel, way.accel_decode) for way in ways(settings(**changes))]

    assert rungs() == [("disabled", True)]
    assert rungs(accel="qsv") == [("qsv", True), ("qsv", False), ("disabled", True)]
    assert rungs(accel="qsv", accel_decode=False) == [("qsv", False), ("disabled", False)]


def test_every_preset_has_its_speed() -> None:
    speeds = [rates(target_video_codec="av1", preset=preset).split()[1] for preset in PRESETS]
    assert speeds == [str(number) for number in range(4, 13)]


def test_picture_and_sound_apart_are_what_they_are_together() -> None:
    together, alone = after(BOTH), " ".join(picture_recipe(facts(), BOTH, settings(), GPU).after)
    sound = " ".join(sound_recipe(facts(), BOTH, settings()).after)
    assert sound == "-vn -c:a aac -ac 2 -map 0:1 -map_metadata -1"
    assert alone == "-an " + together.replace("-c:a aac -ac 2 -map 0:1 ", "")


@pytest.mark.parametrize(
    ("time_base", "expected"), [("1/90000", 90000), ("1001/30000", 30000), ("1/1000", 10000), ("1/24", 10008)]
)
def test_edit_lists_count_in_whole_ticks_and_finely(time_base: str, expected: int) -> None:
    assert f"-enc_time_base:v {time_base} -movie_timescale {expected}" in after(of={"time_base": time_base})


def test_a_time_base_that_is_no_fraction_is_left_to_ffmpeg() -> None:
    assert "enc_time_base" not in after(of={"time_base": ""})
    assert "enc_time_base" not in after(SOUND)
