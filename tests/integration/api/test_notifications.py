"""What people are told: by an admin, by albums, by queues that wait; each once, kept until it is read and deleted."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from cluster.clock import Clock
from cluster.db.queries import notifications
from cluster.db.tables.job import Event
from cluster.db.tables.notification import Notification
from cluster.names import JobName, QueueName
from cluster.queue.job import asset_job
from serve_app.services.held_queues import HeldQueues
from tests.api_stack import ApiStack, AppClient, Person
from tests.checked_client import CheckedClient
from tests.fake_clock import FakeClock
from tests.library_rows import add_asset


@pytest.fixture
def as_admin(stack: ApiStack, client: AppClient) -> CheckedClient:
    return CheckedClient(client, stack.add_person("ada", is_admin=True))


def titles(client: CheckedClient, **wanted: Any) -> list[str]:
    return [one["title"] for one in client.get("/notifications", **wanted)]


def test_what_an_admin_writes_is_listed_read_and_deleted(
    stack: ApiStack, as_admin: CheckedClient, as_ann: CheckedClient, ann: Person, as_ben: CheckedClient
) -> None:
    first = as_admin.post("/admin/notifications", userId=ann.user_id, title="first")
    assert (first["level"], first["type"]) == ("info", "Custom")
    assert {"description", "data", "readAt"}.isdisjoint(first)
    second = as_admin.post(
        "/admin/notifications",
        **{"userId": ann.user_id, "title": "second", "description": "why", "level": "warning"},
        **{"type": "SystemMessage", "data": {"a": [1]}, "readAt": "2026-01-01T00:00:00.000Z"},
    )
    assert (second["description"], second["data"], second["readAt"]) == ("why", {"a": [1]}, "2026-01-01T00:00:00.000Z")
    assert as_ann.get(f"/notifications/{second['id']}") == second
    assert titles(as_ann) == ["second", "first"]
    assert titles(as_ann, unread=True) == ["first"]
    assert titles(as_ann, unread=False) == titles(as_ann, level="warning") == ["second"]
    assert titles(as_ann, type="Custom") == titles(as_ann, id=first["id"]) == ["first"]
    assert titles(as_ben) == []
    ids = [first["id"], second["id"]]
    read = as_ann.put(f"/notifications/{first['id']}", readAt="2026-02-01T00:00:00.000Z")
    assert read["readAt"] == "2026-02-01T00:00:00.000Z"
    assert as_ann.put(f"/notifications/{first['id']}") == read
    as_ann.put("/notifications", ids=ids, readAt=None)
    assert titles(as_ann, unread=True) == ["second", "first"]
    as_ann.delete(f"/notifications/{first['id']}")
    as_ann.delete("/notifications", ids=[second["id"]])
    assert titles(as_ann) == []


def test_others_words_are_nobodys_business(
    as_admin: CheckedClient, ann: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    one = as_admin.post("/admin/notifications", userId=ann.user_id, title="yours")["id"]
    for method, path, body, verb in (
        ("GET", f"/notifications/{one}", None, "read"),
        ("PUT", f"/notifications/{one}", {}, "update"),
        ("PUT", "/notifications", {"ids": [one], "readAt": None}, "update"),
        ("DELETE", f"/notifications/{one}", None, "delete"),
        ("DELETE", "/notifications", {"ids": [one, str(uuid.uuid4())]}, "delete"),
    ):
        assert as_ben.refused(method, path, json=body) == (400, f"Not found or no notification.{verb} access")
    assert titles(as_ann) == ["yours"]
    assert as_ann.refused("POST", "/admin/notifications", json={"userId": ann.user_id, "title": "me"})[0] == 403
    nobody = {"userId": str(uuid.uuid4()), "title": "?"}
    assert as_admin.refused("POST", "/admin/notifications", json=nobody) == (400, "User not found")
    for path in ("/admin/notifications/test-email", "/admin/notifications/templates/welcome"):
        assert as_admin.refused("POST", path, json={})[0] == 501


def test_who_gets_to_see_an_album_is_told_and_of_what_comes_once(
    stack: ApiStack, ann: Person, ben: Person, as_ann: CheckedClient, as_ben: CheckedClient
) -> None:
    album_id = as_ann.post("/albums", albumName="Rome")["id"]
    as_ann.put(f"/albums/{album_id}/users", albumUsers=[{"userId": ben.user_id, "role": "editor"}])
    (invited,) = as_ben.get("/notifications")
    assert (invited["type"], invited["data"]) == ("AlbumInvite", {"albumId": album_id})
    assert "ann" in invited["description"]
    assert "Rome" in invited["description"]
    for _ in range(3):
        as_ann.put(f"/albums/{album_id}/assets", ids=[add_asset(stack, ann)])
    as_ben.put(f"/albums/{album_id}/assets", ids=[add_asset(stack, ben)])
    news, _ = as_ben.get("/notifications")
    assert news["type"] == "AlbumUpdate"
    assert [one["type"] for one in as_ann.get("/notifications")] == ["AlbumUpdate"]
    as_ben.put(f"/notifications/{news['id']}", readAt="2026-02-01T00:00:00.000Z")
    as_ann.put(f"/albums/{album_id}/assets", ids=[add_asset(stack, ann)])
    assert len(as_ben.get("/notifications")) == 2, "a moment ago"
    with stack.services.database.session() as session:
        session.execute(update(Notification).values(created_at=Notification.created_at))
        for row in session.scalars(select(Notification)):
            row.created_at -= timedelta(minutes=6)
    as_ann.put(f"/albums/{album_id}/assets", ids=[add_asset(stack, ann)])
    assert len(as_ben.get("/notifications")) == 3
    with stack.services.database.reader() as session:
        told = session.scalars(select(Event.user_id).where(Event.type == "notification").order_by(Event.id)).all()
    assert told == [ben.user_id, ben.user_id, ann.user_id, ben.user_id]


def held(stack: ApiStack, clock: Clock, resting: Callable[[QueueName], str] = lambda queue: "") -> HeldQueues:
    return HeldQueues(replace(stack.services, clock=clock), resting)


def test_admins_are_told_of_a_queue_that_waits_for_them_once_each_time(
    stack: ApiStack, as_admin: CheckedClient, as_ann: CheckedClient
) -> None:
    clock = FakeClock()
    herald = held(stack, clock)
    store = stack.services.store

    def look(minutes: float) -> list[dict[str, Any]]:
        clock.sleep(minutes * 60)
        herald.tick(mine=True)
        found: list[dict[str, Any]] = as_admin.get("/notifications")
        return found

    def explain(reason: str) -> None:
        with store.transaction() as tx:
            store.say_why_waiting(tx, {QueueName.SMART_SEARCH: reason})

    explain("no weights")
    assert look(0) == look(11) == [], "nothing waits"
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.SMART_SEARCH, "a")])
    assert look(1) == look(9) == []
    (told,) = look(2)
    assert (told["type"], told["level"], told["data"]) == ("SystemMessage", "warning", {"queue": "smartSearch"})
    assert "no weights" in told["description"]
    as_admin.put(f"/notifications/{told['id']}", readAt="2026-02-01T00:00:00.000Z")
    assert len(look(60)) == 1, "it is still the same"
    explain("")
    assert len(look(1)) == 1, "what was read stays"
    explain("no weights again")
    look(1)
    assert len(look(11)) == 2
    explain("")
    assert len(look(1)) == 1, "nobody had read it, and it is so no longer"
    assert titles(as_ann) == []


def test_a_controller_that_takes_over_tells_what_none_has_told(stack: ApiStack, as_admin: CheckedClient) -> None:
    clock, store = FakeClock(), stack.services.store
    first, second = held(stack, clock), held(stack, clock)
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.SMART_SEARCH, "a")])
        store.say_why_waiting(tx, {QueueName.SMART_SEARCH: "no weights"})
    for herald, other in ((first, second), (second, first)):
        herald.tick(mine=True)
        other.tick(mine=False)
        clock.sleep(660)
        herald.tick(mine=True)
        assert titles(as_admin) == ["A queue waits for you"], "told once, whoever tells"
    with store.transaction() as tx:
        store.say_why_waiting(tx, {QueueName.SMART_SEARCH: ""})
    second.tick(mine=False)
    first.tick(mine=True)
    assert titles(as_admin) == [], "what the other one told is over, too"


def test_a_queue_that_is_meant_to_wait_is_no_news(stack: ApiStack, as_admin: CheckedClient) -> None:
    clock, store = FakeClock(), stack.services.store
    herald = held(stack, clock, lambda queue: "quiet hours")
    with store.transaction() as tx:
        store.enqueue(tx, [asset_job(JobName.SMART_SEARCH, "a")])
        store.say_why_waiting(tx, {QueueName.SMART_SEARCH: "quiet hours"})
    for mine in (True, True, False):
        herald.tick(mine)
        clock.sleep(3600)
    assert titles(as_admin) == []


def test_what_is_old_is_forgotten(stack: ApiStack, ann: Person, as_admin: CheckedClient) -> None:
    now = stack.services.clock.now()
    ages = {
        "read long ago": (40, 31),
        "read lately": (40, 29),
        "new": (1, None),
        "very old": (91, None),
        "old": (89, None),
    }
    for title in ages:
        as_admin.post("/admin/notifications", userId=ann.user_id, title=title)
    with stack.services.database.session() as session:
        for row in session.scalars(select(Notification)):
            came, read = ages[row.title]
            row.created_at = now - timedelta(days=came)
            row.read_at = None if read is None else now - timedelta(days=read)
    with stack.services.database.session() as session:
        assert notifications.prune(session, now - timedelta(days=30), now - timedelta(days=90), 10) == 2
        assert set(session.scalars(select(Notification.title))) == {"read lately", "new", "old"}
