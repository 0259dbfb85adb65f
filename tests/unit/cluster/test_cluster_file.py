"""Each check of a cluster's file on the real one, changed in memory, and on what that one does not show."""

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from cluster.cluster_file import Demand, Finding, findings
from cluster.names import QueueName
from cluster.ray_cluster_file import label_findings, prepared
from tests.shared_media import REPOSITORY

GPU, ENCODING = "gpu-worker", "encoding-worker"
Change = Callable[[dict[str, Any]], None]


PLAIN_HEAD = (
    "RAY_AUTH_MODE=token RAY_enable_autoscaler_v2=1 ray start --head --port=14992 --dashboard-host=127.0.0.1 "
    "--min-worker-port=0 --max-worker-port=0 --autoscaling-config=~/ray_bootstrap_config.yaml"
)
"""A head that runs Ray alone."""


def content() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((REPOSITORY / "ray-cluster.yaml").read_text())
    return loaded


def found_in(changed: dict[str, Any], *demands: Demand) -> list[Finding]:
    config, refused = prepared(changed)
    assert refused == []
    return findings(config, demands)


def words_of(changed: dict[str, Any], *demands: Demand) -> list[str]:
    return [f"{'.'.join(map(str, one.where))}: {one.wrong}" for one in found_in(changed, *demands)]


def own(config: dict[str, Any], name: str) -> dict[str, Any]:
    of_type: dict[str, Any] = config["available_node_types"][name]
    return of_type


def replace_in(texts: list[str], old: str, new: str) -> None:
    """In each of them that has it; one must."""
    assert any(old in text for text in texts)
    texts[:] = [text.replace(old, new) for text in texts]


@pytest.mark.parametrize(
    ("demand", "fits"),
    [
        (Demand("one", QueueName.VIDEO_CONVERSION, cpus=16), True),
        (Demand("one", QueueName.VIDEO_CONVERSION, cpus=17), False),
        (Demand("one", QueueName.VIDEO_CONVERSION, gpus=0.5), False),
        (Demand("one", QueueName.VIDEO_CONVERSION, memory_mb=1000), True),  # the file says nothing of memory
        (Demand("one", QueueName.OCR, cpus=8, gpus=1), True),
        (Demand("one", QueueName.OCR, gpus=2), False),
    ],
)
def test_a_job_must_fit_on_some_machine_of_its_queue(demand: Demand, fits: bool) -> None:
    assert (found_in(content(), demand) == []) == fits


def test_a_job_fits_when_one_of_several_types_has_room() -> None:
    config, demand = content(), Demand("one", QueueName.OCR, cpus=12)
    assert len(found_in(config, demand)) == 1
    own(config, ENCODING)["labels"] |= {"worker/machine-learning": "true", "queue/ocr": "true"}
    options = own(config, ENCODING)["docker"]["worker_run_options"]
    replace_in(options, "INCLUDE=encoding", "INCLUDE=encoding,machine-learning")
    replace_in(options, "HELIOSTAT_DATABASE=none", "IMMICH_WORKERS_EXCLUDE=faceDetection,smartSearch")
    assert found_in(config, demand) == []


def test_cpus_of_two_machines_do_not_add_up() -> None:
    (one,) = found_in(content(), Demand("large", QueueName.VIDEO_CONVERSION, cpus=32))
    where = "no node type that serves videoConversion (encoding-worker)"
    assert one.wrong == f"{where} has what a job needs: large (32 CPU)"


def test_memory_counts_where_the_file_states_it() -> None:
    config = content()
    own(config, GPU)["resources"]["memory"] = 800 * 1024**2
    sizes = {memory_mb: Demand("model", QueueName.OCR, memory_mb=memory_mb) for memory_mb in (800, 801)}
    assert [size for size, demand in sizes.items() if found_in(config, demand)] == [801]


def remove_api(config: dict[str, Any]) -> None:
    own(config, "head")["labels"] = {}
    replace_in(config["docker"]["head_run_options"], "-e IMMICH_WORKERS_INCLUDE=api", "--init")


