"""`IMMICH_WORKERS_INCLUDE` and `_EXCLUDE`: Immich's parsing and errors, and the labels that come of them."""

import pytest

from cluster.errors import SettingsInvalid
from cluster.names import QueueName, WorkerName
from cluster.workers import listed_names, node_duties, node_labels, queue_label, worker_label

API, MICROSERVICES = WorkerName.API, WorkerName.MICROSERVICES
MACHINE_LEARNING, ENCODING = WorkerName.MACHINE_LEARNING, WorkerName.ENCODING
EVERY_WORKER = (API, MICROSERVICES, MACHINE_LEARNING, ENCODING)
MODEL_QUEUES = {QueueName.SMART_SEARCH, QueueName.FACE_DETECTION, QueueName.OCR}


@pytest.mark.parametrize(
    ("include", "exclude", "workers"),
    [
        ("", "", EVERY_WORKER),
        (" \t\n", " , ,", EVERY_WORKER),
        ("api", "", (API,)),
        ("", "api", EVERY_WORKER[1:]),
        ("", "microservices", (API,)),
        ("api, microservices", "", EVERY_WORKER),
        ("micro services", "", EVERY_WORKER[1:]),
        ("api,microservices,api", "", EVERY_WORKER),
        ("microservices,api", "", (*EVERY_WORKER[1:], API)),
        ("api", "api", ()),
        ("microservices", "microservices", ()),
        ("api", "randomname", (API,)),
        ("api,randomname", "randomname", (API,)),
        ("api", "maintenance", (API,)),
        ("microservices", "machine-learning,encoding", (MICROSERVICES,)),
        ("", "encoding", (API, MICROSERVICES, MACHINE_LEARNING)),
        ("encoding,machine-learning", "", (ENCODING, MACHINE_LEARNING)),
        ("encoding", "videoConversion", ()),
    ],
)
def test_workers_are_included_less_excluded(include: str, exclude: str, workers: tuple[WorkerName, ...]) -> None:
    assert node_duties(include, exclude).workers == workers


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        ("api,randomname", "", "Invalid worker(s) found: api,randomname"),
        ("api,microservices,randomname", "api", "Invalid worker(s) found: microservices,randomname"),
        ("API", "", "Invalid worker(s) found: API"),
        ("api microservices", "", "Invalid worker(s) found: apimicroservices"),
        ("maintenance,nonsense", "", "Invalid worker(s) found: maintenance,nonsense"),
        ("api,maintenance", "", "maintenance is not served"),
    ],
)
def test_a_wrong_name_that_is_left_stops_start_up(include: str, exclude: str, message: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        node_duties(include, exclude)

    assert caught.value.issues == (("IMMICH_WORKERS_INCLUDE", message),)


def test_microservices_serve_every_queue_and_api_serves_none() -> None:
    assert node_duties("microservices", "").queues == tuple(QueueName)
    assert node_duties("api", "").queues == ()


def test_finer_workers_serve_their_own_queues() -> None:
    assert set(node_duties("machine-learning", "").queues) == MODEL_QUEUES
    assert node_duties("encoding", "").queues == (QueueName.VIDEO_CONVERSION,)
    assert set(node_duties("microservices", "machine-learning").queues) == set(QueueName) - MODEL_QUEUES


def test_queues_can_be_named_in_both_lists() -> None:
    only = node_duties("ocr,videoConversion", "")
    less = node_duties("", "ocr,library")

    assert (only.workers, only.queues) == ((), (QueueName.VIDEO_CONVERSION, QueueName.OCR))
    assert less.workers == EVERY_WORKER
    assert set(less.queues) == set(QueueName) - {QueueName.OCR, QueueName.LIBRARY}
    assert node_duties("ocr", "machine-learning").queues == ()


def test_labels_say_each_worker_and_each_queue() -> None:
    assert node_labels("encoding,api", "") == {
        "worker/encoding": "true",
        "worker/api": "true",
        "queue/videoConversion": "true",
    }
    assert node_labels("api", "api") == {}
    everything = {worker_label(worker) for worker in WorkerName} | {queue_label(queue) for queue in QueueName}
    assert set(node_labels("", "")) == everything


def test_white_space_counts_nowhere() -> None:
    assert listed_names(" a p i ,\tb,,a pi,") == ("api", "b")
