"""Nearest neighbours at 10,000, 100,000 and a million embeddings of 512 dimensions, on each database: written, indexed,
and asked through the vectors actor with the join, all and under a filter that keeps one owner's fiftieth; and a hundred
thousand faces, gathered anew and asked for one more. The embedding of a question is given, and no HTTP is in it.

Points lie in clusters, 50 or more to each at every size, and questions come from the same clusters: uniform points have
no neighbours to speak of. What is right is counted by brute force over the stored values.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import ray
from numpy.typing import NDArray
from sqlalchemy import insert, select, text

from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queries import embeddings
from cluster.db.queries.asset_search import AssetFilter, ids_of
from cluster.db.queries.embeddings import EmbeddingKind
from cluster.db.tables.asset import Asset
from cluster.db.tables.person import AssetFace
from cluster.db.tables.user import ApiKey, User
from cluster.errors import IndexAway
from cluster.launch import NAMESPACE
from cluster.ray_join import join
from cluster.settings import Settings, read_settings
from cluster.stack import Stack
from cluster.storage.layout import StorageLayout
from cluster.vectors.holder import IndexHolder
from cluster.vectors.indexed import IndexedVectors
from cluster.vectors.quick_shift import cluster_faces
from cluster.vectors.ray_vectors import VECTORS_ACTOR, RayHolder
from serve_app.app import create_app
from serve_app.bootstrap import build_services
from serve_app.deps import hashed
from tests.api_stack import ApiStack, served
from tests.contract.vectors import NOON, everything
from tests.people_points import adjusted_rand_index, people_points

SIZES = (10_000, 100_000, 1_000_000)
DIMENSIONS, TO_A_CLUSTER, OWNERS = 512, 50, 50
QUESTIONS, WARM_UP, DEEPEST = 200, 20, 100
WRITTEN_AT_ONCE = 2_000
FACES, FACES_TO_A_PERSON = 100_000, 50
PATIENCE_S = 600.0
SMART, FACE = EmbeddingKind.SMART_SEARCH, EmbeddingKind.FACE_SEARCH
MODEL, OWNER = "ViT-B-32__openai", 7
"""What the config has by default, and of the owners the one who asks."""

Points = NDArray[np.float32]


def run(databases: dict[str, str], sizes: Sequence[int] = SIZES, faces: int = FACES) -> dict[str, float]:
    """`databases`: name → URL of an empty database. Keys `vectors.<name>.<size>.…` and `vectors.faces.…`."""
    results = {f"vectors.faces.{key}": value for key, value in gather(faces).items()}
    for name, url in databases.items():
        with tempfile.TemporaryDirectory(prefix="hv") as folder:
            environ = {
                **os.environ,
                "DB_URL": url,
                "IMMICH_MEDIA_LOCATION": f"{folder}/m",
                "HELIOSTAT_STATE_DIR": f"{folder}/s",
                "IMMICH_PORT": "2398",
                "HELIOSTAT_DASHBOARD": "false",
                "PYTHONPATH": str(Path(__file__).parent.parent),
            }
            stack = Stack(read_settings(environ), environ)
            stack.lock()
            stack.start_ray()
            try:
                child = subprocess.run(
                    [sys.executable, "-m", "bench.vectors", "--sizes", *map(str, sizes)],
                    env=stack.environment,
                    stdout=subprocess.PIPE,
                    check=True,
                )
                measured = json.loads(child.stdout.splitlines()[-1])
                results |= {f"vectors.{name}.{key}": value for key, value in measured.items()}
            finally:
                stack.end_everything()
    return results


def gather(faces: int) -> dict[str, float]:
    """A reset: everybody's faces from nothing, without the rows."""
    points, truth = people_points(faces, faces // FACES_TO_A_PERSON, seed=1)
    ids = new_ids(faces, seed=1)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    groups = cluster_faces(points, ids, 0.5, 3)
    spent = {"gather.s": time.perf_counter() - started_s, "gather.cpu_s": time.process_time() - cpu_s}
    return {**spent, "count": faces, "gather.rand_index": adjusted_rand_index(groups, truth)}


class Library:
    """A growing library of one kind, and what of it is nearest by brute force."""

    def __init__(self, database: Database, most: int) -> None:
        self._database = database
        self._chance = np.random.default_rng(1)
        self._centres = self._directions(max(1, most // TO_A_CLUSTER))
        self.owners = new_ids(OWNERS, seed=2)
        self.ids: list[str] = []
        self._owner_of = np.empty(0, np.int64)
        self._stored: list[NDArray[np.float16]] = []
        with database.session() as session:
            times = dict.fromkeys(("profile_changed_at", "created_at", "updated_at"), NOON)
            users = [{"id": owner, "email": f"{owner}@example.org", **times} for owner in self.owners]
            session.execute(insert(User), users)

    def draw(self, count: int, size: int) -> Points:
        """Points from the clusters of a library of this size. Two of one cluster are about 0.4 apart."""
        of = self._chance.integers(size // TO_A_CLUSTER, size=count)
        return unit_rows(self._centres[of] + 0.8 * self._directions(count))

    def grow(self, size: int) -> float:
        """Write up to `size` assets with embeddings; returns the seconds that the embeddings alone took."""
        spent_s = 0.0
        while len(self.ids) < size:
            count = min(WRITTEN_AT_ONCE, size - len(self.ids))
            ids, points = new_ids(count, seed=10 + len(self.ids)), self.draw(count, size)
            owner_of = self._chance.integers(OWNERS, size=count)
            with self._database.session() as session:
                rows = [asset(one, self.owners[owner]) for one, owner in zip(ids, owner_of.tolist(), strict=True)]
                session.execute(insert(Asset), rows)
            started_s = time.perf_counter()
            with self._database.session() as session:
                embeddings.put(session, SMART, MODEL, dict(zip(ids, points, strict=True)))
            spent_s += time.perf_counter() - started_s
            self.ids += ids
            self._owner_of = np.concatenate([self._owner_of, owner_of])
            self._stored.append(points.astype(np.float16))
        return spent_s

    def truth(self, questions: Points, owner: int | None) -> list[list[str]]:
        """The ids of the DEEPEST nearest to each question, of all or of one owner's."""
        nearest, far = np.empty((len(questions), 0), np.int64), np.empty((len(questions), 0), np.float32)
        start = 0
        for stored in self._stored:
            rows = np.arange(start, start + len(stored))
            start += len(stored)
            kept = np.ones(len(rows), np.bool_) if owner is None else self._owner_of[rows] == owner
            here = 1 - questions @ stored[kept].astype(np.float32).T
            nearest = np.hstack([nearest, np.broadcast_to(rows[kept], here.shape)])
            far = np.hstack([far, here])
            order = np.argsort(far, axis=1, kind="stable")[:, :DEEPEST]
            nearest, far = np.take_along_axis(nearest, order, 1), np.take_along_axis(far, order, 1)
        return [[self.ids[row] for row in rows] for rows in nearest.tolist()]

    def _directions(self, count: int) -> Points:
        return unit_rows(self._chance.standard_normal((count, DIMENSIONS), np.float32))


def measure(sizes: Sequence[int]) -> dict[str, float]:
    """Inside the stack's environment, on its database."""
    settings = read_settings(os.environ)
    join(settings)
    database = Database(settings.database_url)
    migrate(database.durable)
    folder = StorageLayout(settings.media_root).vectors_folder()
    library, results = Library(database, max(sizes)), dict[str, float]()
    for size in sizes:
        before = len(library.ids)
        results[f"{size}.put_per_s"] = (size - before) / library.grow(size)
        say(f"{size} written")
        if not database.is_sqlite:
            with database.session() as session:
                session.execute(text("ANALYZE"))
        built = build(database, folder)
        results |= {f"{size}.{key}": value for key, value in built.items()}
        say(f"{size} built: {built}")
        restart_actor()
        asked = ask(database, library, size)
        results |= {f"{size}.{key}": value for key, value in asked.items()}
        say(f"{size} asked: {asked}")
    over_http = ask_over_http(settings, library)
    results |= {f"{max(sizes)}.{key}": value for key, value in over_http.items()}
    say(f"over HTTP: {over_http}")
    return results | ask_for_faces(database, library)


def build(database: Database, folder: Path) -> dict[str, float]:
    """An index from the rows alone, with nothing on disk. It is saved where the actor finds it."""
    shutil.rmtree(folder, ignore_errors=True)
    holder = IndexHolder(database, folder)
    started_s, cpu_s = time.perf_counter(), time.process_time()
    holder.search(SMART, np.eye(DIMENSIONS, dtype=np.float32)[0], 1)
    holder.catch_up()
    return {"build.s": time.perf_counter() - started_s, "build.cpu_s": time.process_time() - cpu_s}


def restart_actor() -> None:
    """So that it loads what was built; it would make its own anew otherwise."""
    with suppress(ValueError):  # nobody asked yet
        ray.kill(ray.get_actor(VECTORS_ACTOR, NAMESPACE), no_restart=False)


def ask(database: Database, library: Library, size: int) -> dict[str, float]:
    """Through the actor, once it has everything."""
    holder, results = RayHolder(), dict[str, float]()
    vectors = IndexedVectors(holder)
    for owner_id in (None, library.owners[OWNER]):
        wait_for_mark(holder, SMART, size, owner_id)
    questions = library.draw(WARM_UP + QUESTIONS, size)
    everybody = everything().where(Asset.deleted_at.is_(None))
    for name, owner in (("all", None), ("owner", OWNER)):
        among = everybody if owner is None else ids_of(AssetFilter(owner_id=library.owners[owner]))
        owner_id = None if owner is None else library.owners[owner]
        truth = library.truth(questions, owner)
        for limit in (10, DEEPEST):
            spent_ms, right, there = list[float](), 0, 0
            for question, expected in zip(questions, truth, strict=True):
                started_s = time.perf_counter()
                with database.reader() as session:
                    found = vectors.nearest(session, SMART, question, limit, among, owner_id)
                spent_ms.append((time.perf_counter() - started_s) * 1000)
                right += len({match.id for match in found} & {*expected[:limit]})
                there += len(expected[:limit])
            results[f"{name}.recall_at_{limit}"] = right / there
            results |= {f"{name}.limit{limit}.{key}": value for key, value in percentiles(spent_ms).items()}
    return results


def ask_over_http(settings: Settings, library: Library) -> dict[str, float]:
    """A whole request of the owner with a fiftieth: what looks like a picture of theirs, the first page of 100."""
    services = build_services(settings, IndexedVectors(RayHolder()))
    key, owner_id = uuid.uuid4().hex, library.owners[OWNER]
    times = {"created_at": NOON, "updated_at": NOON}
    named = {"id": str(uuid.uuid4()), "name": "bench", "permissions": ["all"], "key_sha256": hashed(key)}
    with services.database.session() as session:
        session.execute(insert(ApiKey).values(user_id=owner_id, **named, **times))
        ids = session.scalars(ids_of(AssetFilter(owner_id=owner_id)).limit(WARM_UP + QUESTIONS)).all()
    spent_ms = list[float]()
    with (
        served(ApiStack(services, create_app(services))) as url,
        httpx.Client(base_url=f"{url}/api", headers={"x-api-key": key}) as client,
    ):
        for asset_id in ids:
            started_s = time.perf_counter()
            answer = client.post("/search/smart", json={"queryAssetId": asset_id, "size": DEEPEST})
            spent_ms.append((time.perf_counter() - started_s) * 1000)
            assert answer.is_success, answer.text
    return {f"owner.http.{key}": value for key, value in percentiles(spent_ms).items()}


def ask_for_faces(database: Database, library: Library) -> dict[str, float]:
    """What one new face asks for, at FACES faces of one user: its three nearest within 0.5, through the actor."""
    points, _ = people_points(FACES + WARM_UP + QUESTIONS, FACES // FACES_TO_A_PERSON, seed=2)
    ids, owner_id = new_ids(FACES, seed=3), library.owners[OWNER]
    times = {"created_at": NOON, "updated_at": NOON}
    with database.reader() as session:
        assets = session.scalars(ids_of(AssetFilter(owner_id=owner_id)).limit(FACES)).all()
    for start in range(0, FACES, WRITTEN_AT_ONCE):
        part = ids[start : start + WRITTEN_AT_ONCE]
        rows = [{"id": one, "asset_id": assets[index % len(assets)], **times} for index, one in enumerate(part, start)]
        with database.session() as session:
            session.execute(insert(AssetFace), rows)
            embeddings.put(session, FACE, "bench", dict(zip(part, points[start : start + len(part)], strict=True)))
    holder = RayHolder()
    vectors = IndexedVectors(holder)
    wait_for_mark(holder, FACE, FACES, owner_id)
    among = select(AssetFace.id).join(Asset, Asset.id == AssetFace.asset_id)
    among = among.where(Asset.owner_id == owner_id, Asset.deleted_at.is_(None))
    spent_ms = list[float]()
    for question in points[FACES:]:
        started_s = time.perf_counter()
        with database.reader() as session:
            vectors.within(session, FACE, question, 0.5, 3, among, owner_id)
        spent_ms.append((time.perf_counter() - started_s) * 1000)
    return {f"faces.one_more.{key}": value for key, value in percentiles(spent_ms).items()}


def percentiles(spent_ms: Sequence[float]) -> dict[str, float]:
    """Without those that warmed up."""
    counted = spent_ms[WARM_UP:]
    return {"p50_ms": float(np.percentile(counted, 50)), "p99_ms": float(np.percentile(counted, 99))}


def wait_for_mark(holder: RayHolder, kind: EmbeddingKind, mark: int, owner_id: str | None) -> None:
    """Until the actor has everything up to there. Raises TimeoutError."""
    deadline_s = time.monotonic() + PATIENCE_S
    question = np.eye(DIMENSIONS, dtype=np.float32)[0]
    while time.monotonic() < deadline_s:
        try:
            if holder.search(kind, question, 1, owner_id).mark >= mark:
                return
        except IndexAway as away:
            say(str(away))
        time.sleep(0.5)
    raise TimeoutError(f"the actor has not reached {mark}")


def asset(asset_id: str, owner_id: str) -> dict[str, object]:
    """A row of the timeline."""
    times = dict.fromkeys(("file_created_at", "file_modified_at", "local_date_time", "created_at", "updated_at"), NOON)
    path = {"original_path": f"/media/{asset_id}.jpg", "original_file_name": "a.jpg"}
    return {"id": asset_id, "owner_id": owner_id, "type": "IMAGE", "checksum": os.urandom(20), **path, **times}


def new_ids(count: int, seed: int) -> list[str]:
    """Random, as ids are, and the same each time."""
    chance = np.random.default_rng(seed)
    return [str(uuid.UUID(bytes=chance.bytes(16), version=4)) for _ in range(count)]


def unit_rows(points: Points) -> Points:
    lengths: Points = np.linalg.norm(points, axis=1, keepdims=True)
    return points / lengths


def say(what: str) -> None:
    print(f"vectors: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="on the database that DB_URL names")
    parser.add_argument("--faces", type=int, default=0, help="gather so many instead")
    arguments = parser.parse_args()
    print(json.dumps(gather(arguments.faces) if arguments.faces else measure(arguments.sizes)))