def forget_a_queue(config: dict[str, Any]) -> None:
    del own(config, GPU)["labels"]["queue/ocr"]
    replace_in(
        own(config, GPU)["docker"]["worker_run_options"], "HELIOSTAT_DATABASE=none", "IMMICH_WORKERS_EXCLUDE=ocr"
    )


def no_machines_at_all(config: dict[str, Any]) -> None:
    config["max_workers"] = 0
    own(config, "cpu-worker")["min_workers"] = 0


def mistype_a_queue(config: dict[str, Any]) -> None:
    own(config, ENCODING)["labels"]["queue/videoConversions"] = "true"


def answer_no(config: dict[str, Any]) -> None:
    own(config, ENCODING)["labels"]["queue/videoConversion"] = "yes"


def name_nobody(config: dict[str, Any]) -> None:
    replace_in(own(config, ENCODING)["docker"]["worker_run_options"], "INCLUDE=encoding", "INCLUDE=encodings")


def no_mount_in_the_container(config: dict[str, Any]) -> None:
    config["docker"]["run_options"].remove("-v /mnt/media:/mnt/media")


def no_media_location(config: dict[str, Any]) -> None:
    config["docker"]["run_options"].remove("-e IMMICH_MEDIA_LOCATION=/mnt/media")


def another_path(config: dict[str, Any]) -> None:
    own(config, GPU)["docker"]["worker_run_options"] += ["-e IMMICH_MEDIA_LOCATION=/photos", "-v", "/mnt/media:/photos"]


def mount_something_else(config: dict[str, Any]) -> None:
    replace_in(config["initialization_commands"], "/mnt/media", "/mnt/media2")


def room_for_what_is_always_there_alone(config: dict[str, Any]) -> None:
    config["max_workers"] = own(config, "cpu-worker")["min_workers"]


def token_for_another_command(config: dict[str, Any]) -> None:
    config["worker_start_ray_commands"][1] = config["worker_start_ray_commands"][1].replace("RAY_AUTH_MODE=token ", "")


def token_before_another_program(config: dict[str, Any]) -> None:
    token_for_another_command(config)
    config["worker_start_ray_commands"][1] = "RAY_AUTH_MODE=token true; " + config["worker_start_ray_commands"][1]


def token_for_the_container(config: dict[str, Any]) -> None:
    token_for_another_command(config)
    config["docker"]["run_options"].append("-e RAY_AUTH_MODE=token")


def token_exported(config: dict[str, Any]) -> None:
    token_for_another_command(config)
    config["worker_start_ray_commands"][1] = "export RAY_AUTH_MODE=token; " + config["worker_start_ray_commands"][1]


def token_before_a_substitution(config: dict[str, Any]) -> None:
    token_for_another_command(config)
    here = "RAY_AUTH_MODE=token A=$(hostname -I | cut -d' ' -f1) "
    config["worker_start_ray_commands"][1] = here + config["worker_start_ray_commands"][1]


def postgresql_for_all(config: dict[str, Any]) -> None:
    config["docker"]["run_options"] += ["-e PGPASSWORD=1234", "--env CREDENTIALS_DIRECTORY", "-e LC_ALL=C"]


def port_that_is_none(config: dict[str, Any]) -> None:
    config["provider"]["security_group"]["IpPermissions"][0]["FromPort"] = "x"


def secret_in_the_file(config: dict[str, Any]) -> None:
    config["docker"]["run_options"].append("-e RAY_AUTH_TOKEN=1234")


def no_secret(config: dict[str, Any]) -> None:
    del config["file_mounts"]["~/.ray/auth_token"]


def database_in_a_file(config: dict[str, Any]) -> None:
    config["file_mounts"]["~/DB_PASSWORD"] = "~/secrets/database"


def database_for_one(config: dict[str, Any]) -> None:
    own(config, GPU)["docker"]["worker_run_options"].append("-e DB_PASSWORD_FILE=/run/password")


def first_autoscaler(config: dict[str, Any]) -> None:
    config["head_start_ray_commands"] = [PLAIN_HEAD.replace("RAY_enable_autoscaler_v2=1 ", "")]


def no_autoscaler(config: dict[str, Any]) -> None:
    replace_in(config["head_start_ray_commands"], "HELIOSTAT_AUTOSCALING_CONFIG", "ANOTHER")


