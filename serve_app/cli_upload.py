"""`heliostat upload DIR`: hash, ask what is new, send, and watch the queues drain."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from cluster.errors import HeliostatError
from serve_app.client import ApiClient, ApiRefused, Queue, ServerUnreachable, media_files, sha1_hex

POLL_S = 0.5
QUIET_S, HELD_S = 1.0, 3.0
"""How long nothing must be left, or only what cannot start: a node that restarts is back within seconds."""


@dataclass(slots=True)
class Uploaded:
    """What became of the files."""

    created: int = 0
    duplicates: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)
    asset_ids: list[str] = field(default_factory=list)
    size_bytes: int = 0
    seconds: float = 0.0


def bars(console: Console) -> Progress:
    """Progress that reads well in a terminal and stays quiet in a log."""
    return _progress(console, MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())


def queue_bars(console: Console) -> Progress:
    """The same for queues: nobody knows how many jobs are still to come, so they say how many are left."""
    return _progress(console, TextColumn("{task.fields[left]:>5} left"), TimeElapsedColumn())


def _progress(console: Console, *columns: ProgressColumn) -> Progress:
    return Progress(SpinnerColumn(), TextColumn("{task.description:<22}"), BarColumn(), *columns, console=console)


def upload_folder(client: ApiClient, folder: Path, console: Console, connections: int = 4) -> Uploaded:
    """Everything below `folder` that the server takes and does not have yet."""
    files = list(media_files(folder, client.extensions()))
    if not files:
        raise NothingToUpload(f"no photo or video below {folder}")
    started_s = time.monotonic()
    done = Uploaded()
    with bars(console) as progress, ThreadPoolExecutor(connections) as pool:
        hashing = progress.add_task("hashing", total=len(files))
        hashes: list[tuple[Path, str]] = []
        for path, checksum in zip(files, pool.map(sha1_hex, files), strict=True):
            hashes.append((path, checksum))
            progress.advance(hashing)
        known = client.known_files(hashes)
        new = [one for one in hashes if one[0] not in known]
        done.duplicates = len(known)
        done.asset_ids.extend(known.values())
        sending = progress.add_task("sending", total=len(new), visible=bool(new))
        for path, outcome, asset_id in pool.map(lambda one: _send(client, *one), new):
            if outcome == "created":
                done.created += 1
                done.size_bytes += path.stat().st_size
            elif outcome == "duplicate":
                done.duplicates += 1
            else:
                done.refused.append((path, outcome))
            if asset_id:
                done.asset_ids.append(asset_id)
            progress.advance(sending)
    done.seconds = time.monotonic() - started_s
    return done


def _send(client: ApiClient, path: Path, checksum: str) -> tuple[Path, str, str]:
    """(file, `created`, `duplicate` or what went wrong, asset id or nothing)."""
    try:
        return path, *client.upload(path, checksum)
    except (ApiRefused, ServerUnreachable, OSError) as error:
        return path, str(error), ""


def wait_for_queues(client: ApiClient, console: Console) -> None:
    """Until nothing is active, waiting or delayed any more. A queue that somebody must help (it is paused, no node
    serves it, a model is missing) is not waited for; what it waits for is told."""
    quiet_since_s = time.monotonic()
    with queue_bars(console) as progress:
        shown: dict[str, tuple[TaskID, int]] = {}
        while True:
            queues = client.queues()
            for queue in queues:
                _show(progress, shown, queue)
            left = [queue for queue in queues if queue.to_do]
            if any(not queue.is_held for queue in left):
                quiet_since_s = time.monotonic()
            if time.monotonic() - quiet_since_s >= (HELD_S if any(not queue.paused for queue in left) else QUIET_S):
                break
            time.sleep(POLL_S)
    for queue in left:
        reason = "it is paused" if queue.paused else queue.wait_reason
        console.print(
            f"[yellow]{queue.waiting} wait in {queue.name}[/yellow]: {escape(reason)}", highlight=False, soft_wrap=True
        )


def _show(progress: Progress, shown: dict[str, tuple[TaskID, int]], queue: Queue) -> None:
    """The bar of a queue: how much of the largest backlog that was seen is done."""
    if queue.name not in shown and not queue.to_do:
        return
    task, most = shown.get(queue.name) or (progress.add_task(queue.name, left=0), 0)
    most = max(most, queue.to_do)
    shown[queue.name] = task, most
    progress.update(task, total=most, completed=most - queue.to_do, left=queue.to_do)


def tell(console: Console, done: Uploaded) -> None:
    """What happened, and what to do about what did not."""
    megabytes = done.size_bytes / 1e6
    console.print(
        f"{done.created} uploaded ({megabytes:.1f} MB in {done.seconds:.1f} s), {done.duplicates} there already"
    )
    for path, why in done.refused:
        console.print(f"[red]not uploaded[/red] {escape(f'{path}: {why}')}", highlight=False, soft_wrap=True)


class NothingToUpload(HeliostatError):
    """The folder holds no file of a kind that the server takes."""


def newly_failed(before: Sequence[Queue], after: Sequence[Queue]) -> Iterator[tuple[str, int]]:
    """Queues with more failed jobs than before, and how many more."""
    known = {queue.name: queue.failed for queue in before}
    for queue in after:
        if (more := queue.failed - known.get(queue.name, 0)) > 0:
            yield queue.name, more
