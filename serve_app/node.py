"""`heliostat node`: this machine's Ray, joined to a cluster's head; watched, brought back, drained, ended. It never
joins itself, since who has joined dies with Ray. On an api machine it also keeps the API that needs no Ray.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType

from cluster.errors import HeliostatError, Unavailable
from cluster.joining import (
    HEAD_SILENT,
    LABELS_OF_FILE,
    TOKEN_REFUSED,
    HeadFacts,
    JoinRefused,
    ToldOtherwise,
    facts_here,
    host_and_port,
    labels_of_node,
    lists_of,
    refuse_another_database,
    refuse_unless_same,
)
from cluster.launch import node_command
from cluster.names import WorkerName
from cluster.ports import refuse_taken_ports_of_node
from cluster.settings import (
    RAY_PORTS_PER_STACK,
    RayPort,
    Settings,
    names_database,
    read_settings,
    strip_database_variables,
)
from cluster.stack import RayNotStarted, Stack
from cluster.storage.mounts import marker_present
from cluster.workers import worker_label
from serve_app.stand_in import StandIn

log = logging.getLogger(__name__)

LOOK_EVERY_S = 2.0
REACH_S = 5.0
ASK_S = 30.0
UNTIL_PUBLISHED_S = 60.0
"""How long a head that answers may still be starting."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0
LEFT_EVERY_S = 0.2
NO_ANSWER = "it does not answer"


def environ_of_node(environ: Mapping[str, str]) -> dict[str, str]:
    """`environ` with the workers that the cluster's file gives this machine, and without the database where it is no
    api node. Raises JoinRefused, SettingsInvalid."""
    labels = labels_of_node(environ)
    own = dict(environ) | (lists_of(labels) if environ.get(LABELS_OF_FILE) else {})
    return own if worker_label(WorkerName.API) in labels else strip_database_variables(own)


def forget_database(environ: Mapping[str, str]) -> None:
    """Start this process anew where its environment names a database that it may not open: what a process was started
    with stays readable for as long as it lives."""
    own = environ_of_node(environ)
    if any(names_database(name) for name in set(environ) - set(own)):
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], own)  # noqa: S606 - itself, with less


