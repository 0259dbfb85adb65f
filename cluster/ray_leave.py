"""How a further machine tells the cluster that it goes: Ray's own drain, which has no way back.

`python -m cluster.ray_leave HEAD ADDRESS SECONDS` says so for the node whose raylet listens at ADDRESS; both are
HOST:PORT. From then on Ray starts nothing there, and ends the raylet as soon as nothing runs on it any more. The
controllers hear it from Ray: they leave the node out, end its models, and give back in time what is not done. With the
word `wait` after that it returns when the raylet has ended, or the seconds are over: for machines whose Ray a script
starts and ends, as those of a cluster's file.
"""

import sys
import time
from typing import Any

from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is compiled, without types
from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]  # generated, without types
from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]

ANSWER_S = 5.0
LOOK_EVERY_S = 0.5


def leave(head: str, address: str, seconds: float) -> bool:
    """Whether the node at `address` was found and drains now. Raises what Ray raises."""
    client = GcsClient(address=head)
    node_id = _node_at(client, address)
    if node_id is None:
        return False
    until_ms = int((time.time() + seconds) * 1000)
    reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    accepted, _ = client.drain_node(node_id, reason, "its machine is going", until_ms, timeout=ANSWER_S)
    return bool(accepted)


def wait_until_left(head: str, address: str, seconds: float) -> None:
    """Until no node lives at `address`, at most so long. Raises what Ray raises."""
    client, until_s = GcsClient(address=head), time.monotonic() + seconds
    while _node_at(client, address) is not None and time.monotonic() < until_s:
        time.sleep(LOOK_EVERY_S)


def _node_at(client: Any, address: str) -> str | None:
    """Its id, where one lives there."""
    nodes = client.get_all_node_info(timeout=ANSWER_S, state_filter=GcsNodeInfo.GcsNodeState.ALIVE)
    addresses = {f"{info.node_manager_address}:{info.node_manager_port}": node_id for node_id, info in nodes.items()}
    return addresses[address].hex() if address in addresses else None


if __name__ == "__main__":
    head, address, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
    if not leave(head, address, seconds):
        sys.exit(1)
    if sys.argv[4:] == ["wait"]:
        wait_until_left(head, address, seconds)
