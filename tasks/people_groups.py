"""Who the people are, when all faces of an owner were grouped anew: which group goes on as whom. Pure.

What a person said is not undone: faces that they assigned stay, and whom they named, hid or marked goes on with the
group that has most of their faces. Two such people in one group are not made one; that they may be one is proposed.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from cluster.db.queries.faces import GatheredFace, KnownPerson
from cluster.vectors.quick_shift import NOBODY


@dataclass(frozen=True, slots=True)
class Plan:
    """`moves`: person, or None for nobody → faces that are to be theirs and are not. `new_people`: person → the face
    that stands for them. `proposals`: two people who may be one, as (smaller id, larger id) → faces in question."""

    moves: Mapping[str | None, list[str]]
    new_people: Mapping[str, str]
    proposals: Mapping[tuple[str, str], int]


def plan_people(
    faces: Sequence[GatheredFace],
    groups: Sequence[int],
    people: Mapping[str, KnownPerson],
    new_id: Callable[[], str],
) -> Plan:
    """`groups[i]`: the group of `faces[i]`; its number is the index of the face at its heart, or NOBODY."""
    in_group: dict[int, list[GatheredFace]] = defaultdict(list)
    for face, group in zip(faces, groups, strict=True):
        in_group[group].append(face)
    claims = _claims(in_group, people)
    moves: dict[str | None, list[str]] = defaultdict(list)
    new_people: dict[str, str] = {}
    proposals: dict[tuple[str, str], int] = {}
    for group in sorted(in_group):
        members = in_group[group]
        claimants = claims.get(group, [])
        target = None if group == NOBODY else _heir(members, claimants, people)
        if target is None and group != NOBODY and any(not face.is_settled for face in members):
            target = new_id()
            new_people[target] = faces[group].face_id
        rivals = {one for one in claimants if one != target and people[one].is_marked}
        for rival in rivals:
            if target is not None and target in people and people[target].is_marked:
                pair = (min(target, rival), max(target, rival))
                proposals[pair] = sum(face.person_id == rival for face in members)
        for face in members:
            goes_to = _goes_to(face, target, rivals, people)
            if goes_to != face.person_id:
                moves[goes_to].append(face.face_id)
    return Plan(moves, new_people, proposals)


def _claims(in_group: Mapping[int, Sequence[GatheredFace]], people: Mapping[str, KnownPerson]) -> dict[int, list[str]]:
    """Group → those who have more faces in it than in any other group, the one with most first."""
    shares: dict[str, Counter[int]] = defaultdict(Counter)
    for group, members in in_group.items():
        for face in members:
            if face.person_id is not None and group != NOBODY:
                shares[face.person_id][group] += 1
    claims: dict[int, list[str]] = defaultdict(list)
    for person_id, share in shares.items():
        group = min(share, key=lambda one: (-share[one], one))
        claims[group].append(person_id)
    for group, claimants in claims.items():
        claimants.sort(key=lambda one: (-shares[one][group], people[one].age, one))
    return claims


def _heir(members: Sequence[GatheredFace], claimants: Sequence[str], people: Mapping[str, KnownPerson]) -> str | None:
    """Who the group goes on as; None: somebody new. Faces that were settled speak for a person whose other faces are
    elsewhere: a child's and a grown-up's may be two groups."""
    marked = next((one for one in claimants if people[one].is_marked), None)
    if marked is not None:
        return marked
    settled = Counter(face.person_id for face in members if face.is_settled and face.person_id is not None)
    said, said_count = min(settled.items(), key=lambda one: (-one[1], one[0]), default=(None, 0))
    unmarked = next(iter(claimants), None)
    claimed_count = sum(unmarked is not None and face.person_id == unmarked for face in members)
    return said if said_count >= claimed_count and said is not None else unmarked


def _goes_to(face: GatheredFace, target: str | None, rivals: set[str], people: Mapping[str, KnownPerson]) -> str | None:
    if face.is_settled or face.person_id in rivals:
        return face.person_id
    known = people.get(target) if target is not None else None
    if known is not None and known.birth_date is not None and face.taken_on < known.birth_date:
        target = None
    if target is None and face.person_id is not None and people[face.person_id].is_marked:
        return face.person_id  # whom a person named loses faces to others alone
    return target
