"""Settings → the environment and the start command of this machine's Ray. Pure; `stack.py` runs it."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.names import WorkerName
from cluster.settings import RayPort, Settings, strip_database_variables
from cluster.workers import node_duties, node_labels

STACK_MARK = "HELIOSTAT_STACK"
"""Every process of a stack carries this variable, so that its own processes, and no others, can be found and ended."""

NAMESPACE = "heliostat"
"""Ray's namespace of what is ours."""


def controller_name(number: int) -> str:
    """The name under which the `number`th controller of a cluster, from 0, leases; it survives restarts."""
    return f"controller-{number + 1}" if number else "controller"


def controller_actor(controller: str) -> str:
    """Ray's name for a controller's actor."""
    return f"heliostat-{controller}"


OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Pictures travel by path, so little goes through Ray's object store."""


LOOPBACK = "127.0.0.1"


def ray_temp_dir(settings: Settings) -> Path:
    return settings.state_dir / "ray"


def proxy_folder(settings: Settings) -> Path:
    """HAProxy's configuration and sockets. Its name is short because a socket's path must be."""
    return settings.state_dir / "p"


def head_address(settings: Settings) -> str:
    """What a driver on the head's machine connects to. Without an address for others, Ray listens on loopback alone."""
    return f"{settings.ray_host or LOOPBACK}:{settings.ray_port(RayPort.HEAD)}"


def ray_environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of every Ray process of this machine. One that is no api node loses the database's variables."""
    duties = node_duties(settings.workers_include, settings.workers_exclude)
    base = dict(environ) if WorkerName.API in duties.workers else strip_database_variables(environ)
    base.pop("RAY_AUTH_TOKEN", None)  # it would go before the file, and everybody's environment can be read
    proxy = proxy_folder(settings)
    port = settings.ray_port
    return base | {
        STACK_MARK: str(settings.state_dir),
        "PATH": f"{Path(sys.executable).parent}:{environ.get('PATH', '')}",
        "IMMICH_MEDIA_LOCATION": str(settings.media_root),
        "HELIOSTAT_STATE_DIR": str(settings.state_dir),
        "HELIOSTAT_NODE_NAME": settings.node_name,
        "RAY_TMPDIR": str(settings.state_dir),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.token_file),
        "RAY_enable_autoscaler_v2": "1",
        "RAY_enable_infeasible_task_early_exit": "true",
        "AUTOSCALER_METRIC_PORT": str(port(RayPort.AUTOSCALER_METRICS)),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DEDUP_LOGS": "0",
        # weights come from the model folder; a library that looks for them elsewhere would wait for a hub
        "HF_HUB_OFFLINE": "1",
        # workers start with the environment of media work, so those that Ray starts ahead would never be used;
        # a worker costs 1.6 s of CPU to start, so it stays for the next trickle of uploads
        "RAY_prestart_worker_first_driver": "0",
        "RAY_idle_worker_killing_time_threshold_ms": "300000",
        # Serve looks at its state ten times a second otherwise: 3 % of a core for nothing
        "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.25",
        # with a thread of its own, what the app answers waits for the client in a queue without end: a whole archive
        "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_BINARY_PATH": str(proxy / "haproxy"),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(proxy / "metrics.sock"),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(port(RayPort.HAPROXY_METRICS)),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(port(RayPort.HAPROXY_STATS)),
        "RAY_SERVE_HAPROXY_NBTHREAD": "2",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(port(RayPort.REPLICA_FIRST)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(port(RayPort.REPLICA_LAST)),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(port(RayPort.REPLICA_GRPC_FIRST)),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(port(RayPort.REPLICA_GRPC_LAST)),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(port(RayPort.FALLBACK_PROXY)),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(port(RayPort.FALLBACK_PROXY_GRPC)),
    }


def proxy_command() -> str:
    """The script that stands for HAProxy: `ray_proxy.py`, as a file, since a worker's folder and path are not ours."""
    program = Path(__file__).with_name("ray_proxy.py")
    return f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(program))} "$@"\n'


def head_command(settings: Settings) -> list[str]:
    """`ray start --head …` for this machine, with the labels of its workers."""
    port = settings.ray_port
    options = {
        "--port": port(RayPort.HEAD),
        "--dashboard-port": port(RayPort.DASHBOARD),
        "--dashboard-host": LOOPBACK,
        "--include-dashboard": str(settings.dashboard).lower(),
    }
    labels = node_labels(settings.workers_include, settings.workers_exclude)
    # the monitor is Ray's autoscaler: a process that nobody needs where there is nothing to scale
    scaled = settings.autoscaling_config
    monitor = "--no-monitor" if scaled is None else f"--autoscaling-config={scaled}"
    return _start_command(settings, settings.ray_host or LOOPBACK, labels, options, ["--head", monitor])


def node_command(settings: Settings, head: str, host: str, labels: Mapping[str, str]) -> list[str]:
    """`ray start --address=…` for a further machine. `head`: HOST:PORT; `host`: this machine's own."""
    return _start_command(settings, host, labels, {"--address": head})


def _start_command(
    settings: Settings, host: str, labels: Mapping[str, str], own: Mapping[str, object], flags: Sequence[str] = ()
) -> list[str]:
    """What the head and all others have in common, and what is `own`."""
    port = settings.ray_port
    first_worker_port, last_worker_port = settings.worker_ports or (0, 0)
    options = {
        "--node-ip-address": host,
        "--node-name": settings.node_name,
        "--node-manager-port": port(RayPort.NODE_MANAGER),
        "--object-manager-port": port(RayPort.OBJECT_MANAGER),
        "--dashboard-agent-listen-port": port(RayPort.DASHBOARD_AGENT),
        "--dashboard-agent-grpc-port": port(RayPort.DASHBOARD_AGENT_GRPC),
        "--runtime-env-agent-port": port(RayPort.RUNTIME_ENV_AGENT),
        "--metrics-export-port": port(RayPort.METRICS),
        # workers take any free port unless a firewall wants to know: their usual range holds other stacks
        "--min-worker-port": first_worker_port,
        "--max-worker-port": last_worker_port,
        "--include-log-monitor": "false",
        "--object-store-memory": OBJECT_STORE_BYTES,
        "--temp-dir": ray_temp_dir(settings),
        "--labels": ",".join(f"{name}={value}" for name, value in labels.items()),
        **own,
    }
    # a machine that serves no queue has no work to give a core to
    cpus = settings.num_cpus if any(name.startswith("queue/") for name in labels) else 0
    options |= {} if cpus is None else {"--num-cpus": cpus}
    options |= {} if settings.num_gpus is None else {"--num-gpus": settings.num_gpus}
    return [
        sys.executable,
        "-m",
        "cluster.ray_start",
        "start",
        *flags,
        "--disable-usage-stats",
        *(f"{name}={value}" for name, value in options.items()),
    ]
