"""From backlog to machines: how many, of which type, and never more than the cluster's file allows."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.names import JobName, QueueName
from cluster.queue.job import JobSpec, ModelPool, Place, Resources
from cluster.scaling import WORTH_S, Fleet, Line, MachineType, fleet_of
from cluster.workers import node_labels, queue_label

Q = QueueName
THUMBNAILS = JobSpec(JobName.ASSET_GENERATE_THUMBNAILS, batch=4)
ENCODE = JobSpec(JobName.ASSET_ENCODE_VIDEO, resources=Resources(cpus=2))
FACES = JobSpec(JobName.ASSET_DETECT_FACES, batch=2, pool=ModelPool("faces", cpus=2, gpus=0.25))
ROWS = JobSpec(JobName.MEMORY_CLEANUP, place=Place.ROW_JOBS)
SPECS = {
    Q.THUMBNAIL_GENERATION: THUMBNAILS,
    Q.VIDEO_CONVERSION: ENCODE,
    Q.FACE_DETECTION: FACES,
    Q.BACKGROUND_TASK: ROWS,
}


def machine_type(
    name: str, include: str, exclude: str = "", cpus: float = 4, gpus: float = 0, least: int = 0, most: int = 4
) -> MachineType:
    return MachineType(name, node_labels(include, exclude), cpus, gpus, least, most)


CPU = machine_type("cpu", "microservices", "machine-learning,encoding")
GPU = machine_type("gpu", "machine-learning", cpus=8, gpus=1, most=2)
ENCODING = machine_type("encoding", "encoding", cpus=8)
FLEET = Fleet([CPU, GPU, ENCODING], most=8)


def line(queue: QueueName, jobs: int, job_s: float = 0.0, concurrency: int = 4, served: bool = False) -> Line:
    return Line(queue, [SPECS.get(queue, THUMBNAILS)], jobs, job_s, concurrency, served)


def wanted(fleet: Fleet, *lines: Line) -> dict[str, int]:
    return {name: count for name, count in fleet.machines(lines).items() if count}


def test_nothing_to_do_needs_no_machine() -> None:
    assert FLEET.bundles([]) == []


@pytest.mark.parametrize(
    ("queue", "name"), [(Q.THUMBNAIL_GENERATION, "cpu"), (Q.FACE_DETECTION, "gpu"), (Q.VIDEO_CONVERSION, "encoding")]
)
def test_one_job_of_a_queue_without_a_node_brings_one_machine_of_its_type(queue: QueueName, name: str) -> None:
    assert wanted(FLEET, line(queue, 1)) == {name: 1}


def test_rows_alone_bring_the_node_that_their_queue_needs_and_no_second() -> None:
    assert wanted(FLEET, line(Q.BACKGROUND_TASK, 10_000, job_s=60)) == {"cpu": 1}
    assert wanted(FLEET, line(Q.BACKGROUND_TASK, 10_000, job_s=60, served=True)) == {}


def test_a_machine_more_is_wanted_when_it_would_be_busy_for_a_minute() -> None:
    at_once = 4
    enough = 2 * at_once * int(WORTH_S)
    assert wanted(FLEET, line(Q.THUMBNAIL_GENERATION, enough - 1, job_s=1, served=True)) == {"cpu": 1}
    assert wanted(FLEET, line(Q.THUMBNAIL_GENERATION, enough, job_s=1, served=True)) == {"cpu": 2}


def test_no_more_machines_are_wanted_than_have_a_call_each() -> None:
    assert wanted(FLEET, line(Q.VIDEO_CONVERSION, 3, job_s=7200, concurrency=1)) == {"encoding": 3}
    assert wanted(FLEET, line(Q.VIDEO_CONVERSION, 3, job_s=7200)) == {"encoding": 1}


def test_queues_that_share_a_type_share_its_machines() -> None:
    half = 4 * int(WORTH_S) // 2
    both = [line(queue, half, job_s=1, served=True) for queue in (Q.THUMBNAIL_GENERATION, Q.METADATA_EXTRACTION)]
    assert wanted(FLEET, *both) == {"cpu": 1}


def test_a_sequential_queue_is_never_worth_a_second_machine() -> None:
    assert wanted(FLEET, line(Q.DUPLICATE_DETECTION, 10_000, job_s=100)) == {"cpu": 1}


def test_a_gpu_takes_as_many_processes_as_their_shares_allow() -> None:
    assert GPU.calls_at_once(FACES) == 4
    assert ENCODING.calls_at_once(FACES) == 4
    assert ENCODING.calls_at_once(ENCODE) == 4
    assert CPU.calls_at_once(JobSpec(JobName.OCR, resources=Resources(cpus=16))) == 1


def test_a_type_takes_the_rest_of_what_another_has_no_room_for() -> None:
    fleet = Fleet([machine_type("small", "encoding", most=1), machine_type("large", "encoding", cpus=16, most=4)], 8)
    assert wanted(fleet, line(Q.VIDEO_CONVERSION, 40, job_s=600, concurrency=2)) == {"small": 1, "large": 4}


def test_a_type_of_which_some_are_always_there_is_asked_first() -> None:
    fleet = Fleet([machine_type("rare", "encoding"), machine_type("always", "encoding", least=1)], 8)
    assert wanted(fleet, line(Q.VIDEO_CONVERSION, 1)) == {"always": 1}


def test_each_type_gets_its_first_machine_before_one_gets_its_second() -> None:
    fleet = Fleet([CPU, GPU, ENCODING], most=3)
    lines = [line(Q.THUMBNAIL_GENERATION, 100_000, job_s=1), line(Q.FACE_DETECTION, 1), line(Q.VIDEO_CONVERSION, 1)]
    assert wanted(fleet, *lines) == {"cpu": 1, "gpu": 1, "encoding": 1}


def test_a_queue_that_no_type_serves_spoils_nothing_for_the_others() -> None:
    fleet = Fleet([ENCODING], most=8)
    assert wanted(fleet, line(Q.THUMBNAIL_GENERATION, 10), line(Q.VIDEO_CONVERSION, 1)) == {"encoding": 1}
    assert fleet.starting(Q.THUMBNAIL_GENERATION, [line(Q.THUMBNAIL_GENERATION, 10)]) == ""


FILMS = line(Q.VIDEO_CONVERSION, 1)


def test_a_machine_is_starting_when_one_is_asked_for() -> None:
    assert "starting a node for videoConversion" in FLEET.starting(Q.VIDEO_CONVERSION, [FILMS])
    always = machine_type("cpu", "microservices", "machine-learning,encoding", least=1)
    assert Fleet([always, ENCODING], most=1).starting(Q.VIDEO_CONVERSION, [FILMS]) == ""


def test_a_drained_machine_is_replaced_while_another_may_be_started() -> None:
    most = FLEET.types[2].most
    assert FLEET.machines([], {"encoding": 1}) == {"cpu": 0, "gpu": 0, "encoding": 0}
    for drained in range(most):
        assert FLEET.machines([FILMS], {"encoding": drained})["encoding"] == drained + 1
        assert "of type encoding" in FLEET.starting(Q.VIDEO_CONVERSION, [FILMS], {"encoding": drained})
    assert FLEET.machines([FILMS], {"encoding": most})["encoding"] == most
    assert FLEET.starting(Q.VIDEO_CONVERSION, [FILMS], {"encoding": most}) == ""


def test_where_no_other_of_its_type_may_be_started_one_of_another_type_replaces_it() -> None:
    fleet = Fleet([machine_type("small", "encoding", most=1), machine_type("large", "encoding", cpus=16)], 8)
    assert wanted(fleet, FILMS) == {"small": 1}
    assert {name: count for name, count in fleet.machines([FILMS], {"small": 1}).items() if count} == {"large": 1}
    assert "of type large" in fleet.starting(Q.VIDEO_CONVERSION, [FILMS], {"small": 1})


def test_a_node_counts_as_the_largest_machine_that_it_could_be() -> None:
    large = machine_type("large", "encoding", cpus=16)
    fleet = Fleet([CPU, ENCODING, large], 8)
    labels = {**node_labels("encoding", ""), "ray.io/node-id": "1"}
    nodes = [(labels, 16.0, 0.0), (labels, 15.0, 1.0), (labels, 8.0, 0.0), (labels, 7.0, 0.0), ({}, 64.0, 8.0)]
    assert fleet.counted(nodes) == {"large": 1, "encoding": 2}


def test_a_bundle_is_a_whole_machine_with_the_labels_of_its_type() -> None:
    (bundle,) = FLEET.bundles([line(Q.FACE_DETECTION, 1)])
    assert bundle.resources == {"CPU": 8, "GPU": 1}
    assert bundle.labels == node_labels("machine-learning", "")


lines = st.builds(
    Line,
    st.sampled_from(QueueName),
    st.sampled_from([[THUMBNAILS], [ENCODE], [FACES], [ROWS], [ROWS, THUMBNAILS]]),
    st.integers(0, 10**6),
    st.floats(0, 10**5),
    st.integers(1, 64),
    st.booleans(),
)
types = st.builds(
    MachineType,
    st.uuids().map(str),
    st.sampled_from(["microservices", "machine-learning", "encoding", "ocr,encoding"]).map(
        lambda one: node_labels(one, "")
    ),
    st.integers(1, 64).map(float),
    st.sampled_from([0.0, 1.0, 8.0]),
    st.integers(0, 2),
    st.integers(2, 20),
)


@given(
    st.builds(Fleet, st.lists(types, max_size=5), st.integers(0, 30)), st.lists(lines, max_size=19), st.integers(0, 9)
)
def test_never_more_bundles_than_machines_may_be_started(fleet: Fleet, lines: list[Line], drained: int) -> None:
    idle = {one.name: drained for one in fleet.types}
    counts = fleet.machines(lines, idle)
    assert all(0 <= counts[one.name] <= one.most for one in fleet.types)
    assert len(fleet.bundles(lines, idle)) == sum(counts.values()) <= fleet.most


def test_the_types_of_a_cluster_file_are_those_that_can_be_started_and_work() -> None:
    labels = {queue_label(Q.OCR): "true", "zone": "a"}
    config: dict[str, Any] = {
        "max_workers": 3,
        "head_node_type": "head",
        "available_node_types": {
            "head": {"resources": {"CPU": 4}, "labels": {}, "max_workers": 0},
            "ocr": {"resources": {"CPU": 4, "GPU": 2}, "labels": labels, "min_workers": 1, "max_workers": 9},
            "off": {"resources": {"CPU": 4}, "max_workers": 0},
            "coreless": {"resources": {}, "max_workers": 2},
        },
    }
    fleet = fleet_of(config)
    assert fleet == Fleet([MachineType("ocr", labels, 4.0, 2.0, 1, 3)], 3)
    assert "zone" not in fleet.bundles([])[0].labels
