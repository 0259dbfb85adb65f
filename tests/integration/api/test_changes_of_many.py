"""What is asked of many assets at once, on both databases: of whose, and beside somebody who does the same."""

import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
from sqlalchemy import insert, select, text

from cluster.db.engine import Database
from cluster.db.queries.assets import DELETED, TRASHED, set_status
from cluster.db.queries.live_photos import same_content
from cluster.db.queries.stacks import put_in_stack
from cluster.db.queries.tags import lock_tags
from cluster.db.tables.asset import Asset, AssetExif, Library
from serve_app.deps import Caller
from serve_app.services.update_asset import AssetChanges, update_assets
from tests.api_stack import ApiStack, Person
from tests.checked_client import CheckedClient
from tests.library_rows import NOON, add, add_asset, asset_values

LOCKED_AT_ONCE = 500
WAIT_S = 30


def test_of_those_that_are_asked_for_the_trashed_are_restored(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient
) -> None:
    in_trash = {"status": "trashed", "deleted_at": NOON}
    one, other = (add_asset(stack, ann, **in_trash) for _ in range(2))
    gone, his = add_asset(stack, ann, status=DELETED, deleted_at=NOON), add_asset(stack, ben, **in_trash)
    kept = add_asset(stack, ann)

    assert as_ann.post("/trash/restore/assets", ids=[one, gone, kept]) == {"count": 3}
    assert states(stack) == {one: "active", other: "trashed", gone: "deleted", his: "trashed", kept: "active"}
    assert as_ann.refused("POST", "/trash/restore/assets", json={"ids": [other, his]})[0] == 400
    assert as_ann.post("/trash/empty") == {"count": 1}
    assert states(stack) == {one: "active", other: "deleted", gone: "deleted", his: "trashed", kept: "active"}


def states(stack: ApiStack) -> dict[str, str]:
    with stack.services.database.reader() as session:
        return {row.id: row.status for row in session.execute(select(Asset.id, Asset.status))}


def test_a_video_is_known_by_its_content(stack: ApiStack, ann: Person, ben: Person) -> None:
    times = {"created_at": NOON, "updated_at": NOON}
    library = add(stack, Library, owner_id=ann.user_id, name="l", import_paths=[], exclusion_patterns=[], **times)
    one, two, three = (bytes([number] * 20) for number in range(3))
    trashed = add_asset(stack, ann, type="VIDEO", checksum=one, deleted_at=NOON)
    in_library = add_asset(stack, ann, type="VIDEO", checksum=one, library_id=library)
    uploaded = add_asset(stack, ann, type="VIDEO", checksum=two)
    add_asset(stack, ben, type="VIDEO", checksum=two)
    add_asset(stack, ann, checksum=three)
    with stack.services.database.reader() as session:
        known = {checksum: same_content(session, ann.user_id, checksum) for checksum in (one, two, three)}
    assert known == {one: in_library, two: uploaded, three: None}
    assert trashed != in_library


Change = Callable[[ApiStack, str, list[str]], None]


def favor(stack: ApiStack, owner_id: str, ids: list[str]) -> None:
    update_assets(stack.services, Caller(owner_id, is_admin=False), ids, AssetChanges(favorite=True))


def trash(stack: ApiStack, owner_id: str, ids: list[str]) -> None:
    with stack.services.database.session() as session:
        set_status(session, ids, TRASHED, NOON)


def unstack(stack: ApiStack, owner_id: str, ids: list[str]) -> None:
    with stack.services.database.session() as session:
        put_in_stack(session, None, ids, NOON)


def note_tags(stack: ApiStack, owner_id: str, ids: list[str]) -> None:
    with stack.services.database.session() as session:
        lock_tags(session, ids, NOON)


@pytest.mark.parametrize("change", [favor, trash, unstack, note_tags])
def test_two_who_change_the_same_in_other_orders_both_do(stack: ApiStack, ann: Person, change: Change) -> None:
    """One begins at the end and has come to the middle; another begins at the beginning; then the way is free."""
    database = stack.services.database
    if database.is_sqlite:
        pytest.skip("SQLite has one writer")
    ids = sorted(str(uuid.uuid4()) for _ in range(LOCKED_AT_ONCE + 100))
    with database.session() as session:
        session.execute(insert(Asset), [asset_values(ann.user_id) | {"id": asset_id} for asset_id in ids])
        session.execute(insert(AssetExif), [{"asset_id": asset_id, "updated_at": NOON} for asset_id in ids])

    with ThreadPoolExecutor(2) as threads:
        with database.session() as session:
            for table in (Asset.id, AssetExif.asset_id):
                session.execute(select(table).where(table == ids[300]).with_for_update())
            changes: list[Future[None]] = []
            for order in (ids[::-1], ids):
                changes.append(threads.submit(change, stack, ann.user_id, order))
                wait_until_waiting(database, len(changes))
        for one in changes:
            one.result(WAIT_S)


def wait_until_waiting(database: Database, count: int) -> None:
    """Until so many transactions wait for another."""
    waiting = text("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + WAIT_S
    while True:
        with database.reader() as session:
            if session.scalar(waiting) == count:
                return
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.02)
