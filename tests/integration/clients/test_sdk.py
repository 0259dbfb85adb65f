"""A walk through the whole API with Immich's own SDK, while the jobs that it causes run beside it."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from cluster.db.tables.user import User
from serve_app.app import create_app
from tests.api_stack import ApiStack, served
from tests.camera import clip, photo
from tests.inline_server import InlineServer, inline_server
from tests.official_clients import run_script
from tests.programs import program


@contextlib.contextmanager
def at_work(server: InlineServer) -> Iterator[None]:
    """Jobs run as they come."""
    stop, broken = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            while not stop.wait(0.01):
                server.dispatcher.tick()
                server.settler.tick()
        except BaseException as error:
            broken.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert broken == []


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo())
    (folder / "b.jpg").write_bytes(photo(1500, 1000))
    clip(folder / "c.mp4")
    return folder


def test_every_area_answers_the_sdk(
    database_url: str, tmp_path: Path, photos: Path, report: Callable[[str], None]
) -> None:
    program("exiftool")
    library = tmp_path / "library"
    (library / "no").mkdir(parents=True)
    for name in ("d.jpg", "no/e.jpg"):
        (library / name).write_bytes(photo(800, 600))
    with inline_server(database_url, tmp_path / "media") as server:
        with server.database.session() as session:
            session.execute(delete(User))  # nobody is here yet: the walk signs up
        stack = ApiStack(server.services, create_app(server.services))
        with served(stack) as url, at_work(server):
            ran = run_script("walk.mjs", tmp_path, SERVER=url, PHOTOS=str(photos), LIBRARY=str(library))
    assert ran.code == 0, ran.output
    for line in ran.output.splitlines():
        report(f"@immich/sdk: {line}")
