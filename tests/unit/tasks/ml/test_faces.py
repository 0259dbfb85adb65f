"""The tiny face pack through insightface's own loader: who is found where, and who is told from whom."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from cluster.errors import ModelUnavailable
from tasks.ml import faces
from tasks.ml.faces import FaceModel, FoundFace, load_faces
from tasks.ml.weights import ModelKind, Weights
from tests.drawn_faces import Picture, backdrop, group_photo, random_look
from tests.tiny_models import TRAINED
from tests.weight_files import cut_short, garble, onnx

PACK = TRAINED / "facial-recognition" / "tiny"
TINY = Weights(ModelKind.FACES, "tiny")
MIN_SCORE = 0.7


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_faces(TRAINED, TINY.name, threads=1)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Shared area by the area of both."""
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]))
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]))
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return width * height / (areas - width * height)


def distance(one: FoundFace, other: FoundFace) -> float:
    first, second = (face.embedding / np.linalg.norm(face.embedding) for face in (one, other))
    return float(1 - first @ second)


def test_people_are_found_where_they_were_drawn(model: FaceModel, report: Callable[[str], None]) -> None:
    rng, overlaps, too_many = np.random.default_rng(100), [], 0
    for size in ((1000, 700), (700, 1000), (640, 480), (1600, 500)) * 5:
        picture, drawn = group_photo([random_look(rng) for _ in range(int(rng.integers(2, 5)))], rng, *size)
        [found] = model.find([picture], MIN_SCORE)
        too_many += max(0, len(found) - len(drawn))
        overlaps += [max((overlap(face.box, one.box) for one in found), default=0.0) for face in drawn]
    recall = float(np.mean([one > 0.5 for one in overlaps]))
    report(f"tiny face pack: of {len(overlaps)} drawn faces {recall:.1%} found, {too_many} that are none")
    assert recall >= 0.95
    assert too_many <= 1


def test_a_picture_of_nobody_has_no_face(model: FaceModel) -> None:
    rng = np.random.default_rng(101)
    assert model.find([backdrop(rng, 900, 600, 25) for _ in range(5)], MIN_SCORE) == [[]] * 5


def test_one_person_is_nearer_than_two(model: FaceModel, report: Callable[[str], None]) -> None:
    rng = np.random.default_rng(102)
    people = [[_only(model, group_photo([look], rng)[0]) for _ in range(4)] for look in map(random_look, [rng] * 8)]
    same = [distance(one, other) for faces in people for one in faces for other in faces if one is not other]
    apart = [
        distance(one, other)
        for index, faces in enumerate(people)
        for others in people[index + 1 :]
        for one in faces
        for other in others
    ]
    report(f"tiny face pack: same person {np.mean(same):.2f}, two people {np.mean(apart):.2f} (cosine distance)")
    assert np.mean([one < 0.5 for one in same]) > 0.9
    assert np.mean([one > 0.5 for one in apart]) > 0.9


def _only(model: FaceModel, picture: Picture) -> FoundFace:
    [[face]] = model.find([picture], MIN_SCORE)
    return face


def test_pictures_together_give_what_each_gives_alone(model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "CROPS_AT_ONCE", 4)
    rng = np.random.default_rng(103)
    pictures = [group_photo([random_look(rng) for _ in range(count)], rng)[0] for count in (3, 1, 2)]
    pictures.insert(1, backdrop(rng, 300, 200, 0))
    together, alone = model.find(pictures, MIN_SCORE), [model.find([one], MIN_SCORE)[0] for one in pictures]
    assert [[face.box for face in found] for found in together] == [[face.box for face in found] for found in alone]
    assert [len(found) for found in together] == [3, 0, 1, 2]
    for one, other in zip(chain(*together), chain(*alone), strict=True):
        assert distance(one, other) < 1e-3  # how many are multiplied at a time changes the last digits


def test_the_surest_face_comes_first_and_an_unsure_one_is_left_out(model: FaceModel) -> None:
    rng = np.random.default_rng(104)
    picture, _ = group_photo([random_look(rng) for _ in range(4)], rng)
    [found] = model.find([picture], 0.1)
    scores = [face.score for face in found]
    assert scores == sorted(scores, reverse=True)
    [surer] = model.find([picture], scores[1])
    assert [face.score for face in surer] == [score for score in scores if score >= scores[1]]


@pytest.mark.parametrize("size", [(1, 1), (3000, 2), (2, 3000), (20, 20)])
def test_a_picture_too_small_for_a_face_has_none(model: FaceModel, size: tuple[int, int]) -> None:
    assert model.find([np.zeros((*size, 3), np.uint8)], MIN_SCORE) == [[]]


def test_a_box_ends_where_the_picture_does(model: FaceModel) -> None:
    rng = np.random.default_rng(105)
    picture, [face] = group_photo([random_look(rng)], rng, 500, 500)
    left = round(face.box[0] + (face.box[2] - face.box[0]) * 0.12)
    cut = np.ascontiguousarray(picture[:, left:])
    for found in model.find([cut], 0.3)[0]:
        assert 0 <= found.box[0] < found.box[2] <= cut.shape[1]
        assert 0 <= found.box[1] < found.box[3] <= cut.shape[0]


def test_a_pack_in_immichs_own_cache_finds_the_same_faces(model: FaceModel, tmp_path: Path) -> None:
    for part in ("detection", "recognition"):
        (TINY.folder(tmp_path) / part).mkdir(parents=True)
        (TINY.folder(tmp_path) / part / "model.onnx").symlink_to(PACK / f"{part}.onnx")
    rng = np.random.default_rng(106)
    picture, _ = group_photo([random_look(rng) for _ in range(3)], rng)
    [here], [there] = (one.find([picture], MIN_SCORE) for one in (model, load_faces(tmp_path, TINY.name, threads=1)))
    assert here
    assert [face.box for face in here] == [face.box for face in there]
    assert all(np.array_equal(one.embedding, other.embedding) for one, other in zip(here, there, strict=True))


def put_pack(model_folder: Path, *names: str) -> Path:
    folder = TINY.folder(model_folder)
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).symlink_to(PACK / name)
    return folder


@pytest.mark.parametrize("name", ["detection.onnx", "recognition.onnx"])
def test_a_damaged_pack_says_where_and_what(tmp_path: Path, name: str) -> None:
    folder = put_pack(tmp_path, "detection.onnx", "recognition.onnx")
    cut_short(folder / name)
    with pytest.raises(ModelUnavailable, match=f"{name}: it is cut short"):
        load_faces(tmp_path, TINY.name, 1)
    (folder / name).write_bytes(onnx())
    with pytest.raises(ModelUnavailable, match=f"{name}: it cannot be read"):
        load_faces(tmp_path, TINY.name, 1)


@pytest.mark.parametrize("name", ["detection.onnx", "recognition.onnx"])
def test_a_pack_that_answers_without_numbers_is_not_used(tmp_path: Path, name: str) -> None:
    folder = put_pack(tmp_path, "detection.onnx", "recognition.onnx")
    garble(folder / name)  # its numbers alone: it loads
    with pytest.raises(ModelUnavailable, match=f"{name.removesuffix('.onnx')} answers without numbers"):
        load_faces(tmp_path, TINY.name, 1)


def test_a_pack_without_a_recognizer_is_named(tmp_path: Path) -> None:
    folder = put_pack(tmp_path, "detection.onnx")
    (folder / "detection2.onnx").symlink_to(PACK / "detection.onnx")
    with pytest.raises(ModelUnavailable, match="put a model for recognition there"):
        load_faces(tmp_path, TINY.name, 1)
