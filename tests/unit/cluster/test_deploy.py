"""The examples in `cluster/deploy` against what they name: our commands, variables, ports and labels, and the fields
that KubeRay, compose and systemd document. None of them is started here.
"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.names import QueueName
from cluster.settings import RayPort, default_ray_port_base, names_database, read_settings
from cluster.workers import node_labels, queue_label
from serve_app.cli import app
from tests.programs import program
from tests.shared_media import REPOSITORY

DEPLOY = REPOSITORY / "cluster" / "deploy"
BASE = default_ray_port_base(2283)
ENDS_S = 20
"""What it takes to end all processes after that."""
COMMANDS = {info.name or getattr(info.callback, "__name__", "") for info in app.registered_commands}
VARIABLES = set(re.findall(r"`((?:IMMICH|DB|HELIOSTAT)_[A-Z_]+)`", (REPOSITORY / "cluster" / "README.md").read_text()))

# ray.io/v1 as KubeRay 1.6 documents it: https://docs.ray.io/en/master/cluster/kubernetes/references/api.html
KUBERAY_FIELDS = {
    (): {"apiVersion", "kind", "metadata", "spec"},
    ("spec",): {
        "authOptions",
        "autoscalerOptions",
        "enableInTreeAutoscaling",
        "gcsFaultToleranceOptions",
        "headGroupSpec",
        "headServiceAnnotations",
        "managedBy",
        "networkPolicy",
        "rayVersion",
        "suspend",
        "upgradeStrategy",
        "workerGroupSpecs",
    },
    ("spec", "authOptions"): {"enableK8sTokenAuth", "mode", "secretName"},
    ("spec", "autoscalerOptions"): {
        "env",
        "envFrom",
        "idleTimeoutSeconds",
        "image",
        "imagePullPolicy",
        "resources",
        "securityContext",
        "upscalingMode",
        "version",
        "volumeMounts",
    },
    ("spec", "headGroupSpec"): {
        "enableIngress",
        "headService",
        "labels",
        "rayStartParams",
        "resources",
        "serviceType",
        "template",
    },
    ("spec", "workerGroupSpecs"): {
        "groupName",
        "idleTimeoutSeconds",
        "labels",
        "maxReplicas",
        "minReplicas",
        "numOfHosts",
        "rayStartParams",
        "replicas",
        "resources",
        "scaleStrategy",
        "suspend",
        "template",
    },
}
# https://docs.docker.com/reference/compose-file/services/
COMPOSE_SERVICE = {
    "build",
    "command",
    "depends_on",
    "environment",
    "healthcheck",
    "image",
    "init",
    "networks",
    "ports",
    "restart",
    "secrets",
    "shm_size",
    "stop_grace_period",
    "volumes",
}


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return content


def kuberay_groups() -> list[dict[str, Any]]:
    spec = read("kuberay.yaml")["spec"]
    return [spec["headGroupSpec"], *spec["workerGroupSpecs"]]


def container(group: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = group["template"]["spec"]["containers"][0]
    return found


def environment(group: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in container(group)["env"]}


def settings_in(name: str) -> dict[str, str]:
    lines = [line for line in (DEPLOY / name).read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("path", KUBERAY_FIELDS)
def test_the_manifest_has_no_field_that_kuberay_does_not_know(path: tuple[str, ...]) -> None:
    part: Any = read("kuberay.yaml")
    for key in path:
        part = part[key]
    for one in part if isinstance(part, list) else [part]:
        assert set(one) <= KUBERAY_FIELDS[path]


def test_each_group_of_the_manifest_has_the_labels_of_its_workers() -> None:
    for group in kuberay_groups():
        told = environment(group)
        labels = node_labels(told["IMMICH_WORKERS_INCLUDE"], told.get("IMMICH_WORKERS_EXCLUDE", ""))
        assert group["labels"] == labels


def test_each_queue_has_a_group_and_a_service() -> None:
    labels = {label for group in kuberay_groups() for label in group["labels"]}
    services = [one.get("environment", {}) for one in read("compose.yaml")["services"].values()]
    in_compose = [(told.get("IMMICH_WORKERS_INCLUDE", ""), told.get("IMMICH_WORKERS_EXCLUDE", "")) for told in services]
    served = {label for lists in in_compose if any(lists) for label in node_labels(*lists)}
    wanted = {queue_label(queue) for queue in QueueName}
    assert wanted <= labels
    assert wanted <= served


def test_machines_that_are_no_api_nodes_are_told_of_no_database() -> None:
    head, *workers = kuberay_groups()
    assert "DB_URL" in environment(head)
    assert not [name for group in workers for name in environment(group) if names_database(name)]
    services = read("compose.yaml")["services"]
    for name in ("photos", "videos"):
        assert not [variable for variable in services[name]["environment"] if names_database(variable)]
        assert "database" not in services[name]["secrets"]
    assert not [name for name in settings_in("node.env.example") if names_database(name)]


def test_every_variable_is_one_of_ours() -> None:
    told = {name for group in kuberay_groups() for name in environment(group)}
    services = read("compose.yaml")["services"]
    told |= {name for one in ("api", "photos", "videos") for name in services[one]["environment"]}
    told |= {*settings_in("up.env.example"), *settings_in("node.env.example")} - {"HELIOSTAT_HEAD"}
    told |= set(
        re.findall(r"^(?:ENV| {4})\s*((?:IMMICH|HELIOSTAT)_[A-Z_]+)=", (DEPLOY / "Dockerfile").read_text(), re.M)
    )
    assert len(told) > 8
    assert {name.removesuffix("_FILE") for name in told} <= VARIABLES | {"HELIOSTAT_TOKEN"}


def test_commands_and_ports_are_ours() -> None:
    services = read("compose.yaml")["services"]
    commands = [services[name]["command"] for name in ("api", "photos", "videos")]
    units = "".join((DEPLOY / f"heliostat-{one}.service").read_text() for one in ("up", "node"))
    named = {command[0] for command in commands} | set(re.findall(r"bin/heliostat (\w+)", units))
    for group in kuberay_groups():
        named |= {re.sub(r"^(exec )?heliostat ", "", " ".join(container(group)["command"]).split("-c ")[-1]).split()[0]}
    assert named == {"up", "node"}
    assert named <= COMMANDS
    texts = "".join(path.read_text() for path in DEPLOY.iterdir())
    ports = {int(port) for port in re.findall(r"\b(149\d\d)\b", texts)}
    assert ports == {BASE + RayPort.HEAD, BASE + RayPort.DASHBOARD, BASE + RayPort.DASHBOARD_AGENT}


def test_a_machine_that_is_told_to_stop_has_time_to_drain() -> None:
    """Whoever runs the commands sends them SIGTERM first, and kills no sooner than they end by themselves."""
    of_pods = {group["template"]["spec"]["terminationGracePeriodSeconds"] for group in kuberay_groups()}
    services = read("compose.yaml")["services"]
    of_services = {int(services[name]["stop_grace_period"].removesuffix("s")) for name in ("api", "photos", "videos")}
    units = "".join((DEPLOY / f"heliostat-{one}.service").read_text() for one in ("up", "node"))
    of_units = {int(seconds) for seconds in re.findall(r"^TimeoutStopSec=(\d+)$", units, re.M)}
    settings = read_settings({"IMMICH_MEDIA_LOCATION": "/data"})
    needed = max(settings.leave_s, settings.stop_s) + ENDS_S
    assert len(of_units) > 0
    assert min(of_pods | of_services | of_units) > needed
    for group in kuberay_groups():  # a shell in between would keep the signal for itself
        assert "lifecycle" not in container(group)
        assert container(group)["command"][0] == "heliostat" or "exec heliostat " in container(group)["command"][-1]


def test_a_pod_that_waits_for_its_head_is_let_live() -> None:
    """However long: its command joins again by itself. Without any probe KubeRay would add one that asks the raylet."""
    head, *workers = kuberay_groups()
    assert "httpGet" in container(head)["livenessProbe"]
    for group in workers:
        assert container(group)["livenessProbe"] == {"exec": {"command": ["true"]}}
        assert "httpGet" in container(group)["readinessProbe"]


def test_a_machine_of_the_clusters_file_is_drained_before_its_ray_is_stopped() -> None:
    cluster_file = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    stop, start = cluster_file["worker_start_ray_commands"]
    leave, ended = stop.split(";")
    assert ended.strip().endswith("ray stop")
    assert "RAY_AUTH_MODE=token" in leave
    head, address = re.findall(r"\$RAY_HEAD_IP:(\d+) .*:(\d+) \d+ wait$", leave)[0]
    assert f"--address=$RAY_HEAD_IP:{head}" in start
    assert f"--node-manager-port={address}" in start


def test_the_compose_file_names_only_what_it_has() -> None:
    compose = read("compose.yaml")
    for service in compose["services"].values():
        assert set(service) <= COMPOSE_SERVICE
        assert set(service["networks"]) <= set(compose["networks"])
        assert {name.split(":")[0] for name in service.get("volumes", [])} <= set(compose["volumes"])
        secrets = {one if isinstance(one, str) else one["source"] for one in service.get("secrets", [])}
        assert secrets <= set(compose["secrets"])
        assert set(service.get("depends_on", [])) <= set(compose["services"])
        if "build" in service:
            assert (DEPLOY / service["build"]["context"]).resolve() == REPOSITORY
            assert (REPOSITORY / service["build"]["dockerfile"]).is_file()


def test_secrets_that_compose_has_one_make_reach_no_image_no_commit_and_no_machine() -> None:
    files = {(DEPLOY / one["file"]).relative_to(REPOSITORY) for one in read("compose.yaml")["secrets"].values()}
    cluster_file = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    left_out = {
        "images": (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines(),
        "commits": (REPOSITORY / ".gitignore").read_text().splitlines(),
        "machines": cluster_file["rsync_exclude"],
    }
    assert files
    for name, lines in left_out.items():
        folders = {line.strip("/") for line in lines}
        assert [path for path in files if str(path.parent) not in folders] == [], name


def test_the_image_is_made_by_what_is_there() -> None:
    lines = (DEPLOY / "Dockerfile").read_text()
    parts = re.findall(r"(?:ARG PARTS=|PARTS=)(\w+)", lines)
    setup = (REPOSITORY / "cluster" / "setup.sh").read_text()
    assert parts
    assert all(re.search(rf"^#   cluster/setup\.sh {part}\b", setup, re.M) for part in parts)
    assert 'ENTRYPOINT ["heliostat"]' in lines


@pytest.mark.parametrize("name", ["up", "node"])
def test_systemd_takes_the_units(name: str, tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    command = tmp_path / "opt" / ".venv" / "bin" / "heliostat"
    command.parent.mkdir(parents=True)
    shutil.copy("/bin/true", command)
    unit = tmp_path / f"heliostat-{name}.service"
    unit.write_text((DEPLOY / unit.name).read_text().replace("/opt/heliostat", str(tmp_path / "opt")))
    done = subprocess.run([analyze, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    about = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert done.returncode == 0, done.stderr
    assert about == []
