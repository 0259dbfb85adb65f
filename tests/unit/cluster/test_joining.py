"""Who may join a cluster, and what those who may not are told."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.errors import SettingsInvalid
from cluster.joining import (
    HeadFacts,
    JoinRefused,
    facts_here,
    host_and_port,
    labels_of_node,
    lists_of,
    refuse_another_database,
    refuse_unless_same,
)
from cluster.settings import read_settings
from cluster.workers import node_labels

HEAD = HeadFacts("0.1.0", "2.60.0", "3.11.7", "/media", {"upload": "123", "thumbs": "123"}, one_api=True)
API, NO_API = node_labels("", ""), node_labels("", "api")


def test_a_machine_that_is_the_same_may_join() -> None:
    refuse_unless_same(HEAD, HEAD, NO_API)
    refuse_unless_same(replace(HEAD, one_api=False), replace(HEAD, one_api=False), API)


def test_a_head_without_markers_is_believed() -> None:
    refuse_unless_same(replace(HEAD, markers={}), replace(HEAD, markers={}), NO_API)


@pytest.mark.parametrize(
    ("here", "labels", "said"),
    [
        (replace(HEAD, heliostat="0.2.0"), NO_API, "Heliostat is 0.2.0 here and 0.1.0 on the head"),
        (replace(HEAD, ray="2.59.0"), NO_API, "Ray is 2.59.0 here and 2.60.0 on the head"),
        (replace(HEAD, python="3.12.1"), NO_API, "Python is 3.12.1 here and 3.11.7 on the head"),
        (replace(HEAD, media_root="/mnt"), NO_API, "the media folder is /mnt here and /media on the head"),
        (replace(HEAD, markers={"upload": "123"}), NO_API, "/media/thumbs/.immich cannot be read: mount"),
        (replace(HEAD, markers={"upload": "123", "thumbs": "4"}), NO_API, "/media/thumbs/.immich is not the head's"),
        (HEAD, API, "set IMMICH_WORKERS_EXCLUDE=api here"),
    ],
)
def test_a_machine_that_differs_is_told_in_what(here: HeadFacts, labels: dict[str, str], said: str) -> None:
    with pytest.raises(JoinRefused, match=said):
        refuse_unless_same(here, HEAD, labels)


def test_an_api_node_that_is_told_of_no_database_is_refused() -> None:
    with pytest.raises(JoinRefused, match="set DB_URL here to what it is on the head"):
        refuse_unless_same(HEAD, replace(HEAD, one_api=False), API)


POSTGRES = {"DB_URL": "postgres://ann:topsecret@db/photos", "IMMICH_MEDIA_LOCATION": "/media"}


def facts(**environ: str) -> HeadFacts:
    return facts_here(read_settings(POSTGRES | environ))


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`time` as it was, after a test that moves this process."""
    yield
    monkeypatch.undo()
    time.tzset()


