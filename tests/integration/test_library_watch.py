"""From a file that somebody saves to the job that takes it in: a real folder, watched, and a real database."""

import time
from pathlib import Path

from cluster.db.queries import system
from cluster.names import QueueName
from cluster.system_config import defaults, merge
from serve_app.bootstrap import LiveConfig, build_library_watcher
from serve_app.deps import Services
from tests.api_client import api_client

LIBRARY = QueueName.LIBRARY


def watch(services: Services, enabled: bool) -> None:
    """As an admin saves it."""
    base = defaults(services.settings)
    with services.database.session() as session:
        changed = merge(base, {"library": {"watch": {"enabled": enabled}}})
        system.write_config(session, services.settings, changed)


def test_a_saved_file_becomes_a_job_while_watching_is_on(database_url: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "gone.jpg").write_bytes(b"x")
    with api_client(database_url, tmp_path / "media") as client:
        admin = client.sign_up()
        owner = admin.get("/users/me").json()["id"]
        library = admin.post("/libraries", {"ownerId": owner, "importPaths": [str(photos)]}).json()["id"]
        services = client.services
        watcher = build_library_watcher(services, LiveConfig(services), stable_s=0.2)
        assert watcher.tick(ours=True) > 1  # off, as it is by default
        watcher.close()
        watch(services, enabled=True)
        for _ in range(2):
            watcher.tick(ours=True)

        (photos / "a.jpg").write_bytes(b"x")
        (photos / "gone.jpg").unlink()
        (photos / "@eaDir").mkdir()
        (photos / "@eaDir" / "b.jpg").write_bytes(b"x")

        wanted = [
            ("LibraryRemoveAsset", {"libraryId": library, "paths": [str(photos / "gone.jpg")]}),
            ("LibrarySyncFiles", {"libraryId": library, "paths": [str(photos / "a.jpg")]}),
        ]
        until_s = time.monotonic() + 20
        found: list[tuple[str, object]] = []
        while found != wanted and time.monotonic() < until_s:
            watcher.tick(ours=True)
            found = sorted((job["name"], job["data"]) for job in admin.get("/queues/library/jobs").json())
        watcher.close()
        assert found == wanted
