"""The archive as a stream: what another reader finds in it, in which names, and what ends the reading."""

import hashlib
import io
import os
import subprocess
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from serve_app.services.download_archive import archive_names, safe_name
from serve_app.services.download_info import fill_archives
from serve_app.zip_stream import MISSING_NAME, PIECE_BYTES, ZipMember, zip_pieces

TAKEN = datetime(2024, 3, 5, 12, 30, 10, tzinfo=UTC)


def member(folder: Path, name: str, content: bytes, time: datetime = TAKEN) -> ZipMember:
    path = folder / hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    path.write_bytes(content)
    return ZipMember(name, path, time)


def archive(members: Iterable[ZipMember]) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(b"".join(zip_pieces(members))))


def test_every_file_is_there_unchanged_stored_and_dated(tmp_path: Path) -> None:
    contents = {"写真 é.jpg": os.urandom(3 * PIECE_BYTES + 7), "empty.jpg": b"", "b.mp4": os.urandom(100)}
    read = archive([member(tmp_path, name, content) for name, content in contents.items()])
    assert read.testzip() is None
    assert {info.filename: read.read(info) for info in read.infolist()} == contents
    assert {info.compress_type for info in read.infolist()} == {zipfile.ZIP_STORED}
    assert {info.date_time for info in read.infolist()} == {(2024, 3, 5, 12, 30, 10)}


def test_another_program_reads_it(tmp_path: Path) -> None:
    members = [member(tmp_path, f"é{number}.jpg", os.urandom(2000)) for number in range(3)]
    whole = tmp_path / "a.zip"
    whole.write_bytes(b"".join(zip_pieces(members)))
    script = "import shutil, sys; shutil.unpack_archive(sys.argv[1], sys.argv[2])"
    subprocess.run(["python3", "-c", script, str(whole), str(tmp_path / "out")], check=True)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["é0.jpg", "é1.jpg", "é2.jpg"]


def test_pieces_are_small(tmp_path: Path) -> None:
    pieces = [len(piece) for piece in zip_pieces([member(tmp_path, "a.mp4", bytes(5 * PIECE_BYTES))])]
    assert max(pieces) < PIECE_BYTES + 1000
    assert len(pieces) == 6


def test_large_members_are_said_in_zip64(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    contents = {"large.mp4": os.urandom(2000), "small.jpg": b"small"}
    read = archive([member(tmp_path, name, content) for name, content in contents.items()])
    assert {info.filename: read.read(info) for info in read.infolist()} == contents
    assert {info.filename: info.extract_version for info in read.infolist()} == {"large.mp4": 45, "small.jpg": 45}


@pytest.mark.long
def test_more_than_four_gigabytes_are_said_in_zip64(tmp_path: Path) -> None:
    # a file with a hole: 4 GiB that take no disk, and no second to read
    large = ZipMember("large.mp4", tmp_path / "large", TAKEN)
    with (tmp_path / "large").open("wb") as file:
        file.truncate(2**32 + 5)
    tail, length = b"", 0
    for piece in zip_pieces([large, member(tmp_path, "small.jpg", b"small")]):
        length += len(piece)
        tail = (tail + piece)[-1000:]
    assert length > 2**32 + 5
    assert b"PK\x06\x06" in tail  # the end record of zip64
    assert (2**32 + 5).to_bytes(8, "little") in tail


def test_what_cannot_be_read_is_named_in_the_archive(tmp_path: Path) -> None:
    members = [
        ZipMember("gone.jpg", tmp_path / "gone", TAKEN),
        member(tmp_path, "here.jpg", b"here"),
        ZipMember("folder.jpg", tmp_path, TAKEN),
        ZipMember("outside.jpg", None, TAKEN),
    ]
    read = archive(members)
    assert read.namelist() == ["here.jpg", MISSING_NAME]
    assert read.read(MISSING_NAME).decode().splitlines()[1:] == ["gone.jpg", "folder.jpg", "outside.jpg"]


def test_an_end_in_the_middle_closes_the_file(tmp_path: Path) -> None:
    pieces = zip_pieces([member(tmp_path, "a.mp4", bytes(5 * PIECE_BYTES))])
    next(pieces)
    assert open_files(tmp_path) == 1
    pieces.close()
    assert open_files(tmp_path) == 0


def open_files(folder: Path) -> int:
    return sum(Path(file.path).is_relative_to(folder) for file in psutil.Process().open_files())


def test_times_beyond_what_a_zip_can_say(tmp_path: Path) -> None:
    times = [datetime(1900, 1, 1, tzinfo=UTC), datetime(2500, 1, 1, tzinfo=UTC)]
    read = archive([member(tmp_path, f"{time.year}.jpg", b"x", time) for time in times])
    assert [info.date_time[0] for info in read.infolist()] == [1980, 2107]


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["a.jpg", "a.jpg", "a.jpg"], ["a.jpg", "a+1.jpg", "a+2.jpg"]),
        (["a.jpg", "A.JPG"], ["a.jpg", "A+1.JPG"]),
        (["a.jpg", "a.jpg", "a+1.jpg"], ["a.jpg", "a+1.jpg", "a+1+1.jpg"]),
        (["a+1.jpg", "a.jpg", "a.jpg"], ["a+1.jpg", "a.jpg", "a+2.jpg"]),
        (["é.jpg", "e\u0301.jpg"], ["é.jpg", "e\u0301+1.jpg"]),
        (["a", "a"], ["a", "a+1"]),
    ],
)
def test_names_are_unique_wherever_they_are_unpacked(names: list[str], unique: list[str]) -> None:
    assert list(archive_names(names)) == unique


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "file"),
        ("", "file"),
        ("c:\\a.jpg", "c__a.jpg"),
        ("a\0b\n.jpg", "a_b_.jpg"),
        ("a.jpg. ", "a.jpg"),
        ("写真.jpg", "写真.jpg"),
    ],
)
def test_names_lead_nowhere(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_an_archive_is_full_once_it_has_passed_its_size() -> None:
    sizes = [("a", 4), ("b", 6), ("c", 1), ("d", 20), ("e", 1)]
    assert [(one.size_bytes, one.asset_ids) for one in fill_archives(sizes, 10)] == [
        (11, ["a", "b", "c"]),
        (20, ["d"]),
        (1, ["e"]),
    ]
    assert fill_archives([], 10) == []
