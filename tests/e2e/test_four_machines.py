"""Where work really ran: four machines (api, cpu, gpu, encoding), 200 assets, every job type. Prints a table of queue,
label and node, and holds every job to a node with its queue's label.

The nodes are those of the history, which keeps up to 20 jobs of a queue for each transaction, so they are a sample; how
many ended is counted in full. That a job never ran elsewhere is Ray's to see to, which takes the label as a condition.
"""

import contextlib
import sqlite3
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.db.engine import Database
from cluster.db.queries import integrity
from cluster.db.queries.integrity import ReportType
from cluster.db.queue_store import SqlQueueStore
from cluster.names import QUEUE_OF_JOB, WORKER_OF_QUEUE, JobName, WorkerName
from cluster.queue.job import NewJob, Place
from cluster.workers import node_labels, queue_label, worker_label
from serve_app.client import sha1_hex
from serve_app.services.start_queue import START_JOB, ManualJob
from tasks.jobs.not_served import NOT_SERVED
from tasks.registry import JOBS
from tests.drawn_faces import group_photo, random_look
from tests.drawn_scenes import KINDS, draw_scene
from tests.e2e.force_table import ended, tables
from tests.e2e.photos import make_photos
from tests.e2e.real_nodes import FIRST_MACHINE, real_node
from tests.e2e.real_stack import RealStack, describe, real_stack, wait_until
from tests.e2e.test_force_table import SIDECAR, make_video
from tests.programs import program
from tests.tiny_models import put_clip, put_faces

pytest.importorskip("torch")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PHOTOS, SCENES, FACES, VIDEOS = 140, 40, 10, 10
IN_LIBRARY = 5
DRAIN_S = 900
WATCH_S = 60
RELEASE = b'{"version": "999.0.0"}'
WORKERS = {
    "api": {"IMMICH_WORKERS_INCLUDE": "api"},
    "cpu": {"IMMICH_WORKERS_INCLUDE": "microservices", "IMMICH_WORKERS_EXCLUDE": "machine-learning,encoding"},
    "gpu": {"IMMICH_WORKERS_INCLUDE": "machine-learning", "HELIOSTAT_NUM_GPUS": "1"},
    "enc": {"IMMICH_WORKERS_INCLUDE": "encoding"},
}
PLACES = {job.spec.name: job.spec.place for job in JOBS}


def labels_of(node: str) -> set[str]:
    told = WORKERS[node]
    return set(node_labels(told["IMMICH_WORKERS_INCLUDE"], told.get("IMMICH_WORKERS_EXCLUDE", "")))


def label_of(name: JobName) -> str:
    """What a node needs to run it: jobs that are rows run in the one process that opens the database."""
    at_rows = PLACES[name] is Place.ROW_JOBS
    return worker_label(WorkerName.API) if at_rows else queue_label(QUEUE_OF_JOB[name])


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    for needed in ("ffmpeg", "exiftool"):
        program(needed)
    folder = tmp_path_factory.mktemp("four")
    put_clip(folder / "media" / "models")
    put_faces(folder / "media" / "models")
    more = {"HELIOSTAT_VIDEO_PARTS_FROM_S": "4", "IMMICH_MACHINE_LEARNING_ENABLED": "true"}
    first = FIRST_MACHINE | WORKERS["api"] | {"HELIOSTAT_NODE_NAME": "api"}
    with (
        a_place_that_tells_the_newest_release() as url,
        real_stack(3455, folder, **first, **more, HELIOSTAT_VERSION_URL=url) as stack,
        real_node(stack, "cpu", **WORKERS["cpu"]),
        real_node(stack, "gpu", **WORKERS["gpu"]),
        real_node(stack, "enc", **WORKERS["enc"]),
    ):
        stack.sign_in()
        yield stack


@contextlib.contextmanager
def a_place_that_tells_the_newest_release() -> Iterator[str]:
    class Release(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(RELEASE)))
            self.end_headers()
            self.wfile.write(RELEASE)

        def log_message(self, *said: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Release) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/release"
        server.shutdown()
        thread.join()


