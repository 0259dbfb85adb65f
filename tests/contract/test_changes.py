"""A commit elsewhere is heard on both databases; nothing, and what is rolled back, is not."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlalchemy import text

from cluster.db import changes as changes_module
from cluster.db.changes import Changes
from cluster.db.engine import Database
from cluster.db.queue_store import SqlQueueStore
from cluster.names import JobName, QueueName
from cluster.queue.job import NewEvent, asset_job
from tests.contract.queue_stores import migrated_database

SOON_S = 10.0
PHOTO = asset_job(JobName.ASSET_EXTRACT_METADATA, "a0")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with migrated_database(request.param, request, tmp_path_factory.mktemp("changes")) as opened:
        assert opened is not None
        yield opened


@pytest.fixture
def elsewhere(database: Database) -> Iterator[SqlQueueStore]:
    """The store as another process has it: connections of its own."""
    other = Database(database.url.render_as_string(hide_password=False))
    yield SqlQueueStore(other)
    other.close()


@pytest.fixture
def changes(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Changes]:
    monkeypatch.setattr(changes_module, "LISTEN_S", 0.05)
    monkeypatch.setattr(changes_module, "LOOK_EVERY_S", 0.01)
    listener = Changes(database)
    assert listener.wait(), "whoever begins to listen may have missed something"
    yield listener
    listener.close()


def heard(changes: Changes) -> bool:
    until_s = time.monotonic() + SOON_S
    while time.monotonic() < until_s:
        if changes.wait():
            return True
    return False


def test_where_nothing_happens_nothing_is_heard(changes: Changes) -> None:
    assert [changes.wait() for _ in range(3)] == [False] * 3


def test_a_job_that_another_process_enqueues_is_heard_once(changes: Changes, elsewhere: SqlQueueStore) -> None:
    with elsewhere.transaction() as tx:
        elsewhere.enqueue(tx, [PHOTO])
    assert heard(changes)
    assert not changes.wait()


def test_an_event_is_heard(changes: Changes, elsewhere: SqlQueueStore) -> None:
    with elsewhere.transaction() as tx:
        elsewhere.emit(tx, [NewEvent("on_upload")])
    assert heard(changes)


def test_what_is_rolled_back_is_not_heard(changes: Changes, elsewhere: SqlQueueStore) -> None:
    with suppress(ZeroDivisionError), elsewhere.transaction() as tx:
        elsewhere.enqueue(tx, [asset_job(JobName.ASSET_EXTRACT_METADATA, "never")])
        raise ZeroDivisionError
    assert not changes.wait()


def test_reading_is_no_change(changes: Changes, elsewhere: SqlQueueStore) -> None:
    with elsewhere.transaction(reading=True) as tx:
        elsewhere.ready(tx, QueueName)
    assert not changes.wait()


def test_many_changes_between_two_looks_are_one(changes: Changes, elsewhere: SqlQueueStore) -> None:
    for number in range(20):
        with elsewhere.transaction() as tx:
            elsewhere.enqueue(tx, [asset_job(JobName.ASSET_EXTRACT_METADATA, f"b{number}")])
    assert heard(changes)
    more = 0
    while changes.wait():  # PostgreSQL's notices may still be on their way when the commits have returned
        more += 1
    assert more < 10


def test_a_lost_connection_is_made_anew(changes: Changes, database: Database, elsewhere: SqlQueueStore) -> None:
    if database.is_sqlite:
        pytest.skip("a file has no connection to lose")
    with elsewhere.transaction() as tx:
        tx.execute(text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"))
    with pytest.raises(Exception, match=r"terminat|closed|lost"):
        heard(changes)
    assert changes.wait(), "what happened meanwhile is not known"
    with elsewhere.transaction() as tx:
        elsewhere.enqueue(tx, [PHOTO])
    assert heard(changes)
