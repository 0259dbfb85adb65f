"""What became of each of many things that one request names: done, or why not. Source: spec/api.md §6, §9."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum


class Refusal(StrEnum):
    """Why one of many did not do: the closed list that clients know."""

    DUPLICATE = "duplicate"
    NO_PERMISSION = "no_permission"
    NOT_FOUND = "not_found"
    UNKNOWN = "unknown"
    VALIDATION = "validation"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of many. `refusal` None: it is done."""

    id: str
    refusal: Refusal | None = None


def one_by_one(
    ids: Sequence[str],
    refusal: Callable[[str], Refusal | None],
    again: Refusal,
    mine: Collection[str] | None = None,
) -> list[Outcome]:
    """In the order of the ids. `again`: what an id is told that comes a second time, after it was done. `mine`: what
    may be touched, asked first; None: `refusal` knows."""
    before: set[str] = set()
    outcomes = []
    for one in ids:
        if one in before:
            refused: Refusal | None = again
        else:
            refused = Refusal.NO_PERMISSION if mine is not None and one not in mine else refusal(one)
        outcomes.append(Outcome(one, refused))
        if refused is None:
            before.add(one)
    return outcomes


def done(outcomes: Sequence[Outcome]) -> list[str]:
    """The ids of those that did, each once."""
    return list(dict.fromkeys(one.id for one in outcomes if one.refusal is None))
