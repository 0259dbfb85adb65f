"""Log lines: Immich's levels and formats, and no password in any of them."""

import json
import logging
from collections.abc import Iterator

import pytest

from cluster.settings import read_settings
from cluster.telemetry import OURS, configure_logging, follow_config, lines_about, without_secrets

LOGGERS = (None, *OURS)


@pytest.fixture(autouse=True)
def _restored_loggers() -> Iterator[None]:
    root, levels = logging.getLogger(), [logging.getLogger(name).level for name in LOGGERS]
    handlers = root.handlers
    yield
    root.handlers = handlers
    for name, level in zip(LOGGERS, levels, strict=True):
        logging.getLogger(name).setLevel(level)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_line_tells_time_level_app_and_place(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings({}), "Api")

    logging.getLogger("cluster.loops").warning("%d left", 3)

    (line,) = said(capsys)
    assert line[23:] == "Z    WARN [Api:cluster.loops] 3 left"


def test_json_lines_say_whom_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings({"IMMICH_LOG_FORMAT": "json"}), "Worker")

    with lines_about("job 7"):
        logging.getLogger("tasks").warning("odd")
    logging.getLogger("tasks").warning("even")

    assert [json.loads(line).get("about") for line in said(capsys)] == ["job 7", None]


def test_set_up_twice_still_says_everything_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings({}), "Api")
    configure_logging(read_settings({}), "Microservices")

    logging.getLogger("tasks").error("once")

    assert [line.split("[")[1] for line in said(capsys)] == ["Microservices:tasks] once"]


@pytest.mark.parametrize(
    ("environ", "heard"),
    [
        ({}, {"log", "warn", "error", "fatal"}),
        ({"IMMICH_LOG_LEVEL": "verbose"}, {"verbose", "debug", "log", "warn", "error", "fatal"}),
        ({"IMMICH_LOG_LEVEL": "fatal"}, {"fatal"}),
    ],
)
def test_levels_are_immichs(environ: dict[str, str], heard: set[str], capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings(environ | {"IMMICH_LOG_FORMAT": "json"}), "Api")

    for number in (5, 10, 20, 30, 40, 50):
        logging.getLogger("serve_app").log(number, "here")

    assert {json.loads(line)["level"] for line in said(capsys)} == heard


def test_the_environment_overrules_the_system_config(capsys: pytest.CaptureFixture[str]) -> None:
    for environ, expected in (({}, []), ({"IMMICH_LOG_LEVEL": "log"}, ["here"])):
        settings = read_settings(environ)
        configure_logging(settings, "Api")
        follow_config(settings, enabled=False, level="verbose")
        logging.getLogger("tasks").info("here")

        assert [line.split("] ")[1] for line in said(capsys)] == expected


def test_a_level_set_by_the_config_holds_until_the_next(capsys: pytest.CaptureFixture[str]) -> None:
    settings = read_settings({})
    configure_logging(settings, "Api")
    for level in ("warn", "debug"):
        follow_config(settings, enabled=True, level=level)
        logging.getLogger("tasks").info(level)

    assert [line.split("] ")[1] for line in said(capsys)] == ["debug"]


def test_libraries_are_heard_from_a_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings({"IMMICH_LOG_LEVEL": "debug"}), "Api")

    logging.getLogger("somebody.else").info("chatter")
    logging.getLogger("somebody.else").warning("trouble")

    assert [line.split("] ")[1] for line in said(capsys)] == ["trouble"]


def test_json_is_one_line_even_with_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(read_settings({"IMMICH_LOG_FORMAT": "json"}), "Api")
    try:
        raise ValueError("cannot open postgres://me:hunter2@db/x")
    except ValueError:
        logging.getLogger("cluster").exception("a\nb")

    (line,) = said(capsys)
    told = json.loads(line)
    assert (told["level"], told["message"], told["context"]) == ("error", "a\nb", "Api:cluster")
    assert "ValueError" in told["stack"]
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://me:hunter2@db:5432/immich?sslmode=require",
        "http://:hunter2@proxy",
        "connection failed: host=db password=hunter2 user=me",
        "{'email': 'a@b', 'password': 'hunter2'}",
        'DB_PASSWORD="hunter2"',
        "POST /x?apiKey=hunter2&page=1",
        "clientSecret: hunter2",
    ],
)
def test_passwords_are_masked(text: str) -> None:
    assert "hunter2" not in without_secrets(text)
    assert "***" in without_secrets(text)


def test_ordinary_text_is_left_alone() -> None:
    text = "a@b.c opened http://host:2283/api at 12:30, 5 tokens left"

    assert without_secrets(text) == text
