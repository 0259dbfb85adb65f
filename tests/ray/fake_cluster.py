"""Several Ray nodes in one process, by Ray's own `cluster_utils.Cluster`: labels of ours, GPUs that are only counted.
Who uses it joins Ray, so it does so in a process of its own; `fake_environ` is what that starts with.
"""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cluster.workers import node_labels
from tests.shared_media import REPOSITORY


def fake_environ(folder: Path, state_dir: Path) -> dict[str, str]:
    """A home, a secret and a short folder for Ray's files, which are the caller's to delete."""
    state_dir.mkdir(mode=0o700)
    token = state_dir / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    return {
        "HOME": str(folder),
        "PYTHONPATH": str(REPOSITORY),
        "RAY_TMPDIR": str(state_dir),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(token),
        "RAY_enable_autoscaler_v2": "1",
        "RAY_enable_infeasible_task_early_exit": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
        "HELIOSTAT_STACK": str(state_dir),
        "HELIOSTAT_DATABASE": "none",
    }


@contextmanager
def fake_cluster(nodes: Mapping[str, tuple[str, str]], gpus: Mapping[str, int]) -> Iterator[Any]:
    """A running cluster that this process has joined. `nodes`: name → IMMICH_WORKERS_INCLUDE and _EXCLUDE, the first is
    the head; each has two CPUs. `gpus`: name → how many it says that it has."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for name, lists in nodes.items():
            # of the dashboard and the log monitor nobody here has any use
            own = {} if cluster.head_node else {"include_dashboard": False, "include_log_monitor": False}
            labels = node_labels(*lists)
            cluster.add_node(node_name=name, num_cpus=2, num_gpus=gpus.get(name, 0), labels=labels, **own)
        ray.init(address=cluster.address, namespace="heliostat", log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()  # type: ignore[no-untyped-call]  # Ray leaves it untyped
