"""The stay-open exiftool against exiftool's own command line, hostile names, and a child that dies or hangs."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import piexif
import pytest
from PIL import Image

from cluster.errors import ProgramFailed, ProgramMissing, ProgramTimeout
from tasks.media.exif import FileStat, extract_facts
from tasks.media.exiftool import FILES_PER_CHILD, ExifTool, argument_line
from tests.programs import program
from tests.shared_media import media_dir


@pytest.fixture
def exiftool() -> Iterator[ExifTool]:
    with ExifTool(program("exiftool")) as tool:
        yield tool


def photo(path: Path, make: str = "Hand-made", **exif_ifd: object) -> Path:
    """A small JPEG with a camera maker and whatever else the Exif block is given by name."""
    tags = {getattr(piexif.ExifIFD, name): value for name, value in exif_ifd.items()}
    exif = piexif.dump({"0th": {piexif.ImageIFD.Make: make, piexif.ImageIFD.Orientation: 6}, "Exif": tags})
    Image.new("RGB", (40, 30), "red").save(path, "JPEG", exif=exif)
    return path


def said_by_command_line(path: Path, *tags: str) -> dict[str, object]:
    command = ["exiftool", "-config", "", "-json", "-use", "MWG", *(f"-{tag}" for tag in tags), str(path)]
    answer: dict[str, object] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[0]
    answer.pop("SourceFile")
    return answer


def is_alive(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_tags_agree_with_the_command_line(exiftool: ExifTool, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg", DateTimeOriginal="2020:02:29 23:59:58", ExposureTime=(1, 250), FNumber=(28, 10))
    wanted = ("Make", "DateTimeOriginal", "ExposureTime", "FNumber", "Orientation#", "ImageSize", "MIMEType")

    tags = exiftool.read(path)

    said = said_by_command_line(path, *wanted)
    assert len(said) == len(wanted)
    assert {name: tags[name] for name in said} == said
    assert tags["Orientation"] == 6


def test_real_photos_agree_with_the_command_line(exiftool: ExifTool) -> None:
    tags = ("Make", "Model", "LensID", "ISO", "FNumber", "ExposureTime", "Rating", "ImageSize", "DateTimeOriginal")
    for path in sorted(media_dir().rglob("*.*")):
        if path.suffix not in {".jpg", ".heic", ".png", ".webp", ".avif", ".jxl"}:
            continue
        read = exiftool.read(path)
        said = said_by_command_line(path, *tags, "GPSLatitude#", "GPSLongitude#")
        assert {name: read.get(name) for name in said} == said, path.name


def test_keywords_rating_position_and_sidecar_dates_of_the_shared_photos(exiftool: ExifTool) -> None:
    folder = media_dir() / "metadata"
    assert exiftool.read(folder / "tags/picasa.jpg")["Keywords"] == ["Frost", "Yard"]
    assert exiftool.read(folder / "rating/mongolels.jpg")["Rating"] == 3
    assert exiftool.read(folder / "gps-position/thompson-springs.jpg")["GPSLatitude"] == pytest.approx(39.115)
    # These are UTF-16 with a packet mark, which exiftool by itself reads nothing from.
    assert exiftool.read(folder / "xmp/dates/2000.xmp")["CreateDate"] == "2000:09:27 14:35:33+02:00"
    assert str(exiftool.read(folder / "xmp/dates/2010.xmp")["CreateDate"]).startswith("2010:")


@pytest.mark.parametrize(
    "name",
    [
        "line\n-Make=evil\n.jpg",
        "end\n-execute\n-ver\n-execute1234567890\n.jpg",
        "return\r.jpg",
        'quote"back\\slash\n.jpg',
        "dollar$ at@ and\nnewline.jpg",
        "dollar$at@2x.jpg",
        "-ver",
        "-stay_open",
        "@",
        "# comment.jpg",
        "#[CSTR]x\\n.jpg",
        " leading and trailing ",
        "pipe; touch pwned |",
        "glob *?[a].jpg",
        "100%d.jpg",
        "Ünïcödé 写真 🌻.jpg",
    ],
)
def test_a_name_means_its_file_and_nothing_else(exiftool: ExifTool, tmp_path: Path, name: str) -> None:
    path = photo(tmp_path / name, make="the right one")
    before = path.read_bytes()

    assert exiftool.read(path)["Make"] == "the right one"
    # nothing of the name was left behind for the next question
    assert exiftool.read(photo(tmp_path / "next.jpg", make="next"))["Make"] == "next"
    assert path.read_bytes() == before
    assert sorted(child.name for child in tmp_path.iterdir()) == sorted([name, "next.jpg"])


def test_a_name_that_is_no_utf8_is_read(exiftool: ExifTool, tmp_path: Path) -> None:
    path = photo(Path(os.fsdecode(os.fsencode(tmp_path) + b"/latin-\xe9\n.jpg")))
    assert exiftool.read(path)["Make"] == "Hand-made"


def test_only_names_with_line_ends_are_escaped() -> None:
    assert argument_line(Path("/a/b@2x $.jpg")) == b"/a/b@2x $.jpg"
    assert argument_line(Path("/a/b\n.jpg")) == rb"#[CSTR]/a/b\n.jpg"
    assert argument_line(Path("/a/$\n.jpg")) is None


def test_a_value_cannot_end_the_answer(exiftool: ExifTool, tmp_path: Path) -> None:
    for number in (1, 1234567890):
        path = photo(tmp_path / f"{number}.jpg", make=f"x\n{{ready{number}}}\n")
        assert str(exiftool.read(path)["Make"]).startswith("x")
    assert exiftool.read(photo(tmp_path / "next.jpg"))["Make"] == "Hand-made"


@pytest.mark.parametrize("content", [b"", b"\xff\xd8\xff", b"not a photo", bytes(range(256)) * 12])
def test_an_unreadable_file_has_no_tags_and_a_warning(
    exiftool: ExifTool, tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.jpg").write_bytes(content)
    with caplog.at_level(logging.WARNING):
        tags = exiftool.read(tmp_path / "broken.jpg")
    assert tags.get("ImageSize") is None
    assert tags or "broken.jpg" in caplog.text


def test_a_missing_file_a_folder_and_a_fifo_have_no_tags(exiftool: ExifTool, tmp_path: Path) -> None:
    photo(tmp_path / "inside.jpg")
    os.mkfifo(tmp_path / "fifo.jpg")
    for path in (tmp_path / "missing.jpg", tmp_path, tmp_path / "fifo.jpg"):
        assert exiftool.read(path, timeout_s=5) == {}
    assert exiftool.process_id is None  # exiftool was not even asked


def test_a_killed_child_is_replaced(exiftool: ExifTool, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    exiftool.read(path)
    first = exiftool.process_id
    assert first is not None
    os.killpg(first, signal.SIGKILL)

    assert exiftool.read(path)["Make"] == "Hand-made"
    assert exiftool.process_id not in (None, first)


def test_a_child_that_hangs_is_a_timeout_and_the_next_read_works(exiftool: ExifTool, tmp_path: Path) -> None:
    path = photo(tmp_path / "a.jpg")
    exiftool.read(path)
    stopped = exiftool.process_id
    assert stopped is not None
    os.kill(stopped, signal.SIGSTOP)

    began = time.monotonic()
    with pytest.raises(ProgramTimeout, match=r"0\.5 s"):
        exiftool.read(path, timeout_s=0.5)

    assert 0.5 <= time.monotonic() - began < 3
    assert not is_alive(stopped)
    assert exiftool.read(path)["Make"] == "Hand-made"


DIES_OF_ONE_FILE = """#!/bin/bash
while IFS= read -r line; do
    [[ $line == *evil* ]] && kill -KILL 0
    printf '%s\\n' "$line"
