"""`heliostat jobs`: every queue, live; start, pause, resume, empty, clear failed; what runs, failed, waits, and why."""

import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from serve_app.client import ApiClient, Queue

REFRESH_S = 1.0


def queue_table(queues: list[Queue]) -> Table:
    """One row per queue, and below it why queues wait."""
    table = Table(title="Queues", title_justify="left")
    for name in ("queue", "state", "active", "waiting", "delayed", "failed"):
        table.add_column(name, justify="left" if name in ("queue", "state") else "right")
    for queue in queues:
        state = "paused" if queue.paused else "active" if queue.active else "waits" if queue.is_held else ""
        counts = [str(count or "") for count in (queue.active, queue.waiting, queue.delayed, queue.failed)]
        style = (
            "red" if queue.failed else "yellow" if queue.is_held or queue.paused else "green" if queue.active else "dim"
        )
        table.add_row(queue.name, state, *counts, style=style)
    if reasons := [f"{queue.name}: {queue.wait_reason}" for queue in queues if queue.to_do and queue.wait_reason]:
        table.caption, table.caption_justify = escape("\n".join(reasons)), "left"
    return table


def active_line(job: dict[str, Any]) -> str:
    """Name, id, how far it is where its worker says so, and what it is about."""
    data = dict(job["data"])
    share = data.pop("progress", None)
    return f"{job['name']} {job['id']} {'' if share is None else f'{share:.0%} '}{data}"


def watch(client: ApiClient, console: Console, *, once: bool) -> None:
    """Until Ctrl-C; once when asked, or when nobody looks at a terminal."""
    if once or not console.is_terminal:
        console.print(queue_table(client.queues()))
        return
    with Live(queue_table(client.queues()), console=console, auto_refresh=False) as live:
        try:
            while True:
                time.sleep(REFRESH_S)
                live.update(queue_table(client.queues()), refresh=True)
        except KeyboardInterrupt:
            return


def show_queue(client: ApiClient, console: Console, queue: str) -> None:
    """What a queue works on and how far it is, why jobs of it failed, and why others wait."""
    active = _jobs(client, queue, "active")
    for job in active:
        console.print(active_line(job), style="green", highlight=False, markup=False)
    failed, delayed = (_jobs(client, queue, status) for status in ("failed", "delayed"))
    for job in failed:
        words = job["data"].get("error") or str(job["data"])
        console.print(f"[red]{job['name']}[/red] {escape(words)}", highlight=False, soft_wrap=True)
    for reason, count in Counter(job["data"].get("error", "") for job in delayed).items():
        console.print(f"[yellow]{count} later[/yellow] {escape(reason)}", highlight=False, soft_wrap=True)
    state = next(one for one in client.queues() if one.name == queue)
    if state.paused:
        console.print(f"[yellow]paused[/yellow]: heliostat jobs {queue} resume", highlight=False)
    elif state.is_held:
        console.print(f"[yellow]waits[/yellow]: {escape(state.wait_reason)}", highlight=False, soft_wrap=True)
    console.print(f"{len(active)} active, {state.waiting} waiting, {len(failed)} failed, {len(delayed)} put off")


def _jobs(client: ApiClient, queue: str, status: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = client.call("GET", f"/queues/{queue}/jobs", params={"status": [status]})
    return jobs
