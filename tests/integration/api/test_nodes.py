"""The machines of the cluster over HTTP and by command: what Ray says of them, beside what the queue knows."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.names import JobName, QueueName
from cluster.queue.job import asset_job
from cluster.queue.store import Finish, InHand
from serve_app.app import create_app
from serve_app.cli import app
from serve_app.cluster_nodes import ClusterNode
from serve_app.ray_cluster_nodes import cluster_node
from tests.api_stack import ApiStack, api_stack, in_process, served

REPORTED = {
    "NodeName": "attic",
    "NodeManagerAddress": "10.0.0.7",
    "Resources": {"CPU": 8.0, "GPU": 1.0, "memory": 2.0**34, "node:10.0.0.7": 1.0},
    "Labels": {
        "worker/encoding": "true",
        "queue/videoConversion": "true",
        "queue/ocr": "false",
        "ray.io/node-id": "abc",
        "floor": "third",
    },
}


class ThisCluster:
    def live(self) -> Sequence[ClusterNode]:
        return [cluster_node(REPORTED)]


@pytest.fixture
def stack(sqlite_database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(sqlite_database_url, tmp_path / "media") as made:
        services = replace(made.services, nodes=ThisCluster())
        yield replace(made, services=services, app=create_app(services))


def test_nodes_are_told_with_what_they_run(stack: ApiStack) -> None:
    key, store = stack.add_person("ann", is_admin=True).key, stack.services.store
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.ASSET_ENCODE_VIDEO, name) for name in ("a", "b", "c")])
        first, second, third = store.lease(tx, QueueName.VIDEO_CONVERSION, 3, 600, "controller", "first")
        store.note_progress(tx, [InHand(first.job_id, first.token, "attic", 0.5)])
        store.note_progress(tx, [InHand(second.job_id, second.token, "cellar", None)])
        store.settle(tx, [Finish(third, node="attic", duration_ms=5)])
    with served(stack) as url:
        run = CliRunner().invoke(app, ["nodes", "--json", "--url", url, "--key", key], catch_exceptions=False)
        table = CliRunner().invoke(app, ["nodes", "--url", url, "--key", key], catch_exceptions=False)
    attic, cellar = json.loads(run.stdout)
    assert (attic["name"], attic["isAlive"], attic["cpus"], attic["gpus"], attic["memoryBytes"]) == (
        "attic",
        True,
        8,
        1,
        2**34,
    )
    assert (attic["workers"], attic["queues"]) == (["encoding"], ["videoConversion"])
    assert attic["labels"] == {"floor": "third"}
    assert [job["progress"] for job in attic["running"]] == [0.5]
    assert attic["lastEndedAt"]
    assert (cellar["name"], cellar["isAlive"], len(cellar["running"])) == ("cellar", False, 1)
    assert "attic" in table.stdout


def test_only_admins_are_told(stack: ApiStack) -> None:
    person = stack.add_person("bob")
    with in_process(stack.app) as client:
        assert client.get("/nodes", headers=person.headers).status_code == 403
