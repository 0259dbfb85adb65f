"""The live nodes: counted by label, asked for seldom, remembered while Ray is away."""

import pytest

from cluster import ray_nodes
from cluster.names import QueueName
from cluster.ray_nodes import Node, RayNodes
from cluster.workers import node_labels

EVERYTHING = Node("n1", "one", "10.0.0.1", node_labels("", ""), 4.0, 0.0)
ENCODING = Node("n2", "two", "10.0.0.2", node_labels("encoding", ""), 16.0, 1.0)


class Ray:
    """Answers with `nodes`, or raises when it is None."""

    def __init__(self, *nodes: Node) -> None:
        self.nodes: tuple[Node, ...] | None = nodes
        self.asked = 0

    def __call__(self) -> tuple[Node, ...]:
        self.asked += 1
        if self.nodes is None:
            raise ConnectionError("no answer from the head")
        return self.nodes


def test_nodes_are_counted_by_their_queues_label() -> None:
    nodes = RayNodes(Ray(EVERYTHING, ENCODING))
    assert nodes.serving(QueueName.VIDEO_CONVERSION) == 2
    assert nodes.serving(QueueName.THUMBNAIL_GENERATION) == 1
    assert nodes.cpus() == 20


def test_ray_is_not_asked_for_every_question() -> None:
    ray = Ray(EVERYTHING)
    nodes = RayNodes(ray)
    for queue in QueueName:
        nodes.serving(queue)
    assert ray.asked == 1


def test_a_node_that_joined_is_seen_a_moment_later(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = Ray(EVERYTHING)
    nodes = RayNodes(ray)
    assert nodes.cpus() == 4
    ray.nodes = (EVERYTHING, ENCODING)
    monkeypatch.setattr(ray_nodes, "REFRESH_S", -1.0)
    assert nodes.cpus() == 20


def test_while_ray_cannot_be_asked_the_last_answer_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_nodes, "REFRESH_S", -1.0)
    ray = Ray(EVERYTHING)
    nodes = RayNodes(ray)
    assert nodes.serving(QueueName.OCR) == 1
    ray.nodes = None
    assert nodes.serving(QueueName.OCR) == 1
    assert nodes.cpus() == 4
