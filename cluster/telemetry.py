"""Logging, set up once per process: Immich's levels and formats, to standard error, with no password in any line.

Source: spec/workers.md §3 and §9.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from cluster.settings import LogLevel, Settings

LEVELS: dict[LogLevel, int] = {
    "verbose": 5,
    "debug": logging.DEBUG,
    "log": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.CRITICAL,
}
OFF = logging.CRITICAL + 1
OURS = ("cluster", "tasks", "serve_app")
NAMES = {number: name for name, number in LEVELS.items()}
COLOURS = {"verbose": "36", "debug": "35", "log": "32", "warn": "33", "error": "31", "fatal": "31;1"}

_about: ContextVar[str] = ContextVar("about", default="")

_SECRETS = (
    re.compile(r"(://[^/\s:@]*:)[^@\s]*(?=@)"),  # in a URL: user:password@host
    re.compile(r"(?i)(\b\w*(?:password|secret|token|api[-_]?key)[\"']?\s*[=:]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s,;&}]+)"),
)


@contextmanager
def lines_about(subject: str) -> Iterator[None]:
    """Each line that this thread logs meanwhile says whom it is about: "AssetGenerateThumbnails, job 7 of asset …"."""
    before = _about.set(subject)
    try:
        yield
    finally:
        _about.reset(before)


def configure_logging(settings: Settings, app_name: str, level: LogLevel = "log") -> None:
    """Log to standard error as `app_name`, from `level` on where `IMMICH_LOG_LEVEL` is unset. The last call holds."""
    colours = sys.stderr.isatty() and not settings.no_color
    handler = _Handler(sys.stderr)
    handler.setFormatter(_JsonLines(app_name) if settings.log_format == "json" else _Lines(app_name, colours))
    root = logging.getLogger()
    root.handlers = [old for old in root.handlers if not isinstance(old, _Handler)] + [handler]
    set_level(LEVELS[settings.log_level or level])


def follow_config(settings: Settings, enabled: bool, level: LogLevel) -> None:
    """Apply the system config's `logging`, which `IMMICH_LOG_LEVEL` overrules."""
    set_level(LEVELS[settings.log_level] if settings.log_level else LEVELS[level] if enabled else OFF)


def set_level(level: int) -> None:
    """Ours log from `level` on; what libraries say below a warning helps nobody."""
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    logging.getLogger().setLevel(max(level, logging.WARNING))


def without_secrets(text: str) -> str:
    """`text` with every password that can be told by its surroundings masked."""
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return text


class _Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours: told apart from handlers that others have put on the root logger."""


class _Lines(logging.Formatter):
    """`2026-01-31T12:00:00.000Z   WARN [Api:cluster.loops.settler] message`, and the traceback below."""

    def __init__(self, app_name: str, colours: bool) -> None:
        super().__init__()
        self._app_name, self._colours = app_name, colours

    def format(self, record: logging.LogRecord) -> str:
        level = _level_name(record)
        word = f"{level.upper():>7}"
        if self._colours:
            word = f"\x1b[{COLOURS[level]}m{word}\x1b[0m"
        about = f" ({_about.get()})" if _about.get() else ""
        message = "\n".join([record.getMessage() + about, *_stack(self, record)])
        return f"{_timestamp(record)} {word} [{self._app_name}:{record.name}] {without_secrets(message)}"


class _JsonLines(logging.Formatter):
    """One JSON object per line, with the keys of Immich's own format."""

    def __init__(self, app_name: str) -> None:
        super().__init__()
        self._app_name = app_name

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "level": _level_name(record),
            "pid": record.process,
            "timestamp": int(record.created * 1000),
            "message": without_secrets(record.getMessage()),
            "context": f"{self._app_name}:{record.name}",
        }
        if about := _about.get():
            line["about"] = about
        if stack := _stack(self, record):
            line["stack"] = without_secrets("\n".join(stack))
        return json.dumps(line, ensure_ascii=False)


def _level_name(record: logging.LogRecord) -> LogLevel:
    """Immich's name of the nearest level at or below the record's."""
    return NAMES[max((number for number in NAMES if number <= record.levelno), default=LEVELS["verbose"])]


def _timestamp(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _stack(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    return [formatter.formatException(record.exc_info)] if record.exc_info else []
