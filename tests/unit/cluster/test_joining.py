"""Who may join a cluster, and what those who may not are told."""

import json
from dataclasses import replace

import pytest

from cluster.errors import SettingsInvalid
from cluster.joining import (
    HeadFacts,
    JoinRefused,
    host_and_port,
    labels_of_node,
    lists_of,
    refuse_unless_same,
)
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
