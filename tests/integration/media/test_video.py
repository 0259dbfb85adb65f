"""Videos of every kind that ffmpeg here can write: what ffprobe says of them, and the frame that stands for them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cluster.errors import SourceMissing, TooLarge, UnreadableVideo
from tasks.media.decord_frames import decord_reads, grab_with_decord
from tasks.media.ffmpeg_frames import grab_with_ffmpeg
from tasks.media.programs import run_program
from tasks.media.renditions import Limits, Rendition
from tasks.media.video import probe_video, render_video
from tests.programs import program

# Four even fields, as `pictures.quarters`, drawn by ffmpeg itself.
COLORS = ("#e61e1e", "#1ec81e", "#1e1edc", "#dcd228")
EXPECTED = ((230, 30, 30), (30, 200, 30), (30, 30, 220), (220, 210, 40))


def quarters_source(seconds: float = 2, size: str = "320x240") -> list[str]:
    width, height = (int(side) // 2 for side in size.split("x"))
    fields = [("-f", "lavfi", "-i", f"color={color}:s={width}x{height}:r=10:d={seconds}") for color in COLORS]
    graph = "[0][1]hstack[t];[2][3]hstack[b];[t][b]vstack"
    return [*(part for field in fields for part in field), "-filter_complex", graph]


def encode(path: Path, *arguments: str, source: list[str] | None = None) -> Path:
    made = source if source is not None else quarters_source()
    run_program([program("ffmpeg"), "-v", "error", "-nostdin", "-y", *made, *arguments, f"file:{path}"], timeout_s=100)
    return path


def renditions(folder: Path) -> list[Rendition]:
    return [
        Rendition("preview", folder / "p", "jpeg", 1440, 95),
        Rendition("thumbnail", folder / "t", "webp", 100, 90),
    ]


def frame_of(video: Path, folder: Path) -> Image.Image:
    made = render_video(video, renditions(folder), probe_video(video, 20))
    with Image.open(made.files[0].path) as image:
        image.load()
        assert image.size == (made.width_px, made.height_px)
        return image


def fields(image: Image.Image) -> list[tuple[int, ...]]:
    rgb = image.convert("RGB").resize((8, 8), Image.Resampling.BOX)
    return [rgb.getpixel(at) for at in ((1, 1), (6, 1), (1, 6), (6, 6))]  # type: ignore[misc]


def are_quarters(image: Image.Image, order: tuple[int, ...] = (0, 1, 2, 3), tolerance: int = 14) -> bool:
    difference = np.array(fields(image)) - np.array(EXPECTED)[list(order)]
    return bool((np.abs(difference) <= tolerance).all())


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


@pytest.mark.parametrize(
    ("name", "arguments", "by_decord"),
    [
        ("a.mp4", X264, True),
        ("a.mov", X264, True),
        ("a.mkv", X264, True),
        ("a.m4v", ("-c:v", "mpeg4", "-q:v", "2"), True),
        ("a.avi", ("-c:v", "mpeg4", "-q:v", "2"), True),
        ("a.webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M"), True),
        ("a.mpg", ("-c:v", "mpeg2video", "-q:v", "2", "-r", "25"), True),
        ("a.ts", X264, False),
        ("a.hevc.mp4", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"), True),
        ("a.av1.mp4", ("-c:v", "libsvtav1", "-preset", "12", "-svtav1-params", "enable-overlays=0"), False),
        ("a.422.mp4", ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv422p"), False),
        ("a.flv", ("-c:v", "flv1", "-q:v", "2"), False),
        ("a.wmv", ("-c:v", "wmv2", "-q:v", "2"), False),
    ],
)
def test_a_video_of_every_kind(tmp_path: Path, name: str, arguments: tuple[str, ...], by_decord: bool) -> None:
    video = encode(tmp_path / name, *arguments)
    facts = probe_video(video, 20)
    assert decord_reads(video, facts) == by_decord
    assert are_quarters(frame_of(video, tmp_path))
    assert (facts.width_px, facts.height_px, facts.orientation) == (320, 240, 1)
    assert facts.duration_ms == pytest.approx(2000, abs=150)
    assert facts.audio is None


def test_both_readers_give_the_same_picture(tmp_path: Path) -> None:
    for name, arguments in (("unsaid.mp4", X264), ("bt709.mp4", X264)):
        graph = quarters_source(size="1280x720")
        if name == "bt709.mp4":
            graph[-1] += (
                ",scale=out_color_matrix=bt709,setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
            )
        video = encode(tmp_path / name, *arguments, source=graph)
        facts = probe_video(video, 20)
        assert facts.color_matrix == (1 if name == "bt709.mp4" else 2)
        theirs = grab_with_ffmpeg(video, facts, (320, 180), timeout_s=60, max_pixels=10**7)
        ours = grab_with_decord(video, (320, 180))
        assert are_quarters(ours)
        assert are_quarters(theirs)
        assert np.abs(np.asarray(ours).astype(int) - np.asarray(theirs)).mean() < 4


@pytest.mark.parametrize("suffix", [".mp4", ".422.mp4"])
def test_a_turned_video_is_shown_upright(tmp_path: Path, suffix: str) -> None:
    pixels = "yuv422p" if "422" in suffix else "yuv420p"
    flat = encode(tmp_path / f"flat{suffix}", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", pixels)
    turned = encode(
        tmp_path / f"turned{suffix}", "-c", "copy", "-metadata:s:v", "rotate=90", source=["-i", f"file:{flat}"]
    )
    facts = probe_video(turned, 20)
    order = {6: (2, 0, 3, 1), 8: (1, 3, 0, 2)}[facts.orientation]
    image = frame_of(turned, tmp_path)
    assert image.size == (240, 320)
    assert are_quarters(image, order)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    source = quarters_source()
    source[-1] += ",setsar=2"
    video = encode(tmp_path / "wide.mp4", *X264, source=source)
    assert probe_video(video, 20).upright_size_px == (640, 240)
    image = frame_of(video, tmp_path)
    assert image.size == (640, 240)
    assert are_quarters(image)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_tone_mapped(tmp_path: Path, transfer: str) -> None:
    """Mid-grey codes of HDR are bright light: shown as they are they would be a dull grey."""
    code = {"smpte2084": 148, "arib-std-b67": 191}[transfer]  # 8-bit codes of 203 cd/m², paper white
    hdr = f"color=#{code:02x}{code:02x}{code:02x}:s=320x240:r=10:d=1,format=gbrp,scale=out_range=tv,format=yuv420p10le"
    video = encode(
        tmp_path / "hdr.mp4",
        *(
            "-c:v",
            "libx265",
            "-preset",
            "ultrafast",
            "-x265-params",
            f"log-level=none:colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc",
        ),
        *("-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc"),
        source=["-f", "lavfi", "-i", hdr],
    )
    facts = probe_video(video, 20)
    assert facts.is_hdr
    assert not decord_reads(video, facts)
    r, g, b = frame_of(video, tmp_path).getpixel((100, 100))  # type: ignore[misc]
    assert max(r, g, b) - min(r, g, b) <= 8
    assert g > 150


def test_a_gif_keeps_its_transparency(tmp_path: Path) -> None:
    first = Image.new("RGBA", (64, 48), (0, 0, 0, 0))
    first.paste((230, 30, 30, 255), (0, 0, 32, 48))
    second = Image.new("RGBA", (64, 48), (30, 200, 30, 255))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second], duration=400, disposal=2)
    facts = probe_video(tmp_path / "a.gif", 20)
    assert facts.codec == "gif"
    made = render_video(tmp_path / "a.gif", renditions(tmp_path), facts)
    assert [file.is_transparent for file in made.files] == [False, True]
    with Image.open(made.files[1].path) as image:
        assert image.getpixel((10, 20)) == pytest.approx((230, 30, 30, 255), abs=16)
        assert image.getpixel((50, 20))[3] == 0  # type: ignore[index]


def test_the_frame_after_a_change_of_scene_is_shown(tmp_path: Path) -> None:
    source = [
        *(
            "-f",
            "lavfi",
            "-i",
            "color=black:s=320x240:r=10:d=3",
            "-f",
            "lavfi",
            "-i",
            "color=#e61e1e:s=320x240:r=10:d=3",
        ),
        *("-filter_complex", "[0][1]concat=n=2"),
    ]
    for name in ("scene.mp4", "scene.ts"):
        video = encode(tmp_path / name, *X264, "-g", "10", source=source)
        assert frame_of(video, tmp_path).getpixel((100, 100)) == pytest.approx((230, 30, 30), abs=14), name


@pytest.mark.parametrize("share", [0.4, 0.8])
def test_a_video_that_is_cut_short_shows_what_it_has(tmp_path: Path, share: float) -> None:
    whole = encode(tmp_path / "whole.mkv", *X264, "-g", "10", source=quarters_source(seconds=6)).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: int(len(whole) * share)])
    assert are_quarters(frame_of(tmp_path / "cut.mkv", tmp_path))


@pytest.mark.parametrize("content", [b"", b"no video " * 100, bytes(5000)], ids=["empty", "text", "zeros"])
def test_what_is_no_video_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    program("ffprobe")
    (tmp_path / "bad.mp4").write_bytes(content)
    with pytest.raises(UnreadableVideo, match=r"bad\.mp4"):
        probe_video(tmp_path / "bad.mp4", 20)


def test_an_index_that_promises_frames_which_are_not_there(tmp_path: Path) -> None:
    whole = encode(tmp_path / "whole.mp4", *X264, "-movflags", "faststart", source=quarters_source(seconds=6))
    facts = probe_video(whole, 20)
    data = whole.read_bytes()
    (tmp_path / "hollow.mp4").write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(UnreadableVideo, match=r"hollow\.mp4"):
        render_video(tmp_path / "hollow.mp4", renditions(tmp_path), facts)


@pytest.mark.parametrize(
    "playlist", ["#EXTM3U\n#EXTINF:5,\n{target}\n#EXT-X-ENDLIST\n", "ffconcat version 1.0\nfile '{target}'\n"]
)
def test_a_list_of_other_files_is_no_video(tmp_path: Path, playlist: str) -> None:
    secret = encode(tmp_path / "secret.ts", *X264)
    (tmp_path / "list.mp4").write_text(playlist.format(target=secret))
    with pytest.raises(UnreadableVideo):
        probe_video(tmp_path / "list.mp4", 20)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    sound = encode(tmp_path / "a.mp4", "-c:a", "aac", source=["-f", "lavfi", "-i", "sine=d=1"])
    with pytest.raises(UnreadableVideo, match="no video stream"):
        probe_video(sound, 20)


def test_sound_beside_the_picture(tmp_path: Path) -> None:
    source = [*quarters_source()[:-2], "-f", "lavfi", "-i", "sine=d=2", *quarters_source()[-2:]]
    video = encode(tmp_path / "a.mp4", *X264, "-c:a", "aac", source=source)
    audio = probe_video(video, 20).audio
    assert audio is not None
    assert (audio.codec, audio.channels) == ("aac", 1)


def test_a_video_that_is_gone_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SourceMissing):
        probe_video(tmp_path / "gone.mp4", 20)


def test_frames_over_the_limit_are_refused(tmp_path: Path) -> None:
    video = encode(tmp_path / "a.mp4", *X264)
    with pytest.raises(TooLarge, match="320 x 240"):
        render_video(video, renditions(tmp_path), probe_video(video, 20), limits=Limits(max_decoded_pixels=1000))


def test_a_name_that_looks_like_an_option(tmp_path: Path) -> None:
    video = encode(tmp_path / "-vf evil'.mp4", *X264)
    assert are_quarters(frame_of(video, tmp_path))
