"""The machines of the cluster over HTTP and by command: what Ray says of them, beside what the queue knows."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cluster.draining import BENCH_S, leaving
from cluster.names import JobName, QueueName
from cluster.queue.job import asset_job
from cluster.queue.store import Finish, InHand
from serve_app.app import create_app
from serve_app.cli import app
from serve_app.cluster_nodes import ClusterNode
from serve_app.deps import Caller
from serve_app.ray_cluster_nodes import cluster_node
from serve_app.services import audit
from serve_app.services.audit import list_actions
from serve_app.services.nodes import WorkingNode, bench, drain, let_work_again, list_nodes, read_drains
from serve_app.services.quiet_hours import quiet_hours, set_quiet_hours
from serve_app.wire.node import node_seen
from tests.api_stack import ApiStack, api_stack, in_process, served
from tests.fake_clock import FakeClock

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


def test_two_machines_of_one_name_have_each_their_line(stack: ApiStack) -> None:
    class Twins:
        def live(self) -> Sequence[ClusterNode]:
            return [cluster_node(REPORTED), cluster_node(REPORTED | {"NodeManagerAddress": "10.0.0.8"})]

    seen = list_nodes(replace(stack.services, nodes=Twins()))
    assert [(one.name, one.node.address) for one in seen if one.node] == [("attic", "10.0.0.7"), ("attic", "10.0.0.8")]


def test_only_admins_are_told(stack: ApiStack) -> None:
    person = stack.add_person("bob")
    with in_process(stack.app) as client:
        assert client.get("/nodes", headers=person.headers).status_code == 403


def test_a_drained_node_is_shown_and_noted_until_it_is_let_work_again(stack: ApiStack) -> None:
    admin = stack.add_person("ann", is_admin=True)
    with served(stack) as url:

        def heliostat(*words: str) -> str:
            run = CliRunner().invoke(app, [*words, "--url", url, "--key", admin.key], catch_exceptions=False)
            assert run.exit_code == 0, run.output
            return run.stdout

        heliostat("drain", "attic", "--reason", "a new disk", "--patience", "5")
        (attic,) = json.loads(heliostat("nodes", "--json"))
        assert (attic["drain"], attic["drainReason"], attic["isGoing"]) == ("drained", "a new disk, by ann", False)
        assert "drained" in heliostat("nodes")
        with stack.services.database.reader() as session:
            assert read_drains(stack.services, session)["attic"].reason == "a new disk"
        heliostat("drain", "attic", "--back")
        assert json.loads(heliostat("nodes", "--json"))[0]["drain"] == ""
    assert [(line.action, line.subject) for line in list_actions(stack.services)] == [
        ("undrain", "attic"),
        ("drain", "attic"),
    ]


def test_of_two_who_change_one_note_at_once_both_are_heard(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("attic", "cellar", "studio")

    class Three:
        def live(self) -> Sequence[ClusterNode]:
            return [cluster_node(REPORTED | {"NodeName": name}) for name in names]

    with api_stack(database_url, tmp_path / "media") as stack:
        services = replace(stack.services, nodes=Three())
        ann = stack.add_person("ann", is_admin=True)
        by, note = Caller(ann.user_id, is_admin=True), audit.note

        def note_slowly(*arguments: Any) -> None:
            note(*arguments)
            time.sleep(0.2)  # in the middle of the transaction

        monkeypatch.setattr(audit, "note", note_slowly)

        def all_at_once(change: Callable[[Any], object], what: Sequence[Any]) -> None:
            with ThreadPoolExecutor(len(what)) as pool:
                list(pool.map(change, what))

        all_at_once(lambda name: drain(services, name, by), names)
        queues = (QueueName.OCR, QueueName.VIDEO_CONVERSION)
        all_at_once(lambda queue: set_quiet_hours(services, queue, "08:00-22:00", by), queues)
        all_at_once(lambda name: let_work_again(services, name, by), names[:2])
        with services.database.reader() as session:
            assert set(read_drains(services, session)) == {"studio"}
        assert set(quiet_hours(services)) == set(queues)


def test_a_node_is_draining_while_something_runs_there(stack: ApiStack) -> None:
    admin, store = stack.add_person("ann", is_admin=True), stack.services.store
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.ASSET_ENCODE_VIDEO, "a")])
        (lease,) = store.lease(tx, QueueName.VIDEO_CONVERSION, 1, 600, "controller", "first")
        store.note_progress(tx, [InHand(lease.job_id, lease.token, "attic", 0.5)])
    with in_process(stack.app) as client:
        assert client.put("/nodes/attic/drain", json={}, headers=admin.headers).status_code == 204
        assert client.get("/nodes", headers=admin.headers).json()[0]["drain"] == "draining"
        with store.transaction() as tx:
            store.settle(tx, [Finish(lease, node="attic", duration_ms=5)])
        assert client.get("/nodes", headers=admin.headers).json()[0]["drain"] == "drained"


def test_who_may_drain_and_what(stack: ApiStack) -> None:
    admin, person = stack.add_person("ann", is_admin=True), stack.add_person("bob")
    with in_process(stack.app) as client:
        for method in ("PUT", "DELETE"):
            assert client.request(method, "/nodes/attic/drain", json={}, headers=person.headers).status_code == 403
        refused = client.put("/nodes/cellar/drain", json={}, headers=admin.headers)
        assert (refused.status_code, refused.json()["message"]) == (
            404,
            "No live node is called cellar: there are attic",
        )
        assert client.delete("/nodes/attic/drain", headers=admin.headers).status_code == 404
        assert client.put("/nodes/attic/drain", json={"patienceS": -1}, headers=admin.headers).status_code == 400


def test_a_node_whose_machine_ends_says_so() -> None:
    going = cluster_node(REPORTED, leaving(None))
    seen = node_seen(WorkingNode("attic", going, (), None, going.going))
    assert (seen.drain, seen.is_going, seen.drain_reason) == ("drained", True, "its machine is going")


def test_a_benched_node_is_shown_and_tried_again_later(stack: ApiStack) -> None:
    clock = FakeClock(stack.services.clock.now())
    services = replace(stack.services, clock=clock)
    bench(services, "attic", "12 of 15 jobs failed there")
    (attic,) = list_nodes(services)
    assert node_seen(attic).drain_reason == "benched: 12 of 15 jobs failed there"
    clock.sleep(BENCH_S + 1)
    (attic,) = list_nodes(services)
    assert node_seen(attic).drain == ""


def test_an_admins_drain_is_not_shortened_by_a_bench(stack: ApiStack) -> None:
    admin = stack.add_person("ann", is_admin=True)
    with in_process(stack.app) as client:
        client.put("/nodes/attic/drain", json={"reason": "a new disk"}, headers=admin.headers)
    bench(stack.services, "attic", "12 of 15 jobs failed there")
    with stack.services.database.reader() as session:
        drain = read_drains(stack.services, session)["attic"]
    assert (drain.reason, drain.until) == ("a new disk", None)
