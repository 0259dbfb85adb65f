"""How a further machine tells the cluster that it goes: Ray's own drain, which has no way back.

`python -m cluster.ray_leave HEAD ADDRESS SECONDS` says so for the node whose raylet listens at ADDRESS; both are
HOST:PORT. From then on Ray starts nothing there, and ends the raylet as soon as nothing runs on it any more. The
controllers hear it from Ray: they leave the node out, end its models, and give back in time what is not done.
"""

import sys
import time

from ray._raylet import GcsClient  # type: ignore[attr-defined]  # it is compiled, without types
from ray.core.generated.autoscaler_pb2 import DrainNodeReason  # type: ignore[attr-defined]  # generated, without types
from ray.core.generated.gcs_pb2 import GcsNodeInfo  # type: ignore[attr-defined]

ANSWER_S = 5.0


def leave(head: str, address: str, seconds: float) -> bool:
    """Whether the node at `address` was found and drains now. Raises what Ray raises."""
    client = GcsClient(address=head)
    alive = GcsNodeInfo.GcsNodeState.ALIVE
    for node_id, info in client.get_all_node_info(timeout=ANSWER_S, state_filter=alive).items():
        if f"{info.node_manager_address}:{info.node_manager_port}" == address:
            until_ms = int((time.time() + seconds) * 1000)
            reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
            accepted, _ = client.drain_node(node_id.hex(), reason, "its machine is going", until_ms, timeout=ANSWER_S)
            return bool(accepted)
    return False


if __name__ == "__main__":
    sys.exit(0 if leave(sys.argv[1], sys.argv[2], float(sys.argv[3])) else 1)
