"""`heliostat jobs`: every queue, live; commands; what runs, failed, waits, and why; try again, cancel."""

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
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


def watch(client: ApiClient, console: Console, *, once: bool, as_json: bool = False) -> None:
    """Until Ctrl-C; once when asked, or when nobody looks at a terminal. `as_json`: once,
    with throughput and forecast."""
    if as_json:
        print_json(client.call("GET", "/queue-activity"))
        return
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


def show_failed(client: ApiClient, console: Console, queue: str, which: Mapping[str, str], *, as_json: bool) -> None:
    """Every failed job of a queue, or of all, that `which` describes: id, error class, node, reason."""
    queues = [queue] if queue else [one.name for one in client.queues() if one.failed]
    found = [job for name in queues for job in failed_jobs(client, name, which)]
    if as_json:
        print_json(found)
        return
    for job in found:
        last = job.get("last") or {}
        where = " ".join(filter(None, (job["queue"], job["id"], last.get("errorClass"), last.get("node"))))
        console.print(f"[red]{escape(where)}[/red] {escape(job['error'])}", highlight=False, soft_wrap=True)
    console.print(f"{len(found)} failed", highlight=False)


def failed_jobs(client: ApiClient, queue: str, which: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Newest first, page by page."""
    asked = {name: value for name, value in which.items() if value} | {"size": "200"}
    while True:
        page = client.call("GET", f"/queues/{queue}/failures", params=asked)
        yield from page["items"]
        if page["next"] is None:
            return
        asked["before"] = page["next"]


def retry(client: ApiClient, console: Console, queue: str, which: Mapping[str, str], job: int | None) -> None:
    """Try one failed job again, or all of a queue, or of every queue, that `which` describes."""
    body: dict[str, Any] = {"ids": [str(job)]} if job is not None else {name: v for name, v in which.items() if v}
    queues = [queue] if queue else [one.name for one in client.queues() if one.failed]
    count = sum(client.call("POST", f"/queues/{name}/failures/retry", json=body)["count"] for name in queues)
    console.print(f"{count} tried again", highlight=False)


def cancel(client: ApiClient, console: Console, queue: str, job: int) -> None:
    """End a job that runs. Raises ApiRefused when it does not."""
    client.call("DELETE", f"/queues/{queue}/running/{job}")
    console.print(f"job {job} is ended within seconds, and not tried again", highlight=False)


def print_json(value: Any) -> None:
    """As it came, for programs: no colours, no wrapping."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def _jobs(client: ApiClient, queue: str, status: str) -> list[dict[str, Any]]:
    jobs: list[dict[str, Any]] = client.call("GET", f"/queues/{queue}/jobs", params={"status": [status]})
    return jobs
