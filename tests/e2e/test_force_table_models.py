"""All, Missing, Refresh and Reset of the queues that need models, on a library with faces, things and text in it: how
many jobs each adds, and what they leave.

Source: spec/queues.md §5. The other queues: `test_force_table.py`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from serve_app.client import sha1_hex
from tests.drawn_faces import group_photo, random_look
from tests.drawn_scenes import KINDS, draw_scene
from tests.e2e.force_table import DRAIN_S, Ended, Force, press, tables
from tests.e2e.real_stack import RealStack, describe, real_stack
from tests.printed_text import as_jpeg, picture_of
from tests.tiny_models import put_clip, put_faces

pytest.importorskip("torch")
pytest.importorskip("insightface")
pytest.importorskip("rapidocr")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

GROUPS, SCENES, SIGNS = 12, 16, 4
EVERYTHING = GROUPS + SCENES + SIGNS
Run = Callable[[str, Force], Ended]
Report = Callable[[str], None]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """A server of its own: photos of the same two people, drawn scenes, and signs."""
    folder = tmp_path_factory.mktemp("force-ml")
    models = folder / "models"
    put_clip(models)
    put_faces(models)
    environ = {"IMMICH_MACHINE_LEARNING_ENABLED": "true", "HELIOSTAT_MODEL_FOLDER": str(models)}
    with real_stack(3474, folder, **environ) as stack:
        stack.sign_in()
        for path in photos(folder / "photos"):
            stack.client.upload(path, sha1_hex(path))
        stack.wait_until_idle(DRAIN_S)
        assert stack.failed() == {}, describe(stack)
        press(stack, "facialRecognition", True)  # from here on people depend on the faces, not on their order
        yield stack


def photos(folder: Path) -> Iterator[Path]:
    folder.mkdir()
    chance = np.random.default_rng(5)
    looks = [random_look(chance), random_look(chance)]
    for number in range(GROUPS):
        path = folder / f"group {number}.jpg"
        Image.fromarray(group_photo(looks, chance, 720, 480)[0]).save(path, quality=92)
        yield path
    for number in range(SCENES):
        path = folder / f"scene {number}.jpg"
        draw_scene(chance, *KINDS[number * len(KINDS) // SCENES], (320, 240)).save(path, quality=90)
        yield path
    for number in range(SIGNS):
        path = folder / f"sign {number}.jpg"
        path.write_bytes(as_jpeg(picture_of((f"PLATFORM {number}", (40, 120)))))
        yield path


@pytest.fixture(scope="module")
def run(library: RealStack) -> Run:
    return partial(press, library)


def count(stack: RealStack, table: str) -> int:
    with tables(stack) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def named(stack: RealStack) -> dict[str, str]:
    return {one["id"]: one["name"] for one in stack.client.call("GET", "/people")["people"]}


PER_ASSET = [
    ("smartSearch", "SmartSearch", EVERYTHING),
    ("duplicateDetection", "AssetDetectDuplicates", EVERYTHING),
    ("faceDetection", "AssetDetectFaces", EVERYTHING),
    ("ocr", "Ocr", EVERYTHING),
]


def test_a_finished_library_misses_nothing(run: Run, report: Report) -> None:
    for queue, name, _ in PER_ASSET:
        added = run(queue, False)
        assert added.pop(f"{name}QueueAll") == 1
        assert added == {}, queue
        report(f"{queue} force=False on a finished library: 0 jobs")


def test_faces_of_nobody_are_all_that_recognition_misses(library: RealStack, run: Run, report: Report) -> None:
    with tables(library) as connection:
        nobodys = connection.execute("SELECT count(*) FROM asset_face WHERE person_id IS NULL").fetchone()[0]
    added = run("facialRecognition", False)
    # one that is not in the middle of a group is looked at twice
    assert nobodys <= added.get("FacialRecognition", 0) <= 2 * nobodys
    report(f"facialRecognition force=False with {nobodys} faces of nobody: {added}")


@pytest.mark.parametrize(("queue", "name", "expected"), [*PER_ASSET[:2], PER_ASSET[3]])
def test_all_takes_every_asset_once(run: Run, report: Report, queue: str, name: str, expected: int) -> None:
    added = run(queue, True)
    assert added[name] == expected, added
    report(f"{queue} force=True: {added}")


@pytest.mark.parametrize(
    ("queue", "name", "without"),
    [
        ("smartSearch", "SmartSearch", ["DELETE FROM smart_search WHERE asset_id IN ({three})"]),
        (
            "duplicateDetection",
            "AssetDetectDuplicates",
            ["UPDATE asset_job_status SET duplicates_detected_at = NULL WHERE asset_id IN ({three})"],
        ),
        ("ocr", "Ocr", ["UPDATE asset_job_status SET ocr_at = NULL WHERE asset_id IN ({three})"]),
        (
            "faceDetection",
            "AssetDetectFaces",
            ["UPDATE asset_job_status SET faces_recognized_at = NULL WHERE asset_id IN ({three})"],
        ),
    ],
)
def test_missing_takes_what_is_missing(
    library: RealStack, run: Run, report: Report, queue: str, name: str, without: list[str]
) -> None:
    with tables(library) as connection:
        for statement in without:
            connection.execute(statement.format(three="SELECT id FROM asset ORDER BY id LIMIT 3"))
    added = run(queue, False)
    assert added[name] == 3, added
    report(f"{queue} force=False with 3 taken away: {added}")
    assert run(queue, False).get(name) is None


def test_refresh_looks_at_every_picture_and_keeps_its_faces(library: RealStack, run: Run, report: Report) -> None:
    with tables(library) as connection:
        before = set(connection.execute("SELECT id, person_id FROM asset_face"))
    added = run("faceDetection", None)
    assert added["AssetDetectFaces"] == EVERYTHING, added
    assert added["PersonCleanup"] >= 1
    with tables(library) as connection:
        assert set(connection.execute("SELECT id, person_id FROM asset_face")) >= before
    report(f"faceDetection force absent (Refresh): {added}")


def test_reset_of_people_keeps_names(library: RealStack, run: Run, report: Report) -> None:
    people = named(library)
    assert len(people) == 2
    first = min(people)
    library.client.call("PUT", f"/people/{first}", json={"name": "Ada"})
    added = run("facialRecognition", True)
    assert added["GatherPeople"] == 1, added
    assert named(library)[first] == "Ada"
    report(f"facialRecognition force=True (Reset): {added}; 2 people before and after, the name kept")


def test_reset_of_faces_begins_with_none(library: RealStack, run: Run, report: Report) -> None:
    with tables(library) as connection:
        before = {row[0] for row in connection.execute("SELECT id FROM asset_face")}
    added = run("faceDetection", True)
    assert added["AssetDetectFaces"] == EVERYTHING, added
    assert added["FacialRecognition"] >= len(before)
    with tables(library) as connection:
        after = {row[0] for row in connection.execute("SELECT id FROM asset_face")}
    assert len(after) == len(before)
    assert not after & before
    assert count(library, "person") >= 2
    report(f"faceDetection force=True (Reset): {added}")
