"""Memories of "on this day", made day by day, on both databases."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from cluster.db.queries import notes
from cluster.db.tables.asset import AssetFile
from cluster.db.tables.memory import Memory, MemoryAsset
from cluster.db.tables.user import User
from cluster.names import JobName, QueueName
from cluster.queue.job import NewJob
from tasks.jobs import generate_memories
from tests.inline_stack import Stack

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def on_new_year_s_eve(stack: Stack) -> None:
    set_date(stack, datetime(2028, 12, 31, 15, tzinfo=UTC))


def set_date(stack: Stack, date: datetime) -> None:
    stack.clock.ahead = timedelta()
    stack.clock.ahead = date - stack.clock.now()


def taken(stack: Stack, when: str, *, preview: bool = True, **columns: object) -> str:
    """A photo of the timeline, taken at this local time."""
    asset_id = stack.upload("a.jpg", b"photo", **columns)
    stack.change(asset_id, local_date_time=datetime.fromisoformat(when).replace(tzinfo=UTC))
    with stack.store.transaction() as tx:
        stack.store.empty(tx, QueueName.METADATA_EXTRACTION)
        if preview:
            row = {"id": asset_id, "asset_id": asset_id, "type": "preview", "path": f"/{asset_id}"}
            tx.add(AssetFile(**row, created_at=NOW, updated_at=NOW))
    return asset_id


def generate(stack: Stack) -> None:
    stack.enqueue(NewJob(JobName.MEMORY_GENERATE))
    stack.drain()
    assert stack.failed() == {}


def memories(stack: Stack) -> dict[tuple[str, int], set[str]]:
    """(day on which it is shown, year) → assets."""
    with stack.database.reader() as session:
        found: dict[tuple[str, int], set[str]] = {}
        for memory in session.scalars(select(Memory)):
            assert memory.show_at is not None
            assert memory.hide_at is not None
            assert memory.hide_at - memory.show_at == timedelta(days=1, milliseconds=-1)
            assert memory.memory_at.year == memory.data["year"]
            key = (f"{memory.show_at:%Y-%m-%d}", memory.memory_at.year)
            assert key not in found
            of_memory = select(MemoryAsset.asset_id).where(MemoryAsset.memory_id == memory.id)
            found[key] = set(session.scalars(of_memory))
        return found


def test_what_was_taken_on_these_days_in_earlier_years_is_remembered(stack: Stack) -> None:
    early, late = taken(stack, "2019-12-31T00:00"), taken(stack, "2019-12-31T23:59:59")
    before, after = taken(stack, "2020-12-28T12:00"), taken(stack, "2027-01-03T12:00")
    taken(stack, "2019-12-27T23:59"), taken(stack, "2027-01-04T00:00"), taken(stack, "2028-12-30T12:00")

    generate(stack)

    assert memories(stack) == {
        ("2028-12-31", 2019): {early, late},
        ("2028-12-28", 2020): {before},
        ("2029-01-03", 2027): {after},
    }


def test_only_what_is_in_the_timeline_and_has_a_preview(stack: Stack) -> None:
    shown = taken(stack, "2019-12-31T12:00")
    taken(stack, "2019-12-31T12:00", preview=False)
    taken(stack, "2019-12-31T12:00", visibility="archive")
    taken(stack, "2019-12-31T12:00", deleted_at=NOW, status="trashed")
    generate(stack)
    assert memories(stack) == {("2028-12-31", 2019): {shown}}


def test_a_day_is_never_made_twice(stack: Stack) -> None:
    first = taken(stack, "2019-12-31T12:00")
    generate(stack)
    taken(stack, "2019-12-31T13:00")
    new = taken(stack, "2019-01-04T12:00")
    generate(stack)
    assert memories(stack) == {("2028-12-31", 2019): {first}}
    set_date(stack, datetime(2029, 1, 1, 15, tzinfo=UTC))
    generate(stack)
    assert memories(stack) == {("2028-12-31", 2019): {first}, ("2029-01-04", 2019): {new}}
    with stack.database.reader() as session:
        assert notes.read(session, "memories-state") == {"lastOnThisDayDate": "2029-01-04"}


def test_after_a_long_pause_only_these_days_are_made(stack: Stack) -> None:
    generate(stack)
    taken(stack, "2019-02-01T12:00")
    wanted = taken(stack, "2019-06-01T12:00")
    set_date(stack, datetime(2029, 6, 1, tzinfo=UTC))
    generate(stack)
    assert memories(stack) == {("2029-06-01", 2019): {wanted}}


def test_a_day_of_leap_years_is_remembered_in_leap_years(stack: Stack) -> None:
    leap, other = taken(stack, "2024-02-29T12:00"), taken(stack, "2023-02-28T12:00")
    set_date(stack, datetime(2028, 2, 29, tzinfo=UTC))
    generate(stack)
    assert memories(stack) == {("2028-02-29", 2024): {leap}, ("2028-02-28", 2023): {other}}


def test_each_user_has_their_own_and_a_day_holds_no_more_than_some(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generate_memories, "ASSETS_PER_YEAR", 2)
    with stack.database.session() as session:
        for name, gone in (("eve", None), ("gone", NOW)):
            row = {"id": name, "email": f"{name}@b.c", "profile_changed_at": NOW, "deleted_at": gone}
            session.add(User(**row, created_at=NOW, updated_at=NOW))
    mine = [taken(stack, f"2019-12-31T{hour}:00") for hour in (10, 11, 12)]
    for name in ("eve", "gone"):
        stack.change(taken(stack, "2019-12-31T09:00"), owner_id=name)

    generate(stack)

    with stack.database.reader() as session:
        owners = {memory.owner_id for memory in session.scalars(select(Memory))}
        assets = set(session.scalars(select(MemoryAsset.asset_id)))
    assert owners == {stack.owner, "eve"}
    assert len(assets) == 3
    assert set(mine[:2]) <= assets
