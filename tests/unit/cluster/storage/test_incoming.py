"""Uploads on their way to disk: whatever dies when, the clean-up finds it and spares what a row names."""

import hashlib
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.errors import NoSpace
from cluster.storage.incoming import IncomingFile, cleanup_incoming
from cluster.storage.layout import StorageLayout

USER = "11111111-1111-4111-8111-111111111111"
TAKEN = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)
LATER = datetime.now(UTC) + timedelta(hours=1)


@pytest.fixture
def layout(tmp_path: Path) -> StorageLayout:
    return StorageLayout(tmp_path)


def a_file(layout: StorageLayout) -> IncomingFile:
    file = IncomingFile(layout, USER, uuid.uuid4(), ".jpg")
    file.write(b"first ")
    file.write(bytearray(b"second"))
    file.finish()
    return file


def files_below(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_what_is_written_is_counted_and_hashed(layout: StorageLayout) -> None:
    file = a_file(layout)
    assert file.size_bytes == 12
    assert file.sha1 == hashlib.sha1(b"first second").digest()
    file.discard()


def test_an_accepted_file_has_its_final_name_alone_and_its_own_time(layout: StorageLayout) -> None:
    file = a_file(layout)
    file.publish(TAKEN)
    file.settle()
    assert files_below(layout.media_root) == [file.final_path]
    assert file.final_path.read_bytes() == b"first second"
    assert file.final_path.stat().st_mtime == TAKEN.timestamp()


def test_a_discarded_file_leaves_nothing_before_or_after_it_was_published(layout: StorageLayout) -> None:
    early, late = a_file(layout), a_file(layout)
    late.publish(TAKEN)
    early.discard()
    late.discard()
    IncomingFile(layout, USER, uuid.uuid4(), ".jpg").discard()
    assert files_below(layout.media_root) == []


def test_a_changed_extension_reaches_both_names(layout: StorageLayout) -> None:
    file = a_file(layout)
    file.change_extension(".heic")
    assert [path.suffix for path in files_below(layout.media_root)] == [".heic"]
    file.publish(TAKEN)
    file.settle()
    assert files_below(layout.media_root) == [file.final_path]
    assert file.final_path.suffix == ".heic"


def test_a_file_system_without_hard_links_is_served_by_renaming(
    layout: StorageLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    file = a_file(layout)
    file.publish(TAKEN)
    file.settle()
    assert files_below(layout.media_root) == [file.final_path]


def test_a_full_disk_says_so(layout: StorageLayout) -> None:
    file = IncomingFile(layout, USER, uuid.uuid4(), ".jpg")
    file.write(b"x")
    file.leave()
    file._file = os.fdopen(os.open("/dev/full", os.O_WRONLY), "wb", buffering=0)
    with pytest.raises(NoSpace):
        file.write(b"y")
    file.discard()
    assert files_below(layout.media_root) == []


def test_clean_up_deletes_what_died_and_spares_what_a_row_names(layout: StorageLayout) -> None:
    half_written, without_row, with_row, settled = (a_file(layout) for _ in range(4))
    for file in (without_row, with_row, settled):
        file.publish(TAKEN)
    settled.settle()
    for file in (half_written, without_row, with_row):
        file.leave()

    deleted = cleanup_incoming(layout, LATER, in_use=lambda path: path == with_row.final_path)

    assert deleted == 3
    assert files_below(layout.media_root) == sorted([with_row.final_path, settled.final_path])


def test_clean_up_leaves_uploads_in_progress_alone_even_when_their_photo_is_old(layout: StorageLayout) -> None:
    file = a_file(layout)
    file.publish(TAKEN)
    assert cleanup_incoming(layout, datetime.now(UTC) - timedelta(hours=1), in_use=lambda path: False) == 0
    file.settle()
    assert files_below(layout.media_root) == [file.final_path]
