"""`heliostat up`: starts the stack, says where it is, watches it, brings it back, and ends it. Never joins Ray itself:
a process that has joined dies with Ray's head, and then nobody would be left to bring it back.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType

import httpx

from cluster.clock import SystemClock
from cluster.db.engine import Database
from cluster.db.migrations import migrate
from cluster.db.queries import system_flags
from cluster.names import WorkerName
from cluster.settings import RayPort, Settings
from cluster.stack import Stack, StackBroken
from cluster.storage.mounts import check_folders
from cluster.workers import node_duties

log = logging.getLogger(__name__)

DEPLOY_TIMEOUT_S = 120.0
PING_EVERY_S = 0.1
LOOK_EVERY_S = 1.0
SILENT_S = 30.0
"""How long the API may not answer before the whole stack is started anew."""
LONGEST_PAUSE_S = 30.0


class Supervisor:
    """One stack in the foreground. `run` returns when a person or the system says stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._stack = Stack(settings, environ)
        self._stopping = threading.Event()
        self._serves_api = WorkerName.API in node_duties(settings.workers_include, settings.workers_exclude).workers
        host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
        self._address = f"http://{host}:{settings.port}"

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
        database = Database(self._settings.database_url)
        if not self._settings.skip_migrations:
            migrate(database.durable)
        self._check_media(database)
        database.close()
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

    def _check_media(self, database: Database) -> None:
        """Every media folder is mounted, or made the first time. Raises SettingsInvalid."""
        settings = self._settings
        with database.session(durable=True) as session:
            known = system_flags.known_mounts(session)
            created = check_folders(settings.media_root, known, settings.ignore_mount_check_errors, SystemClock().now())
            system_flags.remember_mounts(session, created)

    def _driver(self) -> "subprocess.Popen[str]":
        """The process that deploys API and controller. It imports while Ray starts, and waits for a word on stdin."""
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
        driver.stdin.write("go\n")
        driver.stdin.close()
        until_s = time.monotonic() + DEPLOY_TIMEOUT_S
        while time.monotonic() < until_s and not self._stopping.is_set():
            if driver.poll() not in (None, 0):
                raise StackBroken(f"the server did not start:\n{driver.stdout.read()[-4000:]}")
            if driver.poll() == 0 and self._answers():
                return
            time.sleep(PING_EVERY_S)
        if not self._stopping.is_set():
            raise StackBroken(f"the API did not answer within {DEPLOY_TIMEOUT_S:.0f} s")

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self._address}/api/server/ping", timeout=2.0).status_code == 200
        except httpx.HTTPError:
            return False

    def _watch(self) -> None:
        heard_s = time.monotonic()
        while not self._stopping.wait(LOOK_EVERY_S):
            if self._answers():
                heard_s = time.monotonic()
            dead = self._stack.dead_parts()
            silent_s = time.monotonic() - heard_s
            if dead or silent_s > SILENT_S:
                what = f"{', '.join(dead)} died" if dead else f"the API was silent for {silent_s:.0f} s"
                log.error("%s: starting everything anew", what)
                self._bring_back()
                heard_s = time.monotonic()

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


def run_in_foreground(settings: Settings) -> None:
    """`heliostat up`."""
    Supervisor(settings, os.environ).run()