def make_film(path: Path, seconds: int) -> Path:
    """In a codec that can be cut anywhere and that no browser plays."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=320x240:r=10:d={seconds}")
    subprocess.run([program("ffmpeg"), "-v", "error", *picture, "-c:v", "mjpeg", "-q:v", "5", str(path)], check=True)
    return path


def import_assets(stack: RealStack, folder: Path) -> None:
    """200: photos, three of them with a sidecar, drawn scenes and faces, and videos, one of them encoded in parts."""
    paths = make_photos(folder, PHOTOS, seed=61, size=(640, 480))
    for photo in paths[:3]:
        photo.with_suffix(".jpg.xmp").write_text(SIDECAR)
    for number in range(SCENES):
        colour, shape = KINDS[number % len(KINDS)]
        paths.append(folder / f"scene_{number}.jpg")
        draw_scene(np.random.default_rng(number), colour, shape, (640, 480)).save(paths[-1])
    rng = np.random.default_rng(21)
    looks = [random_look(rng), random_look(rng)]
    for number in range(FACES):
        paths.append(folder / f"people_{number}.jpg")
        Image.fromarray(group_photo(looks, rng, 720, 480)[0]).save(paths[-1], quality=92)
    paths += [make_video(folder / f"video_{number}.avi", number) for number in range(VIDEOS - 1)]
    paths.append(make_film(folder / "long.mov", seconds=12))
    assert len(paths) == 200
    for path in paths:
        stack.client.upload(path, sha1_hex(path))
    stack.wait_until_idle(DRAIN_S)


def press_every_button(stack: RealStack) -> None:
    """The start of each queue, and each job that an admin starts by name. What models do has just been done once."""
    for queue in START_JOB:
        stack.client.command(queue, "start", WORKER_OF_QUEUE[queue] is not WorkerName.MACHINE_LEARNING)
        stack.wait_until_idle(DRAIN_S)
    move_to_old_places(stack)
    stack.client.command("migration", "start")
    stack.wait_until_idle(DRAIN_S)
    break_files(stack)
    for manual in ManualJob:
        stack.client.call("POST", "/jobs", json={"name": manual})
        stack.wait_until_idle(DRAIN_S)


@contextlib.contextmanager
def database_of(stack: RealStack) -> Iterator[Database]:
    database = Database(f"sqlite:///{stack.media / 'heliostat.db'}")
    try:
        yield database
    finally:
        database.close()


def move_to_old_places(stack: RealStack) -> None:
    """Half of the thumbnails and all faces lie where an older version had them: of one alone, among hundreds that have
    nothing to move, the history may keep nothing."""
    with tables(stack) as connection:
        for table, column, where in (("asset_file", "path", "type = 'thumbnail'"), ("person", "thumbnail_path", "1")):
            query = f"SELECT id, {column} FROM {table} WHERE {where} AND {column} != '' LIMIT 100"
            for row_id, path in connection.execute(query).fetchall():
                old = stack.media / "thumbs" / "old" / Path(path).name
                old.parent.mkdir(exist_ok=True)
                Path(path).rename(old)
                connection.execute(f"UPDATE {table} SET {column} = ? WHERE id = ?", (str(old), row_id))


def break_files(stack: RealStack) -> None:
    """A preview is gone, an original was written to, and a file that nobody knows lies there, reported an hour ago: one
    that is newer than that is not reported yet."""
    with tables(stack) as connection:
        (preview,) = connection.execute("SELECT path FROM asset_file WHERE type = 'preview' LIMIT 1").fetchone()
        Path(preview).unlink()
        (original,) = connection.execute("SELECT original_path FROM asset WHERE type = 'IMAGE' LIMIT 1").fetchone()
        with Path(original).open("ab") as file:
            file.write(b"more")
        stray = Path(preview).with_name("nobody's.jpeg")
        stray.write_bytes(b"nobody's")
    with database_of(stack) as database, database.session() as session:
        integrity.report(session, ReportType.UNTRACKED, [(str(stray), None)], None, datetime.now(UTC))


def change_things(stack: RealStack, folder: Path) -> None:
    """What people do: a description, an external library that loses a file and goes, the trash, a user who goes."""
    call = stack.client.call
    me = call("GET", "/users/me")["id"]
    assets = call("POST", "/search/metadata", json={"size": 20, "type": "IMAGE"})["assets"]["items"]
    call("PUT", f"/assets/{assets[0]['id']}", json={"description": "seen"})
    call("DELETE", "/assets", json={"ids": [one["id"] for one in assets[1:4]], "force": False})
    call("DELETE", "/assets", json={"ids": [one["id"] for one in assets[4:6]], "force": True})
    stack.wait_until_idle(DRAIN_S)
    call("POST", "/trash/empty")

    photos = make_photos(folder / "outside", IN_LIBRARY, seed=62, size=(320, 240))
    library = call("POST", "/libraries", json={"ownerId": me, "importPaths": [str(folder / "outside")]})["id"]
    for gone in (None, photos[0]):
        if gone is not None:
            gone.unlink()
        call("POST", f"/libraries/{library}/scan")
        stack.wait_until_idle(DRAIN_S)
    photos[1].unlink()  # somebody sees it, who looks which folders to watch every few seconds
    wait_until(lambda: "LibraryRemoveAsset" in ended(stack), WATCH_S, "the watcher", stack.still_runs)
    stack.wait_until_idle(DRAIN_S)
    call("DELETE", f"/libraries/{library}")

    new = {"email": "bob@example.org", "password": "a long password", "name": "Bob"}
    bob = call("POST", "/admin/users", json=new)["id"]
    call("DELETE", f"/admin/users/{bob}", json={"force": True})
    stack.wait_until_idle(DRAIN_S)


def enqueue_the_rest(stack: RealStack) -> None:
    """Jobs of the nightly timetable, and others that nobody starts by hand."""
    missing = [name for name in PLACES if name not in ran(stack) and name in BY_THEMSELVES]
    with database_of(stack) as database:
        store = SqlQueueStore(database)
        with store.transaction() as tx:
            store.enqueue(tx, [NewJob(name) for name in missing])
    stack.wait_until_idle(DRAIN_S)


BY_THEMSELVES = {
    JobName.SESSION_CLEANUP,
    JobName.AUDIT_TABLE_CLEANUP,
    JobName.USER_SYNC_USAGE,
    JobName.ASSET_DELETE_CHECK,
    JobName.LIBRARY_DELETE_CHECK,
    JobName.GATHER_PEOPLE,
    JobName.RECONCILE,
    JobName.VERSION_CHECK,
}


def ran(stack: RealStack) -> dict[JobName, dict[str, int]]:
    """Job → node → jobs that ended well there, of those that the history keeps (20 of a queue for each transaction)."""
    found: dict[JobName, dict[str, int]] = defaultdict(dict)
    with sqlite3.connect(stack.media / "heliostat.db", timeout=30) as database:
        query = "SELECT name, node, count(*) FROM job_history WHERE node != '' AND outcome != 'failed' GROUP BY 1, 2"
        for name, node, count in database.execute(query):
            found[JobName(name)][node] = count
    return found


def test_every_job_type_runs_where_its_label_is(
    cluster: RealStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    config: dict[str, Any] = cluster.client.call("GET", "/system-config")
    config["storageTemplate"]["enabled"] = True
    config["library"]["watch"]["enabled"] = True
    cluster.client.call("PUT", "/system-config", json=config)
    import_assets(cluster, tmp_path / "photos")
    assert cluster.failed() == {}, describe(cluster)
    press_every_button(cluster)
    change_things(cluster, tmp_path)
    enqueue_the_rest(cluster)
    assert cluster.failed() == {}, describe(cluster)

    found, counted = ran(cluster), ended(cluster)
    report("queue · job · label · jobs that ended · nodes of those that the history keeps")
    for name in sorted(set(PLACES) - set(NOT_SERVED), key=lambda one: (list(QUEUE_OF_JOB).index(one), one)):
        nodes = ", ".join(f"{node} × {count}" for node, count in sorted(found.get(name, {}).items()))
        report(f"{QUEUE_OF_JOB[name]} · {name} · {label_of(name)} · {counted.get(name, 0)} · {nodes or '-'}")
    strayed = {(name, node) for name, nodes in found.items() for node in nodes if label_of(name) not in labels_of(node)}
    assert strayed == set()
    assert {node for nodes in found.values() for node in nodes} == set(WORKERS)
    assert set(PLACES) - set(found) == set(NOT_SERVED)
