"""`heliostat demo [FOLDER]`: a library from a folder of photos, from nothing to a contact sheet, with its figures."""

import io
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console
from rich.table import Table

from cluster.db.engine import Database
from cluster.db.queries.jobs import QueueTotals, queue_totals
from cluster.errors import HeliostatError
from cluster.names import QueueName
from cluster.settings import Settings
from serve_app.cli_upload import Uploaded, tell, upload_folder, wait_for_queues
from serve_app.client import ApiClient, ApiRefused, ServerUnreachable
from serve_app.demo_photos import write_demo_photos

EMAIL, PASSWORD = "demo@example.com", "heliostat demo"
START_TIMEOUT_S = 180.0
CELL_PX, COLUMNS, MOST = 180, 8, 64
LONGEST_QUEUE_NAME = max(map(len, QueueName))


class DemoFailed(HeliostatError):
    """The demo cannot go on; the message says why."""


def run_demo(settings: Settings, folder: Path | None, console: Console) -> None:
    """Import `folder`, or a small set that is made here: start a server where none answers, sign an admin up, upload,
    wait, show. Ends the server that it started."""
    client = ApiClient(f"http://127.0.0.1:{settings.port}")
    server = None if _answers(client) else _start_server(client, console)
    try:
        _sign_in(client)
        started_s = time.monotonic()
        database = Database(settings.database_url)
        before = _totals(database)
        uploaded = _import(client, folder, console)
        tell(console, uploaded)
        wait_for_queues(client, console)
        seconds = time.monotonic() - started_s
        console.print(_table(before, _totals(database), seconds))
        database.close()
        _contact_sheet(client, list(dict.fromkeys(uploaded.asset_ids))[:MOST], Path("contact-sheet.jpg"), console)
        console.print(f"signed in as {EMAIL} with password “{PASSWORD}”\nsee it again: make run")
    finally:
        if server is not None:
            server.terminate()
            server.wait(timeout=60)


def _import(client: ApiClient, folder: Path | None, console: Console) -> Uploaded:
    if folder is not None:
        return upload_folder(client, folder, console)
    with TemporaryDirectory(prefix="heliostat-demo-") as made:
        photos = list(write_demo_photos(Path(made)))
        console.print(f"no folder given: made {len(photos)} pictures")
        return upload_folder(client, Path(made), console)


def _answers(client: ApiClient) -> bool:
    with suppress(ServerUnreachable, ApiRefused):
        client.call("GET", "/server/ping")
        return True
    return False


def _start_server(client: ApiClient, console: Console) -> "subprocess.Popen[bytes]":
    console.print("starting the server …")
    server = subprocess.Popen([sys.executable, "-m", "serve_app.cli", "up"], stdin=subprocess.DEVNULL)
    until_s = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until_s:
        if server.poll() is not None:
            raise DemoFailed("the server did not start; what it said stands above")
        if _answers(client):
            return server
        time.sleep(0.3)
    server.terminate()
    raise DemoFailed(f"the server did not answer within {START_TIMEOUT_S:.0f} s")


def _sign_in(client: ApiClient) -> None:
    with suppress(ApiRefused):  # the account may be there from an earlier demo
        client.sign_up_admin(EMAIL, PASSWORD, "Demo")
    try:
        client.login(EMAIL, PASSWORD)
    except ApiRefused as error:
        raise DemoFailed(
            "this library has an admin that the demo does not know: choose an empty IMMICH_MEDIA_LOCATION"
        ) from error


def _totals(database: Database) -> dict[str, QueueTotals]:
    with database.reader() as session:
        return queue_totals(session)


def _table(before: dict[str, QueueTotals], after: dict[str, QueueTotals], seconds: float) -> Table:
    table = Table(title=f"What the queues did in {seconds:.1f} s", title_justify="left")
    for name in ("queue", "done", "skipped", "failed", "worker s", "per s"):
        first = name == "queue"
        table.add_column(name, justify="left" if first else "right", min_width=LONGEST_QUEUE_NAME if first else None)
    for queue, totals in after.items():
        new = totals - before.get(queue, QueueTotals())
        if not new.ended:
            continue
        table.add_row(
            queue, str(new.done), str(new.skipped), str(new.failed), f"{new.run_s:.1f}", f"{new.ended / seconds:.1f}"
        )
    return table


def _contact_sheet(client: ApiClient, asset_ids: Sequence[str], path: Path, console: Console) -> None:
    """The thumbnails on one picture."""
    pictures = []
    for asset_id in asset_ids:
        with suppress(ApiRefused):  # a failed photo has no thumbnail
            pictures.append(Image.open(io.BytesIO(client.bytes_of(f"/assets/{asset_id}/thumbnail"))).convert("RGB"))
    if not pictures:
        raise DemoFailed("no photo has a thumbnail; `heliostat jobs thumbnailGeneration` says why")
    rows = -(-len(pictures) // COLUMNS)
    sheet = Image.new("RGB", (min(len(pictures), COLUMNS) * CELL_PX, rows * CELL_PX), "white")
    for index, picture in enumerate(pictures):
        picture.thumbnail((CELL_PX - 8, CELL_PX - 8))
        left, top = index % COLUMNS * CELL_PX, index // COLUMNS * CELL_PX
        sheet.paste(picture, (left + (CELL_PX - picture.width) // 2, top + (CELL_PX - picture.height) // 2))
    sheet.save(path, quality=88)
    console.print(f"{len(pictures)} thumbnails on {path}")
