"""Groups of what looks alike, on both databases: made by real embeddings' distances, merged, left, and never doubled.

One test goes the whole way from uploads through the tiny CLIP; the others say themselves where a photo lies.
"""

import uuid
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy import select

from cluster.db.queries.embeddings import EmbeddingKind, put
from cluster.db.tables.asset import Asset, AssetJobStatus
from cluster.db.tables.stack import Stack as StackRow
from cluster.db.tables.user import User
from cluster.db.upsert import upsert
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tasks import queue_all
from tasks.jobs import detect_duplicates, reconcile
from tests.drawn_scenes import KINDS, draw_scene
from tests.figures import FIGURES
from tests.inline_stack import Stack, inline_stack, names_seen
from tests.tiny_models import CLIP, put_clip

OTHERS_OFF = {"facialRecognition": {"enabled": False}, "ocr": {"enabled": False}}


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    with inline_stack(database_url, tmp_path) as stack:
        yield stack


@pytest.fixture
def uploads(stack: Stack) -> "Uploads":
    return Uploads(stack)


class Uploads:
    """Photos that are through with everything but the comparison, with embeddings as a test wants them."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def add(self, direction: NDArray[np.float32] | None, **columns: Any) -> str:
        """A row alone; `direction` None: without an embedding."""
        asset_id, now = str(uuid.uuid4()), self.stack.clock.now()
        row = {
            **{"id": asset_id, "owner_id": self.stack.owner, "type": "IMAGE", "checksum": asset_id.encode()[:20]},
            **{"original_path": f"/{asset_id}.jpg", "original_file_name": f"{asset_id}.jpg"},
            **dict.fromkeys(
                ("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at"), now
            ),
        }
        with self.stack.database.session() as session:
            session.add(Asset(**row | columns))
        if direction is not None:
            self.embed(asset_id, direction)
        return asset_id

    def embed(self, asset_id: str, direction: NDArray[np.float32], model: str = CLIP.name) -> None:
        with self.stack.database.session() as session:
            put(session, EmbeddingKind.SMART_SEARCH, model, {asset_id: direction})

    def compare(self, *asset_ids: str, off: bool = False) -> None:
        """One after the other, in this order. The model stays off: what it would say is there."""
        self.stack.set_config(machineLearning={"enabled": not off, "duplicateDetection": {"enabled": True}})
        for asset_id in asset_ids:
            self.stack.enqueue(asset_job(JobName.ASSET_DETECT_DUPLICATES, asset_id))
            self.stack.drain()

    def groups(self) -> set[frozenset[str]]:
        """Who is with whom."""
        with self.stack.database.reader() as session:
            rows = session.execute(select(Asset.duplicate_id, Asset.id).where(Asset.duplicate_id.is_not(None)))
            by_group: dict[str | None, set[str]] = {}
            for group, asset_id in rows:
                by_group.setdefault(group, set()).add(asset_id)
        return {frozenset(members) for members in by_group.values()}

    def compared(self) -> set[str]:
        with self.stack.database.reader() as session:
            compared = AssetJobStatus.duplicates_detected_at.is_not(None)
            return set(session.scalars(select(AssetJobStatus.asset_id).where(compared)))


def towards(degrees: float) -> NDArray[np.float32]:
    """Directions in a plane: 8 degrees apart is a cosine distance of 0.0097, 9 of 0.0123."""
    return np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0, 0], np.float32)


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def copies(picture: Image.Image) -> Sequence[bytes]:
    """Encoded anew, scaled, cropped."""
    width, height = picture.size
    return [
        jpeg(picture, quality=40),
        jpeg(picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS)),
        jpeg(picture.crop((width // 100, height // 100, width - width // 100, height - height // 100))),
    ]


def test_uploaded_copies_stand_together_and_different_photos_do_not(database_url: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    put_clip(tmp_path / "models")
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(tmp_path / "models")}
    chance, wanted = np.random.default_rng(12), set()
    with inline_stack(database_url, tmp_path, **environ) as stack:
        stack.set_config(machineLearning=OTHERS_OFF)
        for number, (colour, shape) in enumerate(KINDS):
            scene, name = draw_scene(chance, colour, shape, (480, 360)), f"{colour} {shape}"
            photos = [jpeg(scene), *(copies(scene) if number % 6 == 0 else ())]
            family = [stack.upload(f"{name} {at}.jpg", photo) for at, photo in enumerate(photos)]
            if len(family) > 1:
                wanted.add(frozenset(family))

        stack.drain(timeout_s=100)

        assert stack.failed() == {}
        assert Uploads(stack).groups() == wanted
        FIGURES.append(
            f"{len(wanted)} drawn scenes with a copy encoded anew, one of half the size and one cropped, among "
            f"{len(KINDS) - len(wanted)} others: {len(Uploads(stack).groups())} groups, each with its copies alone"
        )


def test_the_limit_counts_and_groups_grow_together(uploads: Uploads) -> None:
    at = {degrees: uploads.add(towards(degrees)) for degrees in (0, 9, 17, 26, 34)}
    uploads.compare(at[0])
    assert uploads.groups() == set()
    uploads.compare(at[17], at[34])
    assert uploads.groups() == {frozenset({at[9], at[17]}), frozenset({at[26], at[34]})}

    between = uploads.add(towards(21.5))
    uploads.compare(between)

    assert uploads.groups() == {frozenset({at[9], at[17], at[26], at[34], between})}
    assert uploads.compared() == {*at.values(), between}


def test_a_group_keeps_its_name_and_one_left_alone_leaves_it(uploads: Uploads) -> None:
    first, second = uploads.add(towards(0)), uploads.add(towards(5))
    uploads.compare(first)
    named = uploads.stack.asset(first).duplicate_id
    uploads.compare(second, first)
    assert uploads.stack.asset(second).duplicate_id == uploads.stack.asset(first).duplicate_id == named

    uploads.stack.change(second, deleted_at=uploads.stack.clock.now(), status="trashed")
    uploads.compare(first)
    assert uploads.stack.asset(first).duplicate_id is None


def test_only_what_its_owner_could_let_go_is_compared(uploads: Uploads) -> None:
    stack, now = uploads.stack, uploads.stack.clock.now()
    led = uploads.add(towards(0))
    with stack.database.session() as session:
        session.add(User(id="other", email="o", profile_changed_at=now, created_at=now, updated_at=now))
        session.add(StackRow(id="s", owner_id=stack.owner, primary_asset_id=led, created_at=now, updated_at=now))
    stack.change(led, stack_id="s")
    others = [
        led,
        uploads.add(towards(0), owner_id="other"),
        uploads.add(towards(0), type="VIDEO"),
        uploads.add(towards(0), deleted_at=now, status="trashed"),
        uploads.add(towards(0), visibility="hidden"),
        uploads.add(towards(0), visibility="locked"),
    ]
    mine = uploads.add(towards(0))
    uploads.compare(mine, *others)
    assert uploads.groups() == set()
    assert uploads.compared() == {mine, others[1], others[2]}

    archived = uploads.add(towards(0), visibility="archive")
    uploads.compare(mine)
    assert uploads.groups() == {frozenset({mine, archived})}


def test_what_another_model_made_does_not_compare(uploads: Uploads) -> None:
    mine, other, same = uploads.add(towards(0)), uploads.add(towards(0)), uploads.add(towards(5))
    twin = uploads.add(towards(0))
    for one in (other, twin):
        uploads.embed(one, towards(0), model="another")
    uploads.compare(other)
    assert uploads.groups() == uploads.compared() == set()  # as if it had none, until it has another
    assert uploads.stack.failed() == {}
    uploads.compare(mine)
    assert uploads.groups() == {frozenset({mine, same})}


def test_no_embedding_is_a_failure_and_gone_is_none(uploads: Uploads) -> None:
    bare = uploads.add(None)
    uploads.compare(bare, "nobody's")
    assert "it has no embedding, run smart search on it first" in uploads.stack.failed()[bare].error
    assert set(uploads.stack.failed()) == {bare}


def test_switched_off_nothing_is_compared(uploads: Uploads) -> None:
    twins = [uploads.add(towards(0)), uploads.add(towards(0))]
    uploads.compare(*twins, off=True)
    uploads.stack.enqueue(NewJob(JobName.ASSET_DETECT_DUPLICATES_QUEUE_ALL, {"force": True}))
    uploads.stack.drain()
    assert uploads.groups() == uploads.compared() == set()


def test_buttons_queue_what_they_say(uploads: Uploads, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (queue_all, detect_duplicates):
        monkeypatch.setattr(module, "PAGE", 2)
    stack = uploads.stack
    plain = sorted(uploads.add(towards(30 * number)) for number in range(5))
    uploads.add(None)
    for columns in ({"visibility": "hidden"}, {"deleted_at": stack.clock.now(), "status": "trashed"}):
        uploads.add(towards(0), **columns)
    uploads.compare(plain[1])

    def run_all(force: bool) -> list[str]:
        stack.seen.clear()
        stack.enqueue(NewJob(JobName.ASSET_DETECT_DUPLICATES_QUEUE_ALL, {"force": force}))
        stack.drain()
        return sorted(one for name, one in stack.seen if name is JobName.ASSET_DETECT_DUPLICATES and one is not None)

    assert run_all(force=False) == [plain[0], *plain[2:]]
    assert run_all(force=False) == []
    assert run_all(force=True) == plain
    assert stack.failed() == {}


def test_the_reconciler_compares_what_was_missed(uploads: Uploads) -> None:
    stack = uploads.stack
    twins = [uploads.add(towards(0)), uploads.add(towards(1))]
    stack.set_config(machineLearning={"enabled": True, **OTHERS_OFF})
    with stack.database.session() as session:
        for asset_id in twins:
            row = {"asset_id": asset_id, "metadata_extracted_at": stack.clock.now()}
            upsert(session, AssetJobStatus, [row], key=["asset_id"])
    stack.enqueue(reconcile.reconcile_asked())
    stack.drain(leave_delayed=True)
    assert all(JobName.ASSET_DETECT_DUPLICATES in names_seen(stack, asset_id) for asset_id in twins)
    assert uploads.groups() == {frozenset(twins)}
