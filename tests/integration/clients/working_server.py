"""A server on a real port whose jobs run as they come, without Ray; nobody is signed up yet."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import delete

from cluster.db.tables.user import User
from serve_app.app import create_app
from tests.api_stack import ApiStack, served
from tests.inline_server import InlineServer, inline_server
from tests.programs import program


@contextlib.contextmanager
def working_server(database_url: str, media_root: Path) -> Iterator[str]:
    """Gives its address."""
    program("exiftool")
    with inline_server(database_url, media_root) as server:
        with server.database.session() as session:
            session.execute(delete(User))
        with served(ApiStack(server.services, create_app(server.services))) as url, _at_work(server):
            yield url


@contextlib.contextmanager
def _at_work(server: InlineServer) -> Iterator[None]:
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
