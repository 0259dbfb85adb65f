"""`heliostat nodes`: the machines of the cluster, what they are for and what they run."""

import json
import sys

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
    for name in ("node", "address", "CPUs", "GPUs", "workers", "runs"):
        table.add_column(name, justify="right" if name in ("CPUs", "GPUs") else "left")
    for node in nodes:
        runs = ", ".join(job["fileName"] or job["name"] for job in node["running"])
        words = (
            node["name"],
            node["address"],
            f"{node['cpus']:g}",
            f"{node['gpus']:g}",
            ", ".join(node["workers"]),
            runs,
        )
        table.add_row(*map(escape, words), style=None if node["isAlive"] else "red")
    console.print(table)
