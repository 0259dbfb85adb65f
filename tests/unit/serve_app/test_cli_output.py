"""What the commands print: counts that are true, and names as they are, brackets and all."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from serve_app import cli_upload
from serve_app.cli_doctor import Finding, report
from serve_app.cli_jobs import queue_table, show_queue
from serve_app.cli_upload import Uploaded, newly_failed, tell, wait_for_queues
from serve_app.client import ApiClient, Queue


class ScriptedClient(ApiClient):
    """Answers with what it was given: backlogs of one queue, then none, or queues as they are; jobs by status."""

    def __init__(
        self,
        backlogs: Sequence[int] = (),
        jobs: dict[str, list[dict[str, Any]]] | None = None,
        states: Sequence[Queue] = (),
    ) -> None:
        self._backlogs, self._jobs, self._states = list(backlogs), jobs or {}, list(states)

    def queues(self) -> list[Queue]:
        if self._states:
            return self._states
        waiting = self._backlogs.pop(0) if self._backlogs else 0
        return [Queue("ocr", False, 0, waiting, 0, 0), Queue("library", False, 0, 0, 0, 0)]

    def call(self, method: str, path: str, **given: Any) -> Any:
        assert (method, path) == ("GET", "/queues/ocr/jobs")
        return self._jobs.get(given["params"]["status"][0], [])


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=100, force_terminal=terminal, color_system=None)


def printed(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


def test_a_queues_bar_says_how_many_are_left_and_claims_no_total(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_upload, "POLL_S", 0.15)  # longer than the screen's refresh
    screen = console(terminal=True)
    wait_for_queues(ScriptedClient([3, 7, 5]), screen)
    shown = printed(screen)
    assert [number for number in (3, 7, 5, 0) if f"{number} left" not in shown] == []
    assert "/7" not in shown
    assert "library" not in shown  # it had nothing to do


def test_what_cannot_start_is_told_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_upload, "POLL_S", 0.01)
    monkeypatch.setattr(cli_upload, "HELD_S", 0.2)
    screen, client = console(), ScriptedClient()
    no_model = Queue("ocr", False, 0, 3, 0, 0, "put [this] there")
    answers = [[replace(no_model, waiting=0, active=1)], [no_model], [replace(no_model, waiting=2, active=1)]]
    client.queues = lambda: answers.pop(0) if answers else [no_model]  # type: ignore[method-assign]
    wait_for_queues(client, screen)
    assert answers == []
    assert printed(screen).splitlines()[-1] == "3 wait in ocr: put [this] there"
    assert "ocr: put [this] there" in shown_by(queue_table([no_model]))


def shown_by(table: Table) -> str:
    screen = console()
    screen.print(table)
    return printed(screen)


def test_why_jobs_failed_and_why_others_wait() -> None:
    failed = [{"name": "Ocr", "id": "7", "data": {"id": "1", "error": "[red]odd.jpg: not a picture" + "!" * 100}}]
    delayed = [{"name": "Ocr", "id": str(n), "data": {"error": "the drive is away"}} for n in range(3)]
    screen = console()
    show_queue(ScriptedClient(jobs={"failed": failed, "delayed": delayed}), screen, "ocr")
    assert printed(screen).splitlines() == [
        "Ocr [red]odd.jpg: not a picture" + "!" * 100,
        "3 later the drive is away",
        "0 active, 0 waiting, 1 failed, 3 put off",
    ]


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (Queue("ocr", True, 0, 4, 0, 0, "no live node"), "paused: heliostat jobs ocr resume"),
        (Queue("ocr", False, 0, 4, 0, 0, "[bold]no model"), "waits: [bold]no model"),
        (Queue("ocr", False, 0, 4, 0, 0), None),
    ],
)
def test_a_queue_that_holds_its_jobs_back_says_why(state: Queue, says: str | None) -> None:
    screen = console()
    show_queue(ScriptedClient(states=[state]), screen, "ocr")
    assert printed(screen).splitlines() == [
        *([says] if says else []),
        "0 active, 4 waiting, 0 failed, 0 put off",
    ]


def test_a_file_that_was_not_taken_keeps_its_brackets() -> None:
    screen = console()
    tell(screen, Uploaded(refused=[(Path("[holiday]/a.jpg"), "the server answered 400: File is empty")]))
    assert "not uploaded [holiday]/a.jpg: the server answered 400: File is empty" in printed(screen)


def test_a_cure_stays_whole_however_narrow_the_terminal() -> None:
    cure = "run `heliostat models fetch clip ViT-B-32__openai` " + "and wait " * 20
    screen = console()
    assert not report([Finding("model, clip", f"/a/{'long/' * 30}path", cure)], screen)
    assert f"model, clip: {cure}" in printed(screen).splitlines()
    assert "…" not in printed(screen)


def test_what_may_be_left_away_is_a_hint_and_nothing_is_wrong() -> None:
    screen = console()
    assert report([Finding("model, ocr", "/models/ocr/a", "put det.onnx there", is_hint=True)], screen)
    assert "✗" not in printed(screen)
    assert "model, ocr: optional, its queue waits for it: put det.onnx there" in printed(screen).splitlines()


def test_only_new_failures_are_told_of() -> None:
    before = [Queue("ocr", False, 0, 0, 0, 2), Queue("library", False, 0, 0, 0, 1)]
    after = [Queue("ocr", False, 0, 0, 0, 5), Queue("library", False, 0, 0, 0, 1), Queue("search", False, 0, 0, 0, 1)]
    assert list(newly_failed(before, after)) == [("ocr", 3), ("search", 1)]
