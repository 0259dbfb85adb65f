"""`heliostat up`: starts the stack, says where it is, watches it, brings it back, and ends it."""

import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException
from types import FrameType

from cluster.errors import SettingsInvalid
from cluster.launch import head_address
from cluster.names import WorkerName
from cluster.ports import refuse_taken_ports_of_head
from cluster.settings import RayPort, Settings
from cluster.stack import Stack, StackBroken
from cluster.storage.mounts import refuse_unusable
from cluster.workers import node_duties
from serve_app.drivers import PREPARED, READY, Driver

log = logging.getLogger(__name__)

DEPLOY_TIMEOUT_S = 120.0
PING_EVERY_S = 0.1
LOOK_EVERY_S = 2.0
SILENT_S = 30.0
"""How long the API may not answer, or the controller be without its queues, before the whole stack is started anew.
Ray restarts either within seconds; it gives up on an actor that cannot start, and never sees one that is frozen."""
LONGEST_PAUSE_S = 30.0
SETTLE_S = 8.0
"""Beside the time for calls to end, when all is told to stop: for the loops to end and the results to be settled."""


class Supervisor:
    """One stack in the foreground. `run` returns when a person or the system says stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._stack = Stack(settings, environ)
        self._stopping, self._at_once = threading.Event(), threading.Event()
        self._drivers: list[Driver] = []
        if WorkerName.API not in node_duties(settings.workers_include, settings.workers_exclude).workers:
            message = "This command serves the API: leave the worker api in, or the variable out"
            raise SettingsInvalid([("IMMICH_WORKERS_INCLUDE", message)])
        self._host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        self._address = f"http://{self._host}:{settings.port}"

    def run(self) -> None:
        """Start, watch, end. Raises StackRunning, StackBroken, SettingsInvalid before the first ping is answered."""
        self._refuse_unusable_media()
        self._stack.lock()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._start()
            self._greet()
            self._watch()
            self._let_work_end()
        finally:
            started_s = time.monotonic()
            self._end_drivers()
            ended = self._stack.end_everything()
            log.info("stopped %d processes in %.1f s", ended, time.monotonic() - started_s)

    def _refuse_unusable_media(self) -> None:
        settings = self._settings
        needs_root = settings.database_url == f"sqlite:///{settings.media_root / 'heliostat.db'}"
        refuse_unusable(settings.media_root, needs_root, settings.ignore_mount_check_errors)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        again = self._stopping.is_set()
        log.info("%s: %s", signal.Signals(number).name, "stopping at once" if again else "stopping")
        (self._at_once if again else self._stopping).set()

    def _start(self) -> None:
        started_s = time.monotonic()
        self._stack.prepare()
        self._end_drivers()
        refuse_taken_ports_of_head(self._settings)
        environ = self._stack.environment
        api, controller = Driver("serve_app.ray_app", environ), Driver("serve_app.ray_controller", environ)
        self._drivers = [api, controller]
        self._stack.launch()
        log.info("Ray runs after %.1f s", time.monotonic() - started_s)
        self._deploy(api, controller)
        log.info("ready after %.1f s", time.monotonic() - started_s)

    def _let_work_end(self) -> None:
        """Have the controllers start nothing more, wait a little for what runs, and give the rest back; until all is
        settled, or a second signal."""
        controllers = [driver for driver in self._drivers if driver.is_ready]
        for driver in controllers:
            driver.stop()
        until_s = time.monotonic() + self._settings.stop_s + SETTLE_S
        while any(driver.is_ready for driver in controllers) and time.monotonic() < until_s:
            if self._at_once.wait(PING_EVERY_S):
                return

    def _end_drivers(self) -> None:
        while self._drivers:
            self._drivers.pop().end()

    def _deploy(self, api: Driver, controller: Driver) -> None:
        """Let them go on, and wait until both are done and a ping is answered. Raises StackBroken."""
        until_s = time.monotonic() + DEPLOY_TIMEOUT_S
        self._wait_for(lambda: api.said(PREPARED), until_s)
        for driver in (api, controller):
            driver.go()
        self._wait_for(lambda: all([controller.said(READY), api.ended(), self._answers()]), until_s)

    def _wait_for(self, done: Callable[[], bool], until_s: float) -> None:
        while not done() and not self._stopping.wait(PING_EVERY_S):
            if time.monotonic() > until_s:
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
            self._stack.keep_monitor()
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
        lines = [("Open", self._address), ("API", f"{self._address}/api"), ("API pages", f"{self._address}/api/docs")]
        if self._settings.dashboard:
            lines.append(("Ray dashboard", f"http://127.0.0.1:{self._settings.ray_port(RayPort.DASHBOARD)}"))
        if self._settings.ray_host:
            lines.append(("Join with", f"heliostat node --address {head_address(self._settings)}"))
            lines.append(("Token", f"{self._settings.token_file}, to be copied to each further machine"))
        lines.append(("Media", str(self._settings.media_root)))
        for name, value in lines:
            log.info("%-14s %s", name, value)
