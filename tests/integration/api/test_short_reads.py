"""What is answered on the event loop, and what goes to a thread because the loop would wait."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta

import anyio
import httpx
import pytest
from sqlalchemy import update

from cluster.db.engine import OVERFLOW, POOL_SIZE
from cluster.db.tables.user import Session
from serve_app.short_reads import QUICK_S, HasToWait, ShortReads
from tests.api_stack import ApiStack, served
from tests.integration.pages.conftest import ADMIN


def where(reads: ShortReads, *asked: Callable[[bool], int]) -> list[str]:
    """Where each was answered, one after another on the same route."""

    async def ask() -> list[str]:
        here = threading.get_ident()
        return ["loop" if await reads.run("a route", one) == here else "thread" for one in asked]

    return anyio.run(ask)


def quick(may_wait: bool) -> int:
    return threading.get_ident()


def slow(may_wait: bool) -> int:
    end_s = time.thread_time() + 2 * QUICK_S
    while time.thread_time() < end_s:
        pass
    return threading.get_ident()


def asleep(may_wait: bool) -> int:
    time.sleep(2 * QUICK_S)
    return threading.get_ident()


def writes(may_wait: bool) -> int:
    if not may_wait:
        raise HasToWait
    return threading.get_ident()


def fails(may_wait: bool) -> int:
    raise ValueError("no such thing")


def test_the_loop_answers_what_was_quick_last_time(stack: ApiStack) -> None:
    reads = ShortReads(stack.services.database)
    loop = "loop" if stack.services.database.is_sqlite else "thread"
    assert where(reads, quick, quick, slow, quick, quick) == ["thread", loop, loop, "thread", loop]
    assert where(reads, asleep, quick) == [loop, "thread"], "a disk that lets wait counts, too"
    assert where(reads, writes, quick) == ["thread", loop]


def test_an_error_is_the_callers_in_both_places(stack: ApiStack) -> None:
    reads = ShortReads(stack.services.database)
    for _ in range(2):
        with pytest.raises(ValueError, match="no such thing"):
            where(reads, fails)


def test_the_loop_waits_for_no_connection(stack: ApiStack) -> None:
    database = stack.services.database
    if not database.is_sqlite:
        pytest.skip("PostgreSQL is always asked in threads")
    reads = ShortReads(database)
    assert where(reads, quick, quick) == ["thread", "loop"]
    with ExitStack() as opened:
        for _ in range(POOL_SIZE + OVERFLOW):
            opened.enter_context(database.reader()).connection()
        assert where(reads, quick) == ["thread"]
    assert where(reads, quick) == ["loop"]


def test_who_has_to_be_written_down_as_seen_keeps_nobody_waiting(stack: ApiStack) -> None:
    with served(stack) as url:
        httpx.post(f"{url}/api/auth/admin-sign-up", json=ADMIN)
        token = httpx.post(f"{url}/api/auth/login", json=ADMIN).json()["accessToken"]
        headers = {"authorization": f"Bearer {token}"}

        def jobs() -> httpx.Response:
            return httpx.get(f"{url}/api/jobs", headers=headers, timeout=30)

        for _ in range(2):
            assert jobs().status_code == 200
        long_ago = stack.services.clock.now() - timedelta(hours=2)
        with stack.services.database.session() as session:
            session.execute(update(Session).values(updated_at=long_ago))
        answers: list[httpx.Response] = []
        asker = threading.Thread(target=lambda: answers.append(jobs()))
        with nobody_else_writes(stack):
            asker.start()
            asker.join(0.3)
            assert asker.is_alive(), "there was nothing to write"
            for _ in range(3):
                assert httpx.get(f"{url}/api/server/ping", timeout=2).status_code == 200
        asker.join()
        assert [answer.status_code for answer in answers] == [200]


@contextmanager
def nobody_else_writes(stack: ApiStack) -> Iterator[None]:
    with stack.services.database.session() as session:
        session.execute(update(Session).values(device_os=Session.device_os))
        yield
