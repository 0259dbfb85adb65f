"""`heliostat up`: starts the stack, says where it is, watches it, brings it back, and ends it. Never joins Ray itself:
a process that has joined dies with Ray's head, and then nobody would be left to bring it back.
"""

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from types import FrameType

from cluster.errors import SettingsInvalid
from cluster.names import WorkerName
from cluster.settings import RayPort, Settings
from cluster.stack import Stack, StackBroken
from cluster.workers import node_duties

log = logging.getLogger(__name__)

DEPLOY_TIMEOUT_S = 120.0
PING_EVERY_S = 0.1
LOOK_EVERY_S = 2.0
SILENT_S = 30.0
"""How long the API may not answer, or the controller be without its queues, before the whole stack is started anew.
Ray restarts either within seconds; it gives up on an actor that cannot start, and never sees one that is frozen."""
LONGEST_PAUSE_S = 30.0
TOLD = 3
"""Exit code of a driver that said in words why it cannot start."""


class Supervisor:
    """One stack in the foreground. `run` returns when a person or the system says stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._stack = Stack(settings, environ)
        self._stopping = threading.Event()
        if WorkerName.API not in node_duties(settings.workers_include, settings.workers_exclude).workers:
            message = "This command serves the API: leave the worker api in, or the variable out"
            raise SettingsInvalid([("IMMICH_WORKERS_INCLUDE", message)])
        self._host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        self._address = f"http://{self._host}:{settings.port}"

    def run(self) -> None:
        """Start, watch, end. Raises StackRunning, StackBroken, SettingsInvalid before the first ping is answered."""
        self._stack.lock()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._start()
            self._greet()
            self._watch()
        finally:
            started_s = time.monotonic()
            ended = self._stack.end_everything()
            log.info("stopped %d processes in %.1f s", ended, time.monotonic() - started_s)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        log.info("%s: stopping", signal.Signals(number).name)
        self._stopping.set()

    def _start(self) -> None:
        started_s = time.monotonic()
        self._stack.prepare()
        driver = self._driver()
        try:
            self._stack.launch()
            log.info("Ray runs after %.1f s", time.monotonic() - started_s)
            self._deploy(driver)
        finally:
            if driver.poll() is None:
                driver.kill()
            driver.wait()
        log.info("ready after %.1f s", time.monotonic() - started_s)

    def _driver(self) -> "subprocess.Popen[str]":
        """The process that prepares database and media folders while Ray starts, waits for a word on stdin, and then
        deploys API and controller."""
        return subprocess.Popen(
            [sys.executable, "-m", "serve_app.ray_app"],
            env=self._stack.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _deploy(self, driver: "subprocess.Popen[str]") -> None:
        """Let the driver go on, and wait until it is done and a ping is answered. Raises StackBroken."""
        assert driver.stdin is not None
        assert driver.stdout is not None
        with suppress(BrokenPipeError):  # it ended already, and says why
            driver.stdin.write("go\n")
            driver.stdin.close()
        until_s = time.monotonic() + DEPLOY_TIMEOUT_S
        while time.monotonic() < until_s and not self._stopping.is_set():
            if driver.poll() == TOLD:
                raise StackBroken(driver.stdout.read().strip())
            if driver.poll() not in (None, 0):
                raise StackBroken(f"the server did not start:\n{driver.stdout.read()[-4000:]}")
            if driver.poll() == 0 and self._answers():
                return
            time.sleep(PING_EVERY_S)
        if not self._stopping.is_set():
            raise StackBroken(f"the API did not answer within {DEPLOY_TIMEOUT_S:.0f} s")

    def _answers(self) -> bool:
        answer = self._get("/api/server/ping")
        return answer is not None and answer[0] == 200

    def _controller_lives(self) -> bool:
        """Whether it keeps its queues. While nobody can tell (no API, no database), it is not suspected."""
        answer = self._get("/api/health")
        return answer is None or answer[0] != 200 or bool(json.loads(answer[1])["controller"])

    def _get(self, path: str) -> tuple[int, bytes] | None:
        """Status and body, None for no answer."""
        connection = HTTPConnection(self._host, self._settings.port, timeout=2.0)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()

    def _watch(self) -> None:
        asked = {"the API": self._answers, "the controller": self._controller_lives}
        heard_s = dict.fromkeys(asked, time.monotonic())
        while not self._stopping.wait(LOOK_EVERY_S):
            heard_s |= {name: time.monotonic() for name, lives in asked.items() if lives()}
            silences = {name: time.monotonic() - at_s for name, at_s in heard_s.items()}
            wrong = [f"{name} died" for name in self._stack.dead_parts()]
            wrong += [f"{name} was silent for {for_s:.0f} s" for name, for_s in silences.items() if for_s > SILENT_S]
            if wrong:
                log.error("%s: starting everything anew", ", ".join(wrong))
                self._bring_back()
                heard_s = dict.fromkeys(asked, time.monotonic())

    def _bring_back(self) -> None:
        pause_s = 1.0
        while not self._stopping.is_set():
            try:
                self._start()
                return
            except Exception:
                log.exception("that start failed, the next is in %.0f s", pause_s)
                self._stopping.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _greet(self) -> None:
        if self._stopping.is_set():
            return
        lines = [("API", f"{self._address}/api"), ("API pages", f"{self._address}/api/docs")]
        if self._settings.dashboard:
            lines.append(("Ray dashboard", f"http://127.0.0.1:{self._settings.ray_port(RayPort.DASHBOARD)}"))
        lines.append(("Media", str(self._settings.media_root)))
        for name, value in lines:
            log.info("%-14s %s", name, value)