class NodeSupervisor:
    """One further machine in the foreground. `run` returns when a person or the system says stop."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], address: str) -> None:
        self._settings = settings
        self._labels = labels_of_node(environ)
        self._head = host_and_port(address)
        self._stack = Stack(settings, environ, head=False)
        self._is_api = worker_label(WorkerName.API) in self._labels
        self._stand_in = StandIn(self._stack.environment, self._is_api)
        self._stopping, self._at_once = threading.Event(), threading.Event()
        self._address = ""

    def run(self) -> None:
        """Join, watch, leave. Raises JoinRefused, SettingsInvalid, StackRunning, StackBroken before Ray was started for
        the first time."""
        self._stack.lock()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            self._join_first()
            self._watch()
            self._leave()
        finally:
            started_s = time.monotonic()
            self._stand_in.end()
            ended = self._stack.end_everything()
            log.info("left the cluster: stopped %d processes in %.1f s", ended, time.monotonic() - started_s)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        again = self._stopping.is_set()
        log.info("%s: %s", signal.Signals(number).name, "stopping at once" if again else "stopping")
        (self._at_once if again else self._stopping).set()

    def _join_first(self) -> None:
        """What is set wrongly is raised. Where Ray alone did not start, as while the head starts anew, it is tried
        again like any time later."""
        try:
            self._join()
        except RayNotStarted as error:
            self._try_again(error, FIRST_PAUSE_S)
            self._rejoin(FIRST_PAUSE_S * 2)

    def _join(self) -> None:
        """Raises HeliostatError; for one that is told to stop meanwhile, nothing is wrong."""
        try:
            self._prepare_and_join()
        except HeliostatError:
            if not self._stopping.is_set():
                raise

    def _prepare_and_join(self) -> None:
        started_s = time.monotonic()
        self._stack.prepare_node()
        host = self._settings.ray_host or self._reach()
        refuse_taken_ports_of_node(self._settings, host, serves=self._is_api and not self._stand_in.was_started)
        facts = self._wait_for_facts()
        if self._stopping.is_set():
            return
        with self._taking_nothing_if_refused():
            refuse_unless_same(facts_here(self._settings), facts, self._labels)
        if self._is_api:
            mark = self._mark_in_database()
            if mark != facts.database:  # the head may have started anew meanwhile, and marked it anew
                facts = self._wait_for_facts()
            with self._taking_nothing_if_refused():
                refuse_another_database(mark, facts)
        head = self._head_address
        self._stack.launch(node_command(self._settings, head, host, self._labels))
        self._address = f"{host}:{self._settings.ray_port(RayPort.NODE_MANAGER)}"
        log.info("joined %s as %s after %.1f s", head, self._settings.node_name, time.monotonic() - started_s)
        log.info("%-14s %s", "serves", ", ".join(self._labels))
        self._stand_in.keep()

    @contextmanager
    def _taking_nothing_if_refused(self) -> Iterator[None]:
        """Another version, another database or no media folder: then the API here may take nothing either. One that
        was told otherwise goes on with that until somebody starts it anew."""
        try:
            yield
        except ToldOtherwise:
            raise
        except JoinRefused:
            self._stand_in.end()
            raise

    def _mark_in_database(self) -> str:
        """Asked by a process of its own, since this one stays small. Raises Unavailable, without what the database's
        driver said, as that names user and host."""
        done = self._ask("cluster.db.identity")
        if done.returncode != 0:
            raise Unavailable(
                "the database that this api machine was told of (DB_URL, or DB_HOSTNAME and its like) does not answer: "
                "`heliostat doctor` says why"
            )
        return done.stdout.strip()

    def _ask(self, module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a module of ours that asks the head or the database; HEAD_SILENT where it waits for too long."""
        command = [sys.executable, "-m", module, *arguments]
        try:
            return subprocess.run(
                command,
                env=self._stack.environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ASK_S,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, HEAD_SILENT, NO_ANSWER, NO_ANSWER)

    @property
    def _head_address(self) -> str:
        host, port = self._head
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _reach(self) -> str:
        """This machine's address towards the head. Raises JoinRefused when nothing answers there."""
        try:
            with socket.create_connection(self._head, REACH_S) as connection:
                address: str = connection.getsockname()[0]
                return address
        except OSError as error:
            last = self._head[1] + RAY_PORTS_PER_STACK - 1
            alone = ", and this machine's API starts when it has joined once" if self._is_api else ""
            raise JoinRefused(
                f"nothing answers at {self._head_address} ({error.strerror or error}){alone}: run `heliostat up` "
                "there with HELIOSTAT_RAY_HOST set to the address by which this machine reaches it, and let the "
                f"machines of the cluster reach each other's ports {self._head[1]} to {last}"
            ) from None

    def _wait_for_facts(self) -> HeadFacts:
        """What the head has published. Raises JoinRefused when it refuses the token, or publishes nothing in time."""
        until_s = time.monotonic() + UNTIL_PUBLISHED_S
        while True:
            done = self._ask("cluster.ray_join", self._head_address)
            words = done.stdout.strip()
            if done.returncode == TOKEN_REFUSED:
                raise JoinRefused(
                    f"the head at {self._head_address} refuses the token in {self._settings.token_file}: copy the "
                    "head's file to here again"
                )
            if done.returncode == 0 and words:
                return HeadFacts(**json.loads(words.splitlines()[-1]))
            if self._stopping.wait(1.0) or time.monotonic() > until_s:
                why = words if done.returncode == HEAD_SILENT else done.stderr.strip().splitlines()[-1:]
                raise JoinRefused(
                    f"no Heliostat answers at {self._head_address}: run `heliostat up` there first, which serves the "
                    f"worker api ({why or 'Ray runs there without it'})"
                )

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            self._stand_in.keep()
            wrong = [f"{name} died" for name in self._stack.dead_parts()]
            if not self._media_present():
                wrong.append("the media folder is not mounted any more")
            if wrong:
                log.error("%s: joining anew", ", ".join(wrong))
                self._rejoin()

    def _media_present(self) -> bool:
        return marker_present(self._settings.media_root, self._settings.ignore_mount_check_errors)

    def _leave(self) -> None:
        """Get nothing new and let end what runs here, until Ray has ended its raylet for that; as long as the settings
        say, or until a second signal."""
        within_s = self._settings.leave_s
        if within_s == 0 or not self._address or self._stack.dead_parts() or not self._tell_head(within_s):
            return
        log.info("drains: waits up to %d s for what runs here; a second signal ends it at once", within_s)
        started_s = time.monotonic()
        while not self._stack.dead_parts() and time.monotonic() < started_s + within_s:
            if self._at_once.wait(LEFT_EVERY_S):
                return
        what = "is empty" if self._stack.dead_parts() else "is not empty, and ends all the same"
        log.info("drained for %.1f s: this machine %s", time.monotonic() - started_s, what)

    def _tell_head(self, within_s: int) -> bool:
        """Whether the head knows now that this machine goes. One that is away has nothing running here."""
        try:
            socket.create_connection(self._head, REACH_S).close()
        except OSError as error:
            log.warning("the head was not told that this machine goes: %s", error)
            return False
        done = self._ask("cluster.ray_leave", self._head_address, self._address, str(within_s))
        if done.returncode != 0:
            log.warning("the head was not told that this machine goes: %s", done.stderr.strip()[-500:] or "not found")
        return done.returncode == 0

    def _rejoin(self, pause_s: float = FIRST_PAUSE_S) -> None:
        while not self._stopping.is_set():
            if self._media_present():
                self._stand_in.keep_running()
            else:
                self._stand_in.end()
            try:
                self._join()
                return
            except HeliostatError as error:
                self._try_again(error, pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _try_again(self, error: HeliostatError, pause_s: float) -> None:
        log.error("%s; the next try is in %.0f s", error, pause_s)
        self._stopping.wait(pause_s)


def run_node(address: str, environ: Mapping[str, str]) -> None:
    """The command. Raises as `NodeSupervisor.run` does."""
    own = environ_of_node(environ)
    NodeSupervisor(read_settings(own), own, address).run()