def head_that_nobody_can_join(config: dict[str, Any]) -> None:
    replace_in(config["head_start_ray_commands"], "HELIOSTAT_RAY_HOST", "ANOTHER")
    replace_in(config["head_start_ray_commands"], "HELIOSTAT_TOKEN_FILE", "A_THIRD")


def plain_head(config: dict[str, Any]) -> None:
    config["head_start_ray_commands"] = [PLAIN_HEAD]


def other_head_port(config: dict[str, Any]) -> None:
    replace_in(config["worker_start_ray_commands"], "$RAY_HEAD_IP:14992", "$RAY_HEAD_IP:6379")


def ports_of_workers(config: dict[str, Any]) -> None:
    replace_in(config["worker_start_ray_commands"], "--min-worker-port=0 --max-worker-port=0", "")


def one_port_twice(config: dict[str, Any]) -> None:
    config["head_start_ray_commands"] = [PLAIN_HEAD + " --metrics-export-port 2283"]


def whole_range(config: dict[str, Any]) -> None:
    rule = {"IpProtocol": "tcp", "FromPort": 10_000, "ToPort": 20_000, "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}
    config["provider"]["security_group"]["IpPermissions"].append(rule)


def fixed_machines(config: dict[str, Any]) -> None:
    config["provider"] = {"type": "local", "head_ip": "10.0.0.1", "worker_ips": ["10.0.0.2"]}
    del config["available_node_types"], config["head_node_type"], config["max_workers"]


EMPTY_FOLDER = "on the machine: its work would go into an empty folder and be lost"
NO_TOKEN = "worker_start_ray_commands.1: Ray starts with RAY_AUTH_MODE=(unset)"
TYPES = [f"available_node_types.{name}" for name in ("head", "cpu-worker", GPU, ENCODING)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            remove_api,
            [
                f"{TYPES[0]}.labels: the head has no label worker/api",
                "docker.head_run_options.1: DB_URL_FILE reaches head, where nothing may open the database",
            ],
        ),
        (forget_a_queue, ["available_node_types: no node type serves ocr: those jobs would wait for ever"]),
        (no_machines_at_all, [f"{name}.max_workers: there may be no machine of this type" for name in TYPES[1:]]),
        (
            mistype_a_queue,
            [f"{TYPES[3]}.labels.queue/videoConversions: no worker and no queue has this name"],
        ),
        (
            answer_no,
            [
                f'{TYPES[3]}.labels.queue/videoConversion: the value is "yes", and no job asks for that',
                "available_node_types: no node type serves videoConversion: those jobs would wait for ever",
            ],
        ),
        (name_nobody, [f"{TYPES[3]}.docker.worker_run_options.0: IMMICH_WORKERS_INCLUDE: Invalid worker(s) found"]),
        (no_mount_in_the_container, [f"{name}: the container has no mount for the media folder" for name in TYPES]),
        (no_media_location, [f"{name}: IMMICH_MEDIA_LOCATION is not set for these machines" for name in TYPES]),
        (another_path, ["available_node_types: the media folder is not one path: /mnt/media, /photos"]),
        (mount_something_else, [f"{name}: no command mounts /mnt/media {EMPTY_FOLDER}" for name in TYPES]),
        (secret_in_the_file, ["docker.run_options.4: the cluster's secret stands in the file"]),
        (no_secret, ["file_mounts: no mount brings the secret ~/.ray/auth_token to the machines"]),
        (
            database_in_a_file,
            ["file_mounts.~/DB_PASSWORD: DB_PASSWORD reaches cpu-worker, gpu-worker, encoding-worker"],
        ),
        (database_for_one, [f"{TYPES[2]}.docker.worker_run_options.3: DB_PASSWORD_FILE reaches gpu-worker, where"]),
        (no_autoscaler, ["head_start_ray_commands: HELIOSTAT_AUTOSCALING_CONFIG is not set on the head: no machine"]),
        (
            head_that_nobody_can_join,
            [
                "head_start_ray_commands: HELIOSTAT_RAY_HOST is not set on the head: no machine could join",
                "head_start_ray_commands: HELIOSTAT_TOKEN_FILE is not set on the head: it would make a secret",
            ],
        ),
        (plain_head, []),
        (room_for_what_is_always_there_alone, [f"{name}.max_workers: there may be no machine" for name in TYPES[2:]]),
        (token_for_another_command, [NO_TOKEN]),
        (token_before_another_program, [NO_TOKEN]),
        (token_for_the_container, []),
        (token_exported, []),
        (token_before_a_substitution, []),
        (
            postgresql_for_all,
            [
                "docker.run_options.4: PGPASSWORD reaches cpu-worker, gpu-worker, encoding-worker, where nothing",
                "docker.run_options.5: CREDENTIALS_DIRECTORY reaches cpu-worker, gpu-worker, encoding-worker",
            ],
        ),
        (port_that_is_none, ["provider.security_group.IpPermissions.0: FromPort: x is no port"]),
        (first_autoscaler, ["head_start_ray_commands: Ray's first autoscaler would run, which does not know labels"]),
        (other_head_port, ["worker_start_ray_commands.1: the workers look for the head at port 6379"]),
        (
            ports_of_workers,
            ["worker_start_ray_commands.1: Ray's worker processes take the ports 10002 to 19999, among"],
        ),
        (one_port_twice, ["head_start_ray_commands.0: --metrics-export-port and IMMICH_PORT are both 2283"]),
        (whole_range, ["provider.security_group.IpPermissions.1: the ports 10000 to 20000 are open to the whole"]),
        (fixed_machines, ["provider.type: Ray cannot label the machines that `local` lists"]),
    ],
)
def test_a_change_has_its_findings_and_no_other(change: Change, words: list[str]) -> None:
    config = content()
    change(config)
    found = words_of(config)
    assert [one[: len(begin)] for one, begin in zip(found, words, strict=True)] == words


