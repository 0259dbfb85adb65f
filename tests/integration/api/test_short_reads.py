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

from cluster.db.tables.user import Session
from serve_app.short_reads import BARRED, QUICK_CPU_S, QUICK_S, HasToWait, ShortReads
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
    end_s = time.thread_time() + 2 * QUICK_CPU_S
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


class Clock:
    """Goes on by itself, and further where it is told to."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reads(stack: ApiStack, clock: Clock) -> ShortReads:
    """With two connections that are open and free."""
    with ExitStack() as opened:
        for _ in range(2):
            opened.enter_context(stack.services.database.reader()).connection()
    return ShortReads(stack.services.database, clock)


@pytest.fixture
def loop(stack: ApiStack) -> str:
    """PostgreSQL is always asked in threads."""
    return "loop" if stack.services.database.is_sqlite else "thread"


def test_the_loop_answers_what_was_quick(reads: ShortReads, loop: str) -> None:
    assert where(reads, quick, quick, writes, quick) == ["thread", loop, "thread", loop]


@pytest.mark.parametrize("lasts", [slow, asleep], ids=["computes", "waits for a disk"])
def test_what_was_slow_goes_through_threads_for_a_while(
    reads: ShortReads, clock: Clock, loop: str, lasts: Callable[[bool], int]
) -> None:
    assert where(reads, quick, lasts, quick, lasts, quick) == ["thread", loop, "thread", "thread", "thread"]
    clock.ahead_s += BARRED  # it took less than a second
    held_up = where(reads, quick, quick)
    assert held_up == ["thread", loop]


def test_an_error_says_nothing_of_how_long_an_answer_takes(reads: ShortReads) -> None:
    assert where(reads, slow) == ["thread"]
    for _ in range(2):
        with pytest.raises(ValueError, match="no such thing"):
            where(reads, fails)
    assert where(reads, slow, slow) == ["thread", "thread"]


def test_the_loop_waits_for_no_connection(reads: ShortReads, stack: ApiStack, loop: str) -> None:
    assert where(reads, quick, quick) == ["thread", loop]
    with ExitStack() as opened:
        for _ in range(2):
            opened.enter_context(stack.services.database.reader()).connection()
        assert where(reads, quick) == ["thread"]
    assert where(reads, quick) == [loop]


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
