"""`heliostat nodes` and `drain`: the machines of the cluster, what they do, and which get nothing new."""

import json
import sys
from typing import Any
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serve_app.client import ApiClient


def show_nodes(client: ApiClient, console: Console, *, as_json: bool) -> None:
    """One row per node, or all that is known of them as JSON."""
    nodes = client.call("GET", "/nodes")
    if as_json:
        sys.stdout.write(json.dumps(nodes, ensure_ascii=False, indent=2) + "\n")
        return
    table = Table()
    for name in ("node", "address", "CPUs", "GPUs", "workers", "state", "runs"):
        table.add_column(name, justify="right" if name in ("CPUs", "GPUs") else "left")
    for node in nodes:
        runs = ", ".join(job["fileName"] or job["name"] for job in node["running"])
        words = (
            node["name"],
            node["address"],
            f"{node['cpus']:g}",
            f"{node['gpus']:g}",
            ", ".join(node["workers"]),
            state_of(node),
            runs,
        )
        table.add_row(*map(escape, words), style=None if node["isAlive"] else "red")
    console.print(table)


def state_of(node: dict[str, Any]) -> str:
    """alive, gone, draining or drained and why."""
    if node["drain"]:
        return f"{node['drain']}: {node['drainReason']}"
    return "alive" if node["isAlive"] else "gone"


def drain_node(client: ApiClient, console: Console, name: str, reason: str, patience_s: int, *, back: bool) -> None:
    """Have it drained, or let it work again."""
    path = f"/nodes/{quote(name, safe='')}/drain"
    if back:
        client.call("DELETE", path)
        console.print(f"{name} is given work again")
        return
    client.call("PUT", path, json={"reason": reason, "patienceS": patience_s})
    console.print(
        f"{name} gets nothing new; what still runs there after {patience_s} s goes to another node. "
        "See `heliostat nodes`"
    )
