"""`ray-cluster.yaml` against Ray, which must take it, and against `workers.py`, which says what labels mean."""

import copy
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from cluster.names import QueueName
from cluster.workers import node_labels, queue_label
from tests.shared_media import REPOSITORY

WORKERS_OF_TYPE = {"head": "api", "cpu-worker": "microservices"}


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    return loaded


def test_ray_takes_the_file(config: dict[str, Any]) -> None:
    validate_config(prepare_config(config))


def test_ray_refuses_a_word_that_it_does_not_know(config: dict[str, Any]) -> None:
    wrong = copy.deepcopy(config)
    wrong["available_node_types"]["head"]["label"] = {}
    with pytest.raises(Exception, match="'label' was unexpected"):
        validate_config(prepare_config(wrong))


def test_labels_of_each_node_type_are_those_of_its_workers(config: dict[str, Any]) -> None:
    labels = {name: node_type["labels"] for name, node_type in config["available_node_types"].items()}
    assert labels == {name: node_labels(include, "") for name, include in WORKERS_OF_TYPE.items()}


def test_some_node_type_serves_each_queue(config: dict[str, Any]) -> None:
    served = {label for node_type in config["available_node_types"].values() for label in node_type["labels"]}
    assert {queue_label(queue) for queue in QueueName} <= served


def test_head_takes_no_jobs(config: dict[str, Any]) -> None:
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}


def test_every_start_uses_the_secret_and_the_autoscaler_that_knows_labels(config: dict[str, Any]) -> None:
    starts = [config["head_start_ray_commands"][-1], config["worker_start_ray_commands"][-1]]
    for command in starts:
        assert "RAY_AUTH_MODE=token" in command
        assert "RAY_enable_autoscaler_v2=1" in command
