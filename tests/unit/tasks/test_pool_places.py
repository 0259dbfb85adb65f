"""How many processes keep a model, and on which nodes."""

from collections import Counter

import pytest

from cluster.queue.job import ModelPool
from cluster.ray_nodes import Node
from tasks.pool_places import next_place, processes_of, room_on
from tasks.ray_models import threads_on

CLIP = ModelPool("clip", cpus=4, gpus=0.25, most=10)
ON_CPUS = ModelPool("ocr", cpus=2)


def node(name: str, cpus: float = 8, gpus: float = 0) -> Node:
    return Node(name, name, "10.0.0.1", {}, cpus, gpus)


def placed(pool: ModelPool, nodes: list[Node], count: int) -> list[str]:
    """Where that many processes go, one after the other; "" when there is no room."""
    taken, places = Counter[str](), list[str]()
    for _ in range(count):
        place = next_place(pool, nodes, taken)
        places.append(place.node_id if place else "")
        taken[places[-1]] += 1
    return places


@pytest.mark.parametrize(
    ("pool", "where", "room"),
    [
        (CLIP, node("gpu", gpus=1), 4),
        (CLIP, node("two gpus", gpus=2), 8),
        (CLIP, node("no gpu"), 2),
        (CLIP, node("small", cpus=1), 1),
        (ON_CPUS, node("gpu", gpus=1), 4),  # a model that asks for no GPU goes by the cores
        (ModelPool("whole", gpus=1.0), node("gpu", gpus=1), 1),
    ],
)
def test_a_node_takes_what_its_gpus_or_cores_allow_and_at_least_one(pool: ModelPool, where: Node, room: int) -> None:
    assert room_on(pool, where) == room


def test_gpus_come_first_and_then_the_least_full_node() -> None:
    nodes = [node("a", cpus=4), node("b", cpus=8), node("gpu", gpus=0.5)]
    assert placed(CLIP, nodes, 6) == ["gpu", "gpu", "a", "b", "b", ""]


def test_there_are_as_many_as_calls_within_the_limits() -> None:
    pool = ModelPool("clip", least=1, most=3)
    assert [processes_of(pool, calls) for calls in (0, 1, 2, 3, 9)] == [1, 1, 2, 3, 3]


def test_a_model_has_no_more_threads_than_its_node_has_cores() -> None:
    assert threads_on(CLIP, node("small", cpus=2)) == 2
    assert threads_on(CLIP, node("big", cpus=64)) == 4
    assert threads_on(ModelPool("half", cpus=0.5), node("big")) == 1


@pytest.mark.parametrize(
    "wrong", [{"least": 2, "most": 1}, {"most": 0}, {"cpus": 0}, {"gpus": -0.1}, {"gpus": 1.5}, {"least": -1}]
)
def test_a_pool_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="clip"):
        ModelPool("clip", **wrong)  # type: ignore[arg-type]