done | exiftool "$@"
"""
DIES_AT_ONCE = """#!/bin/bash
echo "Can't locate Image/ExifTool.pm" >&2
exit 2
"""


def script(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def test_a_file_that_every_child_dies_of_is_unreadable(
    exiftool: ExifTool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with ExifTool(script(tmp_path / "exiftool", DIES_OF_ONE_FILE)) as fragile:
        assert fragile.read(photo(tmp_path / "evil.jpg"), timeout_s=20) == {}
        assert "evil.jpg" in caplog.text
        assert fragile.read(photo(tmp_path / "a.jpg"), timeout_s=20)["Make"] == "Hand-made"


def test_a_program_that_always_dies_is_no_files_fault(tmp_path: Path) -> None:
    with ExifTool(script(tmp_path / "exiftool", DIES_AT_ONCE)) as broken:
        for attempt in (
            lambda: broken.read(photo(tmp_path / "a.jpg"), timeout_s=20),
            lambda: broken.edit_xmp(None, ["-XMP:Rating=3"], timeout_s=20),
        ):
            with pytest.raises(ProgramFailed, match=r"ended with 2: Can't locate") as failed:
                attempt()
            assert failed.value.retryable


def test_without_exiftool_the_error_says_what_to_install(tmp_path: Path) -> None:
    with ExifTool("no-such-exiftool") as missing, pytest.raises(ProgramMissing, match="libimage-exiftool-perl"):
        missing.read(photo(tmp_path / "a.jpg"))


def test_the_child_is_renewed_after_many_files(
    exiftool: ExifTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert FILES_PER_CHILD > 100
    monkeypatch.setattr("tasks.media.exiftool.FILES_PER_CHILD", 2)
    path = photo(tmp_path / "a.jpg")
    children = []
    for _ in range(4):
        exiftool.read(path)
        children.append(exiftool.process_id)
    assert children[0] == children[1] != children[2] == children[3]


def test_no_child_outlives_a_killed_parent(tmp_path: Path) -> None:
    program("exiftool"), program("setpriv")
    path = photo(tmp_path / "a.jpg")
    code = (
        "import sys, time; from pathlib import Path; from tasks.media.exiftool import ExifTool\n"
        "tool = ExifTool(); tool.read(Path(sys.argv[1])); print(tool.process_id, flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, cwd=root) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.kill()
    deadline = time.monotonic() + 5
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def test_no_user_config_is_run(exiftool: ExifTool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ExifTool_config").write_text(f'open(F, ">{tmp_path}/ran"); 1;')
    monkeypatch.setenv("HOME", str(tmp_path))
    assert exiftool.read(photo(tmp_path / "a.jpg"))["Make"] == "Hand-made"
    assert not (tmp_path / "ran").exists()


def test_a_utf16_sidecar_is_read(exiftool: ExifTool, tmp_path: Path) -> None:
    packet = (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreateDate="2001-02-03T04:05:06+02:00" xmp:Rating="4"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    for encoding in ("utf-8", "utf-16", "utf-16-be"):
        bom = b"\xfe\xff" if encoding == "utf-16-be" else b""
        sidecar = tmp_path / f"{encoding}\n$.xmp"
        sidecar.write_bytes(bom + packet.encode(encoding))
        tags = exiftool.read(sidecar)
        assert (tags["CreateDate"], tags["Rating"]) == ("2001:02:03 04:05:06+02:00", 4), encoding


def test_an_iphone_photo_from_file_to_facts(exiftool: ExifTool) -> None:
    path = media_dir() / "formats/heic/IMG_2682.heic"
    on_disk = path.stat()
    modified = datetime.fromtimestamp(on_disk.st_mtime, UTC)
    facts = extract_facts(
        exiftool.read(path), None, None, FileStat(on_disk.st_size, modified, None, modified), name=path.name
    )

    assert facts.taken_at == datetime(2019, 3, 21, 16, 4, 22, 348000, UTC)
    assert facts.local_date_time == datetime(2019, 3, 21, 11, 4, 22, 348000, UTC)
    assert facts.time_zone == "America/Chicago"
    assert (facts.width_px, facts.height_px, facts.orientation) == (4032, 3024, "1")
    assert (facts.make, facts.model, facts.iso, facts.exposure_time) == ("Apple", "iPhone 7", 20, "1/887")
    assert facts.profile_description == "Display P3"