CONFIG = str(Path(__file__))
DIFFERENT = {
    "HELIOSTAT_MODEL_FOLDER": ("/models", "/models here and /media/models on the head"),
    "HELIOSTAT_UPLOAD_LIMIT_MB": ("200", "200 here and 0 on the head"),
    "HELIOSTAT_VERSION_URL": (
        "https://ann:topsecret@example.org/?key=topsecret",
        "https://example.org here and none on",
    ),
    "HELIOSTAT_VIDEO_PARTS_FROM_S": ("0", "0 here and 60 on the head"),
    "HELIOSTAT_VIDEO_SEARCH_FRAMES": ("8", "8 here and 1 on the head"),
    "IMMICH_ALLOW_SETUP": ("false", "false here and true on the head"),
    "IMMICH_CONFIG_FILE": (CONFIG, "a file here and none on the head"),
    "IMMICH_MACHINE_LEARNING_ENABLED": ("false", "false here and true on the head"),
    "IMMICH_MACHINE_LEARNING_URL": ("http://[topsecret", "no URL here and http://immich-machine-learning:3003 on"),
    "IMMICH_PROCESS_INVALID_IMAGES": ("true", "true here and false on the head"),
    "IMMICH_TRUSTED_PROXIES": ("10.9.9.9", "10.9.9.9/32, 127.0.0.0/8, ::1/128 here and 10.0.0.0/8, "),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_api_machine_that_was_told_otherwise_is_refused_without_a_secret(name: str) -> None:
    value, said = DIFFERENT[name]
    here = facts(**{name: value})
    with pytest.raises(JoinRefused) as refused:
        refuse_unless_same(here, facts(), API)
    assert f"{name} is {said}" in str(refused.value)
    assert "topsecret" not in str(here) + str(refused.value)
    refuse_unless_same(here, facts(), NO_API)
    refuse_unless_same(here, here, API)


def test_a_config_file_that_is_not_here_is_another() -> None:
    with pytest.raises(
        JoinRefused, match="IMMICH_CONFIG_FILE is a file that cannot be read here and a file on the head"
    ):
        refuse_unless_same(facts(IMMICH_CONFIG_FILE="/nowhere.yaml"), facts(IMMICH_CONFIG_FILE=CONFIG), API)


def facts_in(zone: str, monkeypatch: pytest.MonkeyPatch) -> HeadFacts:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    return facts()


def test_an_api_machine_in_another_zone_is_refused(zone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    utc, berlin, paris = (facts_in(name, monkeypatch) for name in ("UTC", "Europe/Berlin", "Europe/Paris"))
    said = r"TZ is CET \(UTC\+01:00\), CEST \(UTC\+02:00\) here and UTC \(UTC\) on the head"
    with pytest.raises(JoinRefused, match=said):
        refuse_unless_same(berlin, utc, API)
    refuse_unless_same(berlin, paris, API)


def test_an_api_machine_that_opens_another_database_is_refused() -> None:
    head = replace(facts(), database="0123456789-head")
    refuse_another_database("0123456789-head", head)
    with pytest.raises(JoinRefused, match=r"DB_URL, or .* another database here \(marked 98765432\)"):
        refuse_another_database("9876543210-mine", head)
    with pytest.raises(JoinRefused, match=r"another database here \(marked by nobody\)"):
        refuse_another_database("", head)


def in_file(labels: dict[str, str]) -> dict[str, str]:
    return {"RAY_OVERRIDE_LABELS": json.dumps(labels | {"ray.io/accelerator-type": "L4"})}


def test_the_labels_are_those_of_the_environment_or_of_the_clusters_file() -> None:
    assert labels_of_node({}) == API
    assert labels_of_node({"IMMICH_WORKERS_EXCLUDE": "api"}) == NO_API
    assert labels_of_node(in_file(NO_API)) == NO_API
    assert labels_of_node({"IMMICH_WORKERS_EXCLUDE": "api"} | in_file(NO_API)) == NO_API


@pytest.mark.parametrize("include", ["encoding", "api", "machine-learning,videoConversion", "ocr", "microservices"])
def test_labels_of_the_file_become_the_variables_that_mean_them(include: str) -> None:
    labels = node_labels(include, "smartSearch")
    variables = lists_of(labels)
    assert node_labels(variables["IMMICH_WORKERS_INCLUDE"], variables["IMMICH_WORKERS_EXCLUDE"]) == labels


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"IMMICH_WORKERS_INCLUDE": "encoding"} | in_file(NO_API), "the cluster's file and the environment differ"),
        ({"IMMICH_WORKERS_INCLUDE": "api", "IMMICH_WORKERS_EXCLUDE": "api"}, "nothing is left for this machine"),
        (in_file({}), "nothing is left for this machine"),
    ],
)
def test_labels_that_cannot_be_are_refused(environ: dict[str, str], said: str) -> None:
    with pytest.raises(JoinRefused, match=said):
        labels_of_node(environ)


def test_a_name_that_is_no_worker_is_refused_as_immich_does() -> None:
    with pytest.raises(SettingsInvalid, match=r"Invalid worker\(s\) found: api,randomname"):
        labels_of_node({"IMMICH_WORKERS_INCLUDE": "api, randomname"})


def test_an_address_is_a_host_with_a_port_or_with_that_of_2283() -> None:
    assert host_and_port("10.0.0.5:4000") == ("10.0.0.5", 4000)
    assert host_and_port("photos.example") == ("photos.example", 14_992)
    assert host_and_port("[fd00::1]:4000") == ("fd00::1", 4000)


@pytest.mark.parametrize("address", ["", ":4000", "host:", "host:port", "host:70000"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(JoinRefused, match="write HOST:PORT"):
        host_and_port(address)