def test_the_folder_may_be_mounted_by_its_parent_or_in_dockers_other_words() -> None:
    for option in ("--volume=/mnt:/mnt:rw", "--mount type=bind,source=/mnt/media,target=/mnt/media", "-v /mnt/:/mnt/"):
        config = content()
        replace_in(config["docker"]["run_options"], "-v /mnt/media:/mnt/media", option)
        if "bind" not in option:
            replace_in(config["initialization_commands"], "/mnt/media", "/mnt")
        assert found_in(config) == [], option


def test_without_docker_a_command_of_the_machine_mounts_it() -> None:
    config = content()
    del config["docker"]
    for name in ("cpu-worker", GPU, ENCODING):
        del own(config, name)["docker"]
    for name in ("head_start_ray_commands", "worker_start_ray_commands"):
        config[name].insert(1, "export IMMICH_MEDIA_LOCATION=/mnt/media")
    assert found_in(config) == []
    config["initialization_commands"] = []
    assert [one.wrong for one in found_in(config)] == [f"no command mounts /mnt/media {EMPTY_FOLDER}"] * 4
    config["setup_commands"].append("sudo mount -t nfs4 files:/media /mnt/media")
    # a type's own set-up takes the place of the shared one
    assert [one.where for one in found_in(config)] == [("available_node_types", GPU)]


@pytest.mark.parametrize("text", ["a" * 64, "-a", "a-", "a b", "a/b/c", "ä"])
def test_a_name_that_ray_start_would_refuse_is_no_label(text: str) -> None:
    config = content()
    own(config, GPU)["labels"][text] = "x"
    (one,) = label_findings(prepared(config)[0])
    assert one.where == ("available_node_types", GPU, "labels", text)


@pytest.mark.parametrize("value", ["a" * 64, "-a", "a b", "a/b"])
def test_a_value_that_ray_start_would_refuse_is_no_label(value: str) -> None:
    config = content()
    own(config, GPU)["labels"]["rack"] = value
    (one,) = label_findings(prepared(config)[0])
    assert one.wrong.startswith("not a label: Invalid label key value")


def test_a_finding_in_a_shared_list_names_the_place_in_the_file() -> None:
    config = content()
    config["worker_setup_commands"] = ["true", "echo DB_HOSTNAME=db >> ~/.profile"]
    assert [one.where for one in found_in(config)] == [("worker_setup_commands", 1)]
