"""`ray-cluster.yaml` against Ray, which must take it, and against the code that says what it should hold.

What `heliostat validate` checks of any such file is tested with the command.
"""

import re
import shlex
from typing import Any

import pytest
import yaml
from ray.scripts import scripts

from cluster.cluster_file import START_OF_HEAD, START_OF_WORKERS, UP_NEEDS, node_types
from cluster.launch import OBJECT_STORE_BYTES
from cluster.ray_cluster_file import prepared
from cluster.settings import NO_DATABASE, RayPort, read_settings
from cluster.workers import node_labels
from tests.shared_media import REPOSITORY

WORKERS_OF_TYPE = {
    "head": ("api", ""),
    "cpu-worker": ("microservices", "machine-learning,encoding"),
    "gpu-worker": ("machine-learning", ""),
    "encoding-worker": ("encoding", ""),
}
PORT_OF_OPTION = {
    "dashboard_agent_listen_port": RayPort.DASHBOARD_AGENT,
    "dashboard_agent_grpc_port": RayPort.DASHBOARD_AGENT_GRPC,
    "runtime_env_agent_port": RayPort.RUNTIME_ENV_AGENT,
    "node_manager_port": RayPort.NODE_MANAGER,
    "object_manager_port": RayPort.OBJECT_MANAGER,
    "metrics_export_port": RayPort.METRICS,
}
UP = "heliostat up"


@pytest.fixture
def config() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    return loaded


def options_of(command: str) -> dict[str, Any]:
    """The options of a start command as `ray start` reads them; it refuses one that it does not know."""
    words = shlex.split(command)
    arguments = words[words.index("start") + 1 :]
    return dict(scripts.start.make_context("start", arguments).params)


def test_ray_takes_the_file(config: dict[str, Any]) -> None:
    assert prepared(config)[1] == []


def test_labels_of_each_node_type_are_those_of_its_workers(config: dict[str, Any]) -> None:
    labels = {name: node_type["labels"] for name, node_type in config["available_node_types"].items()}
    assert labels == {name: node_labels(include, exclude) for name, (include, exclude) in WORKERS_OF_TYPE.items()}


def test_each_node_type_is_told_its_workers_and_who_may_not_open_the_database(config: dict[str, Any]) -> None:
    types = node_types(prepared(config)[0])
    lists = ("IMMICH_WORKERS_INCLUDE", "IMMICH_WORKERS_EXCLUDE")
    assert {one.name: tuple(one.value(name) for name in lists) for one in types} == WORKERS_OF_TYPE
    assert {one.name for one in types if one.value(NO_DATABASE[0]) != NO_DATABASE[1]} == {"head"}


def test_head_takes_no_jobs(config: dict[str, Any]) -> None:
    assert config["available_node_types"][config["head_node_type"]]["resources"] == {"CPU": 0}


def test_ray_start_knows_every_option_and_the_ports_are_the_stacks(config: dict[str, Any]) -> None:
    options = options_of(config[START_OF_WORKERS][-1])
    settings = read_settings({"HOME": "/root"})
    assert {option: options[option] for option in PORT_OF_OPTION} == {
        option: settings.ray_port(port) for option, port in PORT_OF_OPTION.items()
    }
    assert (options["min_worker_port"], options["max_worker_port"]) == (0, 0)
    assert options["object_store_memory"] == OBJECT_STORE_BYTES
    assert not options["head"]
    assert options["address"] == f"$RAY_HEAD_IP:{settings.ray_port(RayPort.HEAD)}"


def test_ray_start_refuses_an_option_that_it_does_not_know(config: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="No such option"):
        options_of(config[START_OF_WORKERS][-1] + " --no-such-option")


def test_the_head_runs_the_server_with_settings_that_it_knows(config: dict[str, Any]) -> None:
    (command,) = (text for text in config[START_OF_HEAD] if UP in text)
    told = set(re.findall(r"(HELIOSTAT_\w+)=", command))
    assert told == set(UP_NEEDS)
    assert [name for name in told if f'"{name}"' not in (REPOSITORY / "cluster" / "settings.py").read_text()] == []


def test_every_start_uses_the_secret_and_the_autoscaler_that_knows_labels(config: dict[str, Any]) -> None:
    command = config[START_OF_WORKERS][-1]
    assert "RAY_AUTH_MODE=token" in command
    assert "RAY_enable_autoscaler_v2=1" in command
    assert "RAY_enable_infeasible_task_early_exit=true" in command


def test_set_up_commands_name_purposes_that_the_script_has(config: dict[str, Any]) -> None:
    script = (REPOSITORY / "cluster" / "setup.sh").read_text()
    lines = config["setup_commands"] + config["available_node_types"]["gpu-worker"]["worker_setup_commands"]
    asked = re.findall(r"cluster/setup\.sh (\w+)", "\n".join(lines))
    assert asked == ["lean", "run"]
    assert [purpose for purpose in asked if f"cluster/setup.sh {purpose} " not in script] == []
