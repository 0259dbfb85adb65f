"""Compressed files are whole or not there."""

import gzip
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.errors import ProgramFailed
from tasks.backup import archive
from tasks.backup.archive import ArchiveBroken, CompressionFailed, delete_leftovers, read_archive, write_archive

PIECES = [bytes([number]) * 300_000 for number in range(20)] + [os.urandom(100_000)]


def test_what_is_written_reads_back_here_and_with_gzip(tmp_path: Path) -> None:
    made = write_archive(tmp_path / "new" / "a.gz", PIECES)

    assert b"".join(read_archive(made.path)) == b"".join(PIECES) == gzip.decompress(made.path.read_bytes())
    assert (made.content_bytes, made.size_bytes) == (len(b"".join(PIECES)), made.path.stat().st_size)
    assert [path.name for path in made.path.parent.iterdir()] == ["a.gz"]


def test_an_error_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield PIECES[0]
        raise ValueError("the dump broke")

    with pytest.raises(ValueError, match="the dump broke"):
        write_archive(tmp_path / "a.gz", breaking())
    assert list(tmp_path.iterdir()) == []


def test_gzip_that_dies_is_told_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "gzip"
    fake.write_text("#!/bin/sh\nhead -c 1000 >/dev/null\necho 'No space left on device' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    with pytest.raises(ProgramFailed, match="No space left on device"):
        write_archive(tmp_path / "out" / "a.gz", PIECES)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_file_that_does_not_read_back_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "read_archive", lambda path: iter([b"".join(PIECES)[:-1]]))  # a disk that lies

    with pytest.raises(CompressionFailed):
        write_archive(tmp_path / "a.gz", PIECES)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_or_changed_file_is_broken(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(PIECES))
    changed = whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:]
    for name, content in {
        "cut": whole[:-1],
        "half": whole[: len(whole) // 2],
        "changed": changed,
        "none": b"x",
    }.items():
        (tmp_path / f"{name}.gz").write_bytes(content)
        with pytest.raises(ArchiveBroken):
            list(read_archive(tmp_path / f"{name}.gz"))


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_bytes(b"SELECT 1;")
    assert b"".join(read_archive(tmp_path / "a.sql")) == b"SELECT 1;"


def test_leftovers_go_and_what_is_being_written_stays(tmp_path: Path) -> None:
    (tmp_path / "dead.gz.tmp").write_bytes(b"1")
    (tmp_path / "good.gz").write_bytes(b"1")
    seen = []

    def writing() -> Iterator[bytes]:
        yield PIECES[0]
        seen.extend(path.name for path in delete_leftovers(tmp_path))
        yield PIECES[1]

    made = write_archive(tmp_path / "mine.gz", writing())

    assert seen == ["dead.gz.tmp"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good.gz", "mine.gz"]
    assert b"".join(read_archive(made.path)) == PIECES[0] + PIECES[1]


def test_a_writer_that_is_killed_leaves_a_leftover_that_goes(tmp_path: Path) -> None:
    process = multiprocessing.get_context("spawn").Process(target=write_for_ever, args=(tmp_path / "a.gz",))
    process.start()
    leftover = tmp_path / "a.gz.tmp"
    until_s = time.monotonic() + 20
    while not (leftover.exists() and leftover.stat().st_size > 0) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert delete_leftovers(tmp_path) == []
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()

    assert [path.name for path in tmp_path.iterdir()] == ["a.gz.tmp"]
    until_s = time.monotonic() + 20
    while leftover.exists() and time.monotonic() < until_s:  # gzip, which has the file too, dies with its parent
        delete_leftovers(tmp_path)
        time.sleep(0.02)
    assert list(tmp_path.iterdir()) == []


def write_for_ever(final: Path) -> None:
    def pieces() -> Iterator[bytes]:
        while True:
            yield os.urandom(100_000)
            time.sleep(0.01)

    write_archive(final, pieces())
