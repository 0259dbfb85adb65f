"""Smart search from the uploaded file to the found picture, on both databases, without Ray: the loops, the tiny CLIP
and the files are real."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import delete, select

from cluster.db.queries import embeddings
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import AssetFile
from cluster.db.tables.learned import SmartSearch
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from serve_app.text_points import LocalTexts
from tasks import queue_all
from tasks.jobs import smart_search
from tests.clips import ffmpeg
from tests.drawn_scenes import KINDS, draw_scene, scenes
from tests.figures import FIGURES
from tests.inline_stack import Stack, inline_stack, names_seen
from tests.tiny_models import CLIP, put_clip

pytest.importorskip("torch")

OTHERS_OFF = {name: {"enabled": False} for name in ("facialRecognition", "ocr", "duplicateDetection")}
"""What else machine learning does."""


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    models = tmp_path / "models"
    put_clip(models)
    with inline_stack(
        database_url, tmp_path, IMMICH_MACHINE_LEARNING_ENABLED="true", HELIOSTAT_MODEL_FOLDER=str(models)
    ) as stack:
        set_clip(stack)
        yield stack


def set_clip(stack: Stack, **changes: Any) -> None:
    stack.set_config(machineLearning={**OTHERS_OFF, "clip": changes})


def upload_scenes(stack: Stack, each: int = 1, count: int | None = None) -> dict[str, tuple[str, str]]:
    """(colour, shape) by asset."""
    shown = {}
    for index, (colour, shape, picture) in enumerate(scenes(seed=4, each=each)):
        if index == count:
            break
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=90)
        shown[stack.upload(f"{colour} {shape}.jpg", buffer.getvalue())] = (colour, shape)
    return shown


def embedded(stack: Stack) -> dict[str, str]:
    """Model by asset."""
    with stack.database.reader() as session:
        return {row.asset_id: row.model for row in session.scalars(select(SmartSearch))}


def queue_all_job(**payload: Any) -> NewJob:
    return NewJob(JobName.SMART_SEARCH_QUEUE_ALL, payload)


@pytest.mark.timeout(300)
def test_uploaded_scenes_are_found_by_their_names(stack: Stack, tmp_path: Path) -> None:
    shown = upload_scenes(stack, each=4)
    stack.drain(240)
    assert stack.failed() == {}
    assert set(embedded(stack)) == set(shown)

    words = [f"{colour} {shape}" for colour, shape in KINDS]
    points = LocalTexts().points(tmp_path / "models", CLIP.name, words)
    with stack.database.reader() as session:
        vectors, among = stack.vectors, select(SmartSearch.asset_id)
        nearest = [vectors.nearest(session, EmbeddingKind.SMART_SEARCH, point, 4, among) for point in points]
    hits = [
        np.mean([shown[match.id] == kind for match in matches]) for kind, matches in zip(KINDS, nearest, strict=True)
    ]
    FIGURES.append(f"smart search of {len(shown)} uploads, {len(KINDS)} queries: precision@4 {np.mean(hits):.3f}")
    assert np.mean(hits) > 0.95


def test_an_upload_is_embedded_and_duplicates_are_looked_for(stack: Stack) -> None:
    (asset_id,) = upload_scenes(stack, count=1)
    stack.drain()
    seen = names_seen(stack, asset_id)
    assert seen.index(JobName.ASSET_DETECT_DUPLICATES) > seen.index(JobName.SMART_SEARCH)
    with stack.database.reader() as session:
        row = session.get_one(SmartSearch, asset_id)
        assert (row.model, len(row.embedding)) == (CLIP.name, 2 * 512)
        assert np.linalg.norm(embeddings.unpacked(row.embedding)) == pytest.approx(1, abs=1e-3)


def test_what_follows_runs_also_where_smart_search_is_off(stack: Stack) -> None:
    set_clip(stack, enabled=False)
    (asset_id,) = upload_scenes(stack, count=1)
    stack.drain()
    assert JobName.ASSET_DETECT_DUPLICATES in names_seen(stack, asset_id)
    stack.enqueue(queue_all_job(force=True))
    stack.drain()
    assert embedded(stack) == {}


def test_hidden_assets_are_skipped_and_those_without_a_preview_fail(stack: Stack) -> None:
    hidden, bare = upload_scenes(stack, count=2)
    set_clip(stack, enabled=False)
    stack.drain()
    set_clip(stack)
    stack.change(hidden, visibility="hidden")
    with stack.database.session() as session:
        session.execute(delete(AssetFile).where(AssetFile.asset_id == bare, AssetFile.type == "preview"))

    stack.enqueue(*(asset_job(JobName.SMART_SEARCH, one) for one in (hidden, bare, "gone")))
    stack.drain()

    assert {one: record.error for one, record in stack.failed().items()} == {
        bare: "red square.jpg: there is no preview, generate its thumbnails first"
    }
    assert embedded(stack) == {}


def test_a_broken_preview_fails_and_its_neighbours_do_not(stack: Stack) -> None:
    ids = list(upload_scenes(stack, count=3))
    set_clip(stack, enabled=False)
    stack.drain()
    set_clip(stack)
    preview = stack.files(ids[1])["preview"]
    preview.write_bytes(preview.read_bytes()[:100])

    stack.enqueue(*(asset_job(JobName.SMART_SEARCH, one) for one in ids))
    stack.drain()

    assert list(stack.failed()) == [ids[1]]
    assert set(embedded(stack)) == {ids[0], ids[2]}


def test_missing_adds_those_without_an_embedding_and_all_begins_anew(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_all, "PAGE", 2)
    monkeypatch.setattr(smart_search, "PAGE", 2)
    ids = list(upload_scenes(stack, count=5))
    stack.drain()
    seqs = seq_by_asset(stack)
    with stack.database.session() as session:
        session.delete(session.get_one(SmartSearch, ids[0]))
    stack.change(ids[4], visibility="hidden")

    stack.enqueue(queue_all_job())
    stack.drain()
    after_missing = seq_by_asset(stack)
    assert {one for one in ids if after_missing.get(one) != seqs[one]} == {ids[0]}

    stack.enqueue(queue_all_job(force=True))
    stack.drain()
    after_all = seq_by_asset(stack)
    assert set(after_all) == set(ids[:4])  # all are deleted first, and what is hidden is not seen
    assert min(after_all.values()) > max(after_missing.values())


def seq_by_asset(stack: Stack) -> dict[str, int]:
    with stack.database.reader() as session:
        return {row.asset_id: row.seq for row in session.scalars(select(SmartSearch))}


def test_another_model_leaves_nothing_of_the_one_before(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_all, "PAGE", 2)
    monkeypatch.setattr(smart_search, "PAGE", 2)
    ids = list(upload_scenes(stack, count=3))
    stack.drain()

    set_clip(stack, modelName="org/ViT-B-16::openai")
    stack.enqueue(smart_search.forget_others())
    stack.drain()
    assert embedded(stack) == {}

    set_clip(stack)
    with stack.database.session() as session:
        point = {ids[0]: np.ones(512, np.float32)}
        embeddings.put(session, EmbeddingKind.SMART_SEARCH, "ViT-B-16__openai", point)
    stack.enqueue(queue_all_job())
    stack.drain()
    assert embedded(stack) == dict.fromkeys(ids, CLIP.name)  # another's does not count


def test_what_the_model_before_still_makes_is_let_go(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with_frames = smart_search._with_frames

    def then_another_is_chosen(*arguments: Any) -> Any:
        set_clip(stack, modelName="ViT-B-16__openai")
        return with_frames(*arguments)

    monkeypatch.setattr(smart_search, "_with_frames", then_another_is_chosen)
    (asset_id,) = upload_scenes(stack, count=1)
    stack.drain()
    assert embedded(stack) == {}
    assert JobName.ASSET_DETECT_DUPLICATES not in names_seen(stack, asset_id)  # there is nothing to compare
    assert stack.failed() == {}


def test_weights_that_are_missing_cost_no_attempt(stack: Stack) -> None:
    set_clip(stack, modelName="ViT-B-16__openai")
    (asset_id,) = upload_scenes(stack, count=1)
    stack.drain(leave_delayed=True)
    assert embedded(stack) == {}

    set_clip(stack)
    stack.end_delays()
    stack.drain()
    assert embedded(stack) == {asset_id: CLIP.name}


def test_of_a_video_several_frames_may_count(database_url: str, tmp_path: Path) -> None:
    folder, models = tmp_path / "scenes", tmp_path / "models"
    folder.mkdir()
    put_clip(models)
    random, kinds = np.random.default_rng(8), [("red", "circle"), ("blue", "star"), ("green", "cross")]
    for colour, shape in kinds:
        draw_scene(random, colour, shape, (160, 160)).save(folder / f"{colour}.png")
    shown = [
        ("-loop", "1", "-t", seconds, "-i", folder / f"{name}.png") for name, seconds in (("red", "3"), ("blue", "3"))
    ]
    joined = ("-filter_complex", "[0][1]concat=n=2,format=yuv420p", "-r", "10", folder / "clip.mp4")
    ffmpeg(*(word for one in shown for word in one), *joined)
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(models)}
    texts = LocalTexts().points(models, CLIP.name, [" ".join(kind) for kind in kinds])

    with inline_stack(database_url, tmp_path, HELIOSTAT_VIDEO_SEARCH_FRAMES="6", **environ) as stack:
        set_clip(stack)
        asset_id = stack.upload("clip.mp4", folder / "clip.mp4", type="VIDEO")
        stack.drain()
        with stack.database.reader() as session:
            point = embeddings.embedding_of(session, EmbeddingKind.SMART_SEARCH, asset_id)

    assert point is not None
    red, blue, green = (float(point @ text) for text in texts)
    assert min(red, blue) > green + 0.2  # half of the frames show one, half the other
