"""What became of each of many things that one request names: done, or why not. Source: spec/api.md §6, §9."""

from collections.abc import Callable, Sequence
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


def one_by_one(ids: Sequence[str], mine: set[str], refusal: Callable[[str], Refusal | None]) -> list[Outcome]:
    """In the order of the ids; what is not in `mine` may not be touched. An id that comes twice is answered as the
    first time."""
    return [Outcome(one, refusal(one) if one in mine else Refusal.NO_PERMISSION) for one in ids]


def done(outcomes: Sequence[Outcome]) -> list[str]:
    """The ids of those that did, each once."""
    return list(dict.fromkeys(one.id for one in outcomes if one.refusal is None))
