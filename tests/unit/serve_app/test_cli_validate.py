"""`heliostat validate`: the cluster's file as it stands passes, and each way to break it has its message."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from serve_app.cli import app
from tests.shared_media import REPOSITORY

GOOD = (REPOSITORY / "ray-cluster.yaml").read_text()
EVERYWHERE = "name your own network; the machines reach each other without a rule, the API speaks plain HTTP"


@dataclass(frozen=True)
class Broken:
    """`change`: what stands in the good file, and what instead. `line`: what stands in the line that is named."""

    change: tuple[str, str]
    line: str
    where: str
    wrong: str
    cure: str


BROKEN = {
    "a word that Ray does not know": Broken(
        ('    labels:\n      worker/api: "true"', '    label:\n      worker/api: "true"'),
        "head:",
        "available_node_types.head",
        "Ray refuses it: Additional properties are not allowed ('label' was unexpected)",
        "write it as https://docs.ray.io/en/latest/cluster/vms/references/ray-cluster-configuration.html shows",
    ),
    "a name that is no label": Broken(
        ('      worker/encoding: "true"\n', '      worker/encoding: "true"\n      rack-: "7"\n'),
        'rack-: "7"',
        "available_node_types.encoding-worker.labels.rack-",
        "not a label: Invalid label key name `rack-`.",
        "at most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends, one '/' before it",
    ),
    "a queue that nobody serves": Broken(
        ("    max_workers: 2\n", "    max_workers: 0\n"),
        "max_workers: 0",
        "available_node_types.gpu-worker.max_workers",
        "there may be no machine of this type, and no other serves faceDetection, smartSearch, ocr",
        "allow at least one, here and in max_workers at the top, beside all that min_workers keep",
    ),
    "jobs that fit on no machine": Broken(
        ("      CPU: 16\n", "      CPU: 0\n"),
        "resources:",
        "available_node_types.encoding-worker.resources",
        "no node type that serves videoConversion (encoding-worker) has what a job needs: AssetEncodeVideo (",
        "raise the resources, or choose a larger machine",
    ),
    "machines without the media folder": Broken(
        ("    max_workers: 2\n", "    max_workers: 2\n    initialization_commands: [nvidia-smi]\n"),
        "gpu-worker:",
        "available_node_types.gpu-worker",
        "no command mounts /mnt/media on the machine: its work would go into an empty folder and be lost",
        "add `mountpoint -q /mnt/media || mount … /mnt/media` to the initialization_commands that reach it",
    ),
    "a dashboard for everybody": Broken(
        (
            "    ~/heliostat/.venv/bin/ray stop\n  - >-\n    RAY_AUTH_MODE=token",
            "    ~/heliostat/.venv/bin/ray stop\n  - >-\n    RAY_AUTH_MODE=token ray start --dashboard-host=0.0.0.0 ;",
        ),
        "- >-",
        "worker_start_ray_commands.1",
        "the dashboard listens on 0.0.0.0: it runs code for whoever reaches it",
        "write --dashboard-host=127.0.0.1 and use `ray dashboard`",
    ),
    "ports for the whole internet": Broken(
        ("          - CidrIp: 10.0.0.0/8", "          - CidrIp: 0.0.0.0/0"),
        "- IpProtocol: tcp",
        "provider.security_group.IpPermissions.0",
        "port 2283 is open to the whole internet",
        EVERYWHERE,
    ),
    "no token": Broken(
        (
            "    ~/heliostat/.venv/bin/ray stop\n  - >-\n    RAY_AUTH_MODE=token",
            "    ~/heliostat/.venv/bin/ray stop\n  - >-\n    RAY_AUTH_MODE=disabled",
        ),
        "- >-",
        "worker_start_ray_commands.1",
        "Ray starts with RAY_AUTH_MODE=disabled: whoever reaches its ports can run code there",
        "start it with RAY_AUTH_MODE=token",
    ),
    "the database for everybody": Broken(
        ("    - --init\n", "    - -e DB_URL=postgres://someone:hidden@db/immich\n"),
        "- -e DB_URL=",
        "docker.run_options.3",
        "DB_URL reaches cpu-worker, gpu-worker, encoding-worker, where nothing may open the database",
        "say it to api nodes alone, as docker.head_run_options does",
    ),
    "labels that are not what the variables say": Broken(
        ("IMMICH_WORKERS_EXCLUDE=machine-learning,encoding", "IMMICH_WORKERS_EXCLUDE=machine-learning"),
        "labels:",
        "available_node_types.cpu-worker.labels",
        "the labels lack queue/videoConversion, worker/encoding; IMMICH_WORKERS_INCLUDE=microservices and "
        "IMMICH_WORKERS_EXCLUDE=machine-learning says otherwise",
        "change one or the other: a node whose two differ may not join",
    ),
}


def validate(file: Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["validate", str(file)])
    return done.exit_code, done.output


def test_the_file_as_it_stands_passes() -> None:
    file = REPOSITORY / "ray-cluster.yaml"
    assert validate(file) == (0, f"{file}: nothing wrong was found.\n")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_with_where_what_and_what_to_do(tmp_path: Path, name: str) -> None:
    broken, file = BROKEN[name], tmp_path / "cluster.yaml"
    assert GOOD.count(broken.change[0]) == 1
    file.write_text(GOOD.replace(*broken.change))
    code, said = validate(file)
    assert code == 1
    found, cure = said.rstrip().split("\n    → ")  # one finding, and no other
    place, line, words = found.split(":", 2)
    assert place == str(file)
    assert broken.line in file.read_text().splitlines()[int(line) - 1]
    assert words.startswith(f" {broken.where}: {broken.wrong}")
    assert cure == broken.cure
    assert "hidden" not in said


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        ("", "it does not say where machines come from"),
        ("- a list", "it does not say where machines come from"),
        ("provider: aws", "it does not say where machines come from"),
        ("cluster_name: x\nprovider: {type: nowhere}", "Unsupported node provider: nowhere"),
        ("cluster_name: [x", "cannot be read"),
        ("\x00", "cannot be read"),
    ],
)
def test_what_is_no_cluster_at_all_is_refused_in_words(tmp_path: Path, content: str, wrong: str) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(content)
    code, said = validate(file)
    assert code == 1
    assert wrong in said
    assert "Traceback" not in said


def test_rays_own_defaults_are_judged_too(tmp_path: Path) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster_name: x\nprovider: {type: aws, region: eu-central-1}\n")
    code, said = validate(file)
    assert code == 1
    assert "head_start_ray_commands.1: Ray starts with RAY_AUTH_MODE=(unset)" in said
    assert "the dashboard listens on 0.0.0.0" in said
