"""Text in pictures, the whole way on both databases: read by real models, kept, searched for, and forgotten."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, func, select

from cluster.db.queries.asset_search import AssetFilter, search
from cluster.db.queries.printed_text import text_of
from cluster.db.tables.asset import AssetFile, AssetJobStatus
from cluster.db.tables.learned import AssetOcr, OcrSearch
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tasks import queue_all
from tasks.jobs import read_text, reconcile
from tests.clips import ffmpeg
from tests.inline_stack import Stack, inline_stack, names_seen
from tests.printed_text import as_jpeg, picture_of

pytest.importorskip("rapidocr")

OTHERS_OFF = {"clip": {"enabled": False}, "facialRecognition": {"enabled": False}}


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """One that reads texts and learns nothing else."""
    with inline_stack(database_url, tmp_path, IMMICH_MACHINE_LEARNING_ENABLED="true") as stack:
        stack.set_config(machineLearning=OTHERS_OFF)
        yield stack


def sign(*words: str) -> bytes:
    return as_jpeg(picture_of(*((word, (40, 120 + 150 * at)) for at, word in enumerate(words))))


def texts(stack: Stack, asset_id: str) -> list[str]:
    with stack.database.reader() as session:
        return [line.text for line in text_of(session, asset_id)]


def found(stack: Stack, wanted: str) -> list[str]:
    with stack.database.reader() as session:
        return [
            asset.id for asset, _ in search(session, AssetFilter(owner_id=stack.owner, has_text=wanted), (), limit=9)
        ]


def count(stack: Stack, table: type[Any], *conditions: Any) -> int:
    with stack.database.reader() as session:
        return session.scalar(select(func.count()).select_from(table).where(*conditions)) or 0


def run_all(stack: Stack, force: bool) -> list[str | None]:
    """The assets that one press of a button had read."""
    stack.seen.clear()
    stack.enqueue(NewJob(JobName.OCR_QUEUE_ALL, {"force": force}))
    stack.drain()
    return sorted(asset_id for name, asset_id in stack.seen if name is JobName.OCR and asset_id is not None)


def test_an_uploaded_sign_is_found_by_its_words(stack: Stack) -> None:
    platform = stack.upload("platform.jpg", sign("PLATFORM 9", "to Hogsmeade"))
    plain = stack.upload("plain.jpg", as_jpeg(np.full((300, 400, 3), 128, np.uint8)))
    hidden = stack.upload("hidden.jpg", sign("PLATFORM 9"), visibility="hidden")

    stack.drain()

    assert stack.failed() == {}
    assert texts(stack, platform) == ["PLATFORM 9", "to Hogsmeade"]
    assert texts(stack, plain) == texts(stack, hidden) == []
    assert found(stack, "platform") == found(stack, "Hogsmeede") == found(stack, "pláTform 9 TO") == [platform]
    assert found(stack, "airport") == found(stack, "") == []
    assert JobName.OCR in names_seen(stack, hidden)
    assert count(stack, AssetJobStatus, AssetJobStatus.ocr_at.is_not(None)) == 2
    assert count(stack, OcrSearch) == 1
    with stack.database.reader() as session:
        line = text_of(session, platform)[0]
    assert 0 < line.x1 < 0.1 < line.x2 < 0.6
    assert 0.05 < line.y1 < line.y3 < 0.3
    assert 0.5 < line.box_score < 1
    assert 0.9 < line.text_score <= 1


def test_reading_again_replaces_what_was_read(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", sign("OLD WORDS", "second line"))
    stack.drain()
    for picture, lines in ((sign("NEW"), ["NEW"]), (as_jpeg(np.full((300, 400, 3), 128, np.uint8)), [])):
        stack.files(asset_id)["preview"].write_bytes(picture)
        stack.enqueue(asset_job(JobName.OCR, asset_id))
        stack.drain()
        assert texts(stack, asset_id) == lines
        assert found(stack, "old words") == []
        assert count(stack, OcrSearch) == len(lines)


def test_a_video_is_read_by_its_preview(stack: Stack, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=gray:size=320x240:duration=1", tmp_path / "clip.mp4")
    asset_id = stack.upload("clip.mp4", tmp_path / "clip.mp4", type="VIDEO")
    stack.drain()
    stack.files(asset_id)["preview"].write_bytes(sign("MOVING"))
    stack.enqueue(asset_job(JobName.OCR, asset_id))
    stack.drain()
    assert texts(stack, asset_id) == ["MOVING"]


def test_buttons_queue_what_they_say(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queue_all, read_text):
        monkeypatch.setattr(module, "PAGE", 2)
    read = sorted(stack.upload(f"{word}.jpg", sign(word)) for word in ("ONE", "TWO", "THREE", "FOUR"))
    hidden = stack.upload("hidden.jpg", sign("FIVE"))
    trashed = stack.upload("trashed.jpg", sign("SIX"))
    bare = stack.upload("bare.jpg", sign("SEVEN"))
    stack.drain()
    stack.change(hidden, visibility="hidden")
    stack.change(trashed, deleted_at=stack.clock.now(), status="trashed")
    with stack.database.session() as session:
        session.execute(delete(AssetFile).where(AssetFile.asset_id == bare))
    assert run_all(stack, force=False) == []
    assert count(stack, AssetOcr) == 7

    with stack.database.session() as session:
        session.get_one(AssetJobStatus, read[1]).ocr_at = None
        session.execute(delete(AssetJobStatus).where(AssetJobStatus.asset_id == read[3]))
    assert run_all(stack, force=False) == [read[1], read[3]]

    assert run_all(stack, force=True) == read
    assert count(stack, AssetOcr) == count(stack, OcrSearch) == 4  # what is hidden or in the trash is forgotten
    assert count(stack, AssetJobStatus, AssetJobStatus.ocr_at.is_not(None)) == 4


def test_switched_off_nothing_is_read_and_the_chain_goes_on(stack: Stack) -> None:
    stack.set_config(machineLearning={**OTHERS_OFF, "ocr": {"enabled": False}})
    asset_id = stack.upload("a.jpg", sign("SECRET"))
    stack.drain()
    assert JobName.OCR in names_seen(stack, asset_id)
    assert run_all(stack, force=True) == run_all(stack, force=False) == []
    stack.enqueue(reconcile.reconcile_asked())
    stack.drain()
    assert names_seen(stack, asset_id) == []
    assert count(stack, AssetOcr) == count(stack, AssetJobStatus, AssetJobStatus.ocr_at.is_not(None)) == 0

    stack.set_config(machineLearning=OTHERS_OFF)
    stack.enqueue(reconcile.reconcile_asked())
    stack.drain()
    assert texts(stack, asset_id) == ["SECRET"]


def test_missing_weights_are_waited_for(stack: Stack) -> None:
    stack.set_config(machineLearning={**OTHERS_OFF, "ocr": {"modelName": "KOREAN__PP-OCRv5_mobile"}})
    asset_id = stack.upload("a.jpg", sign("STATION"))
    stack.drain(leave_delayed=True)
    assert "put det.onnx and rec.onnx there" in stack.failed()[asset_id].error
    assert texts(stack, asset_id) == []

    bundled = read_text.ocr_files(Path("/nowhere"), "PP-OCRv6_small")
    folder = stack.media / "models" / "ocr" / "KOREAN__PP-OCRv5_mobile"
    folder.mkdir(parents=True)
    (folder / "det.onnx").symlink_to(bundled.detection)
    (folder / "rec.onnx").symlink_to(bundled.recognition)
    stack.end_delays()
    stack.drain()
    assert texts(stack, asset_id) == ["STATION"]


def test_a_picture_that_is_gone_or_broken_fails_alone(stack: Stack) -> None:
    ids = [stack.upload(f"{name}.jpg", sign(name)) for name in ("GONE", "BROKEN", "WHOLE", "BARE")]
    stack.drain()
    gone, broken, whole, bare = ids
    stack.files(gone)["preview"].unlink()
    stack.files(broken)["preview"].write_bytes(b"no picture")
    with stack.database.session() as session:
        session.execute(delete(AssetFile).where(AssetFile.asset_id == bare))
        session.execute(delete(AssetOcr))
    stack.enqueue(*(asset_job(JobName.OCR, asset_id) for asset_id in [*ids, "nobody's"]))
    stack.drain()
    reasons = {asset_id: record.error for asset_id, record in stack.failed().items()}
    assert reasons.keys() == {gone, broken, bare}
    assert "GONE.jpg" in reasons[gone]
    assert "not on disk" in reasons[gone]
    assert "BROKEN.jpg" in reasons[broken]
    assert "BARE.jpg: it has no preview" in reasons[bare]
    assert texts(stack, whole) == ["WHOLE"]


def test_an_asset_deleted_meanwhile_leaves_nothing(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", sign("SHORT LIFE"))
    stack.drain()
    with stack.database.session() as session:
        session.delete(stack.asset(asset_id))
    assert count(stack, AssetOcr) == count(stack, OcrSearch) == 0
