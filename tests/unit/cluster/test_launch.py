"""The environment and the start command of a machine's Ray."""

import re
from pathlib import Path

import pytest

from cluster.launch import STACK_MARK, head_address, head_command, node_command, proxy_folder, ray_environment
from cluster.settings import NO_DATABASE, RAY_PORTS_PER_STACK, RayPort, Settings, read_settings

HOME = {"HOME": "/home/someone", "PATH": "/usr/bin"}
DATABASE = {"DB_URL": "postgresql://someone:secret@db/immich", "DB_PASSWORD": "secret"}
LONGEST_SOCKET_BYTES = 97


def settings_of(**environ: str) -> Settings:
    return read_settings(HOME | environ)


def options_of(settings: Settings) -> dict[str, str]:
    return dict(part.split("=", 1) for part in head_command(settings) if part.startswith("--") and "=" in part)


def ports_of(settings: Settings) -> list[int]:
    """Every port that Ray, Serve and HAProxy are told; 0 is any."""
    environment = ray_environment(settings, {})
    options = options_of(settings)
    told = [value for name, value in options.items() if name.endswith("port")]
    told += [value for name, value in environment.items() if name.endswith("_PORT")]
    return [int(value) for value in told if value != "0"]


def test_an_api_node_may_open_the_database() -> None:
    environ = HOME | DATABASE
    assert DATABASE.items() <= ray_environment(read_settings(environ), environ).items()


@pytest.mark.parametrize("workers", ["machine-learning", "encoding", "microservices"])
def test_no_other_node_gets_its_credentials(workers: str) -> None:
    environ = HOME | DATABASE | {"IMMICH_WORKERS_INCLUDE": workers}
    environment = ray_environment(read_settings(environ), environ)
    assert "secret" not in str(environment)
    assert environment[NO_DATABASE[0]] == NO_DATABASE[1]
    assert environment["IMMICH_WORKERS_INCLUDE"] == workers


def test_every_process_carries_the_mark_of_its_stack() -> None:
    first, second = settings_of(), settings_of(IMMICH_PORT="3001")
    marks = [ray_environment(settings, {})[STACK_MARK] for settings in (first, second)]
    assert marks == [str(first.state_dir), str(second.state_dir)]
    assert marks[0] != marks[1]


def test_two_stacks_side_by_side_share_no_port_and_no_file() -> None:
    first, second = settings_of(), settings_of(IMMICH_PORT="2284")
    assert not set(ports_of(first)) & set(ports_of(second))
    assert first.token_file != second.token_file
    assert proxy_folder(first) != proxy_folder(second)


def test_each_port_is_told_once_and_lies_in_the_range_of_the_stack() -> None:
    settings = settings_of()
    ports = ports_of(settings)
    assert len(ports) == len(set(ports))
    assert len(ports) > 10
    assert all(0 <= port - settings.ray_port_base < RAY_PORTS_PER_STACK for port in ports)


def test_serve_and_ray_agree_on_what_is_asked_of_every_cluster() -> None:
    environment = ray_environment(settings_of(), {})
    assert environment["RAY_AUTH_MODE"] == "token"
    assert environment["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    assert environment["RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD"] == "0"
    assert environment["RAY_enable_autoscaler_v2"] == "1"
    assert environment["RAY_enable_infeasible_task_early_exit"] == "true"
    assert "--disable-usage-stats" in head_command(settings_of())


def test_paths_of_sockets_stay_short_enough_whatever_the_media_root_is() -> None:
    settings = settings_of(IMMICH_MEDIA_LOCATION="/" + "long/" * 30 + "media")
    environment = ray_environment(settings, {})
    sockets = [value for name, value in environment.items() if re.search("SOCKET_PATH$", name)]
    assert len(sockets) == 2
    assert all(len(socket) <= LONGEST_SOCKET_BYTES for socket in sockets)


def test_the_dashboard_listens_on_this_machine_alone_and_can_be_left_out() -> None:
    assert options_of(settings_of())["--dashboard-host"] == "127.0.0.1"
    assert options_of(settings_of())["--include-dashboard"] == "true"
    assert options_of(settings_of(HELIOSTAT_DASHBOARD="false"))["--include-dashboard"] == "false"


def test_rays_autoscaler_runs_where_it_has_a_file_to_scale_by() -> None:
    assert "--no-monitor" in head_command(settings_of())
    scaled = head_command(settings_of(HELIOSTAT_AUTOSCALING_CONFIG="/etc/cluster.yaml"))
    assert "--autoscaling-config=/etc/cluster.yaml" in scaled
    assert "--no-monitor" not in scaled


def test_labels_say_which_queues_the_node_serves() -> None:
    labels = options_of(settings_of(IMMICH_WORKERS_INCLUDE="encoding"))["--labels"].split(",")
    assert set(labels) == {"worker/encoding=true", "queue/videoConversion=true"}


@pytest.mark.parametrize(("environ", "told"), [({}, None), ({"HELIOSTAT_NUM_CPUS": "3"}, "3")])
def test_cpus_are_rays_to_count_unless_they_are_set(environ: dict[str, str], told: str | None) -> None:
    assert options_of(settings_of(**environ)).get("--num-cpus") == told


def test_drivers_connect_to_the_head_on_this_machine() -> None:
    settings = settings_of(HELIOSTAT_RAY_PORT_BASE="20000")
    assert head_address(settings) == f"127.0.0.1:{20000 + RayPort.HEAD}"


def test_programs_of_this_installation_are_found_first() -> None:
    folders = ray_environment(settings_of(), HOME)["PATH"].split(":")
    assert (Path(folders[0]) / "python").exists()
    assert folders[-1] == "/usr/bin"


def test_ray_listens_on_loopback_alone_unless_other_machines_are_to_join() -> None:
    assert options_of(settings_of())["--node-ip-address"] == "127.0.0.1"
    open_to_others = settings_of(HELIOSTAT_RAY_HOST="10.0.0.5")
    assert options_of(open_to_others)["--node-ip-address"] == "10.0.0.5"
    assert head_address(open_to_others).startswith("10.0.0.5:")


def test_a_further_machine_joins_the_head_with_its_own_labels_and_ports() -> None:
    settings = settings_of(HELIOSTAT_NODE_NAME="attic", HELIOSTAT_NUM_GPUS="2")
    command = node_command(settings, "10.0.0.5:14992", "10.0.0.6", {"queue/ocr": "true"})
    options = dict(part.split("=", 1) for part in command if part.startswith("--") and "=" in part)
    assert options["--address"] == "10.0.0.5:14992"
    assert options["--node-ip-address"] == "10.0.0.6"
    assert options["--node-name"] == "attic"
    assert options["--labels"] == "queue/ocr=true"
    assert options["--num-gpus"] == "2"
    assert "--num-cpus" not in options
    assert "--head" not in command


def test_a_machine_that_serves_no_queue_gives_jobs_no_core() -> None:
    assert options_of(settings_of(IMMICH_WORKERS_INCLUDE="api", HELIOSTAT_NUM_CPUS="4"))["--num-cpus"] == "0"


def test_worker_processes_take_any_port_or_those_that_a_firewall_knows() -> None:
    def told(**environ: str) -> tuple[str, str]:
        options = options_of(settings_of(**environ))
        return options["--min-worker-port"], options["--max-worker-port"]

    assert told() == ("0", "0")
    assert told(HELIOSTAT_WORKER_PORTS="20000-20999") == ("20000", "20999")
