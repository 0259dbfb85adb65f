"""The live nodes: counted by label, asked for seldom, remembered while Ray is away, left out while drained."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cluster import ray_nodes
from cluster.draining import Drain, leaving
from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, ModelPool
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


def test_calls_are_larger_where_a_node_with_a_gpu_serves_the_queue() -> None:
    pool = ModelPool("clip", gpus=0.5, gpu_batch=64)
    pooled, plain = JobSpec(JobName.SMART_SEARCH, batch=8, pool=pool), JobSpec(JobName.SMART_SEARCH, batch=8)
    nodes = RayNodes(Ray(EVERYTHING, ENCODING))
    assert nodes.batch(pooled, QueueName.SMART_SEARCH) == 8  # the one with the GPU does not serve it
    nodes = RayNodes(Ray(EVERYTHING, replace(EVERYTHING, node_id="n3", gpus=1.0)))
    assert nodes.batch(pooled, QueueName.SMART_SEARCH) == 64
    assert nodes.batch(plain, QueueName.SMART_SEARCH) == 8


def test_ray_is_not_asked_for_every_question() -> None:
    ray = Ray(EVERYTHING)
    nodes = RayNodes(ray)
    for queue in QueueName:
        nodes.serving(queue)
    assert ray.asked == 1


def test_nodes_that_died_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_nodes, "REFRESH_S", -1.0)
    ray = Ray(EVERYTHING, ENCODING)
    nodes = RayNodes(ray)
    assert nodes.left_out() == ()
    ray.nodes = (EVERYTHING,)
    assert nodes.left_out() == ("n2",)
    ray.nodes = None
    assert nodes.left_out() == ("n2",)
    ray.nodes = (replace(EVERYTHING, node_id="n3"),)
    assert nodes.left_out() == ("n1", "n2"), "it came back as another"


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


def test_a_drained_node_counts_nowhere_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_nodes, "REFRESH_S", -1.0)
    drained = {"two": Drain("a new disk", by="Ada"), "gone": Drain("long ago")}
    nodes = RayNodes(Ray(EVERYTHING, ENCODING), lambda: drained)
    assert [node.name for node in nodes.nodes()] == ["one"]
    assert (nodes.serving(QueueName.VIDEO_CONVERSION), nodes.cpus()) == (1, 4)
    assert nodes.left_out() == ("n2",)
    assert nodes.drained() == {"two": drained["two"]}
    assert nodes.drained_by_hand() == [ENCODING]
    drained.clear()
    assert (nodes.serving(QueueName.VIDEO_CONVERSION), nodes.left_out()) == (2, ())


def test_a_node_whose_machine_ends_gives_back_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    noon = datetime(2026, 5, 1, 12, tzinfo=UTC)
    going = replace(ENCODING, going=leaving(noon))
    nodes = RayNodes(Ray(EVERYTHING, going))
    assert nodes.left_out() == ("n2",)
    assert nodes.drained_by_hand() == [], "Ray knows of it"
    give_back_at = nodes.drained()["two"].give_back_at
    assert give_back_at is not None
    assert noon - timedelta(minutes=1) < give_back_at < noon


def test_a_queue_says_whose_drain_it_waits_for() -> None:
    nodes = RayNodes(Ray(EVERYTHING, ENCODING), lambda: {"one": Drain("a new disk", by="Ada")})
    why = nodes.why_nobody(QueueName.OCR)
    assert "one (a new disk, by Ada)" in why
    assert "--back" in why
    alone = RayNodes(Ray(ENCODING), lambda: {"two": Drain("")})
    assert "no live node serves ocr" in alone.why_nobody(QueueName.OCR)
    assert "two (by hand)" in alone.why_nobody(QueueName.VIDEO_CONVERSION)
