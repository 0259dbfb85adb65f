"""The table of states, and the diagram that is drawn from it."""

import itertools
import re

import pytest

from cluster.errors import StateError
from cluster.queue.states import TRANSITIONS, JobEvent, JobState, after
from tests.shared_media import REPOSITORY


def test_a_job_goes_where_the_table_says() -> None:
    assert after(JobState.WAITING, JobEvent.LEASE) is JobState.ACTIVE
    assert after(JobState.ACTIVE, JobEvent.FINISH) is None


@pytest.mark.parametrize(
    ("state", "event"), [pair for pair in itertools.product(JobState, JobEvent) if pair not in TRANSITIONS]
)
def test_anything_else_is_an_error(state: JobState, event: JobEvent) -> None:
    with pytest.raises(StateError, match=f"a {state} job does not know {event}"):
        after(state, event)


def test_every_state_can_be_left_and_reached_and_every_event_happens() -> None:
    assert {state for state, _ in TRANSITIONS} == set(JobState)
    assert {state for state in TRANSITIONS.values() if state} == set(JobState) - {None}
    assert {event for _, event in TRANSITIONS} == set(JobEvent)


def test_only_an_active_job_can_be_settled() -> None:
    settling = {JobEvent.FINISH, JobEvent.CONTINUE, JobEvent.RETRY, JobEvent.SNOOZE, JobEvent.RELEASE, JobEvent.FAIL}
    assert {state for state, event in TRANSITIONS if event in settling} == {JobState.ACTIVE}


def test_the_diagram_in_the_readme_is_the_table() -> None:
    text = (REPOSITORY / "cluster" / "README.md").read_text()
    diagram = re.search(r"stateDiagram-v2\n(.*?)```", text, re.DOTALL)
    assert diagram is not None
    arrows = re.findall(r"(\S+) --> (\S+): (\S+)", diagram[1])
    drawn = {(start, event, end) for start, end, event in arrows if start != "[*]"}
    assert drawn == {(str(state), str(event), str(to) if to else "[*]") for (state, event), to in TRANSITIONS.items()}
    assert {end for start, end, _ in arrows if start == "[*]"} == {JobState.WAITING, JobState.DELAYED}
