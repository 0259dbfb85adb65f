"""Where work really ran: four machines (api, cpu, gpu, encoding), 200 assets, every job type. Prints a table of queue,
label and node, and holds every job to a node with its queue's label.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cluster.db.engine import Database
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
from tests.e2e.photos import make_photos
from tests.e2e.real_nodes import FIRST_MACHINE, real_node
from tests.e2e.real_stack import RealStack, describe, real_stack
from tests.e2e.test_force_table import SIDECAR, make_video
from tests.programs import program
from tests.tiny_models import put_clip, put_faces

pytest.importorskip("torch")
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PHOTOS, SCENES, FACES, VIDEOS = 140, 40, 10, 10
IN_LIBRARY = 5
DRAIN_S = 900
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
    parts = {"HELIOSTAT_VIDEO_PARTS_FROM_S": "4", "IMMICH_MACHINE_LEARNING_ENABLED": "true"}
    first = FIRST_MACHINE | WORKERS["api"] | {"HELIOSTAT_NODE_NAME": "api"}
    with (
        real_stack(3455, folder, **first, **parts) as stack,
        real_node(stack, "cpu", **WORKERS["cpu"]),
        real_node(stack, "gpu", **WORKERS["gpu"]),
        real_node(stack, "enc", **WORKERS["enc"]),
    ):
        stack.sign_in()
        yield stack


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
    paths.append(make_video(folder / "long.avi", VIDEOS, seconds=12))
    assert len(paths) == 200
    for path in paths:
        stack.client.upload(path, sha1_hex(path))
    stack.wait_until_idle(DRAIN_S)


def press_every_button(stack: RealStack) -> None:
    """The start of each queue, and each job that an admin starts by name. What models do has just been done once."""
    for queue in START_JOB:
        stack.client.command(queue, "start", WORKER_OF_QUEUE[queue] is not WorkerName.MACHINE_LEARNING)
        stack.wait_until_idle(DRAIN_S)
    for manual in ManualJob:
        stack.client.call("POST", "/jobs", json={"name": manual})
        stack.wait_until_idle(DRAIN_S)


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
    call("DELETE", f"/libraries/{library}")

    new = {"email": "bob@example.org", "password": "a long password", "name": "Bob"}
    bob = call("POST", "/admin/users", json=new)["id"]
    call("DELETE", f"/admin/users/{bob}", json={"force": True})
    stack.wait_until_idle(DRAIN_S)


def enqueue_the_rest(stack: RealStack) -> None:
    """Jobs of the nightly timetable, and others that nobody starts by hand."""
    missing = [name for name in PLACES if name not in ran(stack) and name in BY_THEMSELVES]
    database = Database(f"sqlite:///{stack.media / 'heliostat.db'}")
    store = SqlQueueStore(database)
    with store.transaction() as tx:
        store.enqueue(tx, [NewJob(name) for name in missing])
    database.close()
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


NOT_MADE_TO_RUN = {
    JobName("AssetEncodeVideoPart"),
    JobName("AssetJoinVideoParts"),
    JobName("AssetFileMigration"),
    JobName("PersonFileMigration"),
    JobName("LibraryRemoveAsset"),
    JobName("VersionCheck"),
    JobName("IntegrityUntrackedFiles"),
    JobName("IntegrityMissingFilesRefresh"),
    JobName("IntegrityUntrackedRefresh"),
    JobName("IntegrityChecksumFilesRefresh"),
    JobName("IntegrityDeleteReports"),
}
"""What this import gives no occasion for."""


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
    cluster.client.call("PUT", "/system-config", json=config)
    import_assets(cluster, tmp_path / "photos")
    assert cluster.failed() == {}, describe(cluster)
    press_every_button(cluster)
    change_things(cluster, tmp_path)
    enqueue_the_rest(cluster)
    assert cluster.failed() == {}, describe(cluster)

    found = ran(cluster)
    report("queue · job · label · node × jobs that the history keeps")
    for name in sorted(PLACES, key=lambda one: (list(QUEUE_OF_JOB).index(one), one)):
        nodes = ", ".join(f"{node} × {count}" for node, count in sorted(found.get(name, {}).items()))
        report(f"{QUEUE_OF_JOB[name]} · {name} · {label_of(name)} · {nodes or '-'}")
    strayed = {(name, node) for name, nodes in found.items() for node in nodes if label_of(name) not in labels_of(node)}
    assert strayed == set()
    assert {node for nodes in found.values() for node in nodes} == set(WORKERS)
    assert set(PLACES) - set(found) - set(NOT_SERVED) <= NOT_MADE_TO_RUN
