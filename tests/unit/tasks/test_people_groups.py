"""Which group of faces goes on as whom, and what a person said is not undone."""

from collections.abc import Sequence
from datetime import date
from itertools import chain, count

from cluster.db.queries.faces import GatheredFace, KnownPerson
from tasks.people_groups import Plan, plan_people

DAY = date(2024, 3, 5)
NOBODY = -1


def faces(*people: str | None, settled: Sequence[int] = (), taken_on: date = DAY) -> list[GatheredFace]:
    """A face per entry: whose it is by now."""
    return [GatheredFace(f"f{index}", person, index in settled, True, taken_on) for index, person in enumerate(people)]


def people(*marked: str, unmarked: Sequence[str] = (), born: date | None = None) -> dict[str, KnownPerson]:
    everybody = [*marked, *unmarked]
    return {one: KnownPerson(one in marked, born, age) for age, one in enumerate(everybody)}


def plan(of: list[GatheredFace], groups: list[int], known: dict[str, KnownPerson]) -> Plan:
    numbers = count(1)
    return plan_people(of, groups, known, lambda: f"new{next(numbers)}")


def test_a_group_of_nobody_known_becomes_somebody_shown_by_its_heart() -> None:
    made = plan(faces(None, None, None, None), [1, 1, 1, NOBODY], {})
    assert made.new_people == {"new1": "f1"}
    assert made.moves == {"new1": ["f0", "f1", "f2"]}


def test_whoever_has_most_faces_in_a_group_goes_on() -> None:
    made = plan(faces("q", "q", "p", None), [0, 0, 0, 0], people(unmarked=("p", "q")))
    assert made.moves == {"q": ["f2", "f3"]}
    assert made.new_people == {}


def test_a_name_survives_although_somebody_without_one_has_more_faces() -> None:
    made = plan(faces("q", "q", "q", "ann", "ann"), [0] * 5, people("ann", unmarked=("q",)))
    assert made.moves == {"ann": ["f0", "f1", "f2"]}


def test_a_face_that_strayed_names_no_other_group() -> None:
    """Ann's own group is elsewhere; one of her faces lies with somebody else, and goes there."""
    made = plan(faces("ann", "ann", "ann", "ann", "q", "q"), [0, 0, 0, 5, 5, 5], people("ann", unmarked=("q",)))
    assert made.moves == {"q": ["f3"]}


def test_two_with_names_are_not_made_one_but_proposed() -> None:
    known = people("ann", "bea")
    made = plan(faces("ann", "ann", "bea", "bea", "bea", None), [0] * 6, known)
    assert made.moves == {"bea": ["f5"]}
    assert made.proposals == {("ann", "bea"): 2}


def test_two_without_names_are_made_one() -> None:
    made = plan(faces("p", "p", "q", "q", "q"), [0] * 5, people(unmarked=("p", "q")))
    assert made.moves == {"q": ["f0", "f1"]}
    assert made.proposals == {}


def test_somebody_who_turns_out_to_be_two_keeps_the_larger_half() -> None:
    made = plan(faces("ann", "ann", "ann", "ann", "ann"), [0, 0, 0, 3, 3], people("ann"))
    assert made.moves == {"new1": ["f3", "f4"]}
    assert made.new_people == {"new1": "f3"}


def test_what_a_person_assigned_stays() -> None:
    made = plan(faces("q", "q", "q", "ann", settled=[3]), [0] * 4, people("ann", unmarked=("q",)))
    assert "f3" not in chain(*made.moves.values())
    split = plan(faces("ann", "ann", "ann", "ann", settled=[3]), [0, 0, 0, NOBODY], people("ann"))
    assert split.moves == {}


def test_a_group_that_a_person_spoke_for_goes_on_as_whom_they_said() -> None:
    """A child and a grown-up: two groups, and a person said that both are Ann."""
    groups = [0, 0, 0, 3, 3, 3]
    made = plan(faces("ann", "ann", "ann", "ann", "ann", None, settled=[3, 4]), groups, people("ann"))
    assert made.moves == {"ann": ["f5"]}
    assert made.new_people == {}


def test_faces_near_nobody_are_nobodys_unless_somebody_has_a_name() -> None:
    made = plan(faces("q", "ann"), [NOBODY, NOBODY], people("ann", unmarked=("q",)))
    assert made.moves == {None: ["f0"]}


def test_nobody_is_in_a_picture_from_before_their_birth() -> None:
    known = people("ann", born=date(2025, 1, 1))
    made = plan(faces("ann", None, settled=[0]), [0, 0], known)
    assert made.moves == {}
    made = plan(faces("ann", None, settled=[0], taken_on=date(2026, 1, 1)), [0, 0], known)
    assert made.moves == {"ann": ["f1"]}


def test_only_faces_that_are_settled_make_nobody_new() -> None:
    made = plan(faces(None, None, settled=[0, 1]), [0, 0], {})
    assert (made.moves, made.new_people) == ({}, {})


def test_the_same_again_changes_nothing() -> None:
    of, groups = faces("p", "p", "q", "ann", "ann", None), [0, 0, 2, 3, 3, NOBODY]
    made = plan(of, groups, people("ann", unmarked=("p", "q")))
    assert (made.moves, made.new_people, made.proposals) == ({}, {}, {})
