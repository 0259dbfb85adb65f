"""The kinds of value that a system config holds, and what is said of a wrong one, in the words of Immich's Zod.

Whole numbers may be written 5.0 and booleans "true" or "false", as Immich's clients do; nothing else is converted.
"""

from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from pydantic_core import ErrorDetails

LARGEST = 2**53 - 1
"""The largest whole number that a JavaScript client keeps exactly."""


def _from_json_boolean(value: object) -> object:
    return {"true": True, "false": False}.get(value, value) if isinstance(value, str) else value


def _from_json_number(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _from_number_or_text(value: object) -> object:
    """ffmpeg's numbers have always been accepted as text."""
    try:
        return _from_json_number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return value


def check_url(text: str) -> str:
    """`text`, if it has a scheme and a host. Raises ValueError."""
    parts = urlsplit(text)
    if not (parts.scheme and parts.netloc):
        raise ValueError("Invalid URL")
    return text


def check_cron(text: str) -> str:
    """`text`, if it is a cron expression of 5 fields, or 6 with the seconds first. Raises ValueError."""
    read_cron(text)
    return text


def read_cron(text: str) -> tuple[frozenset[int], ...]:
    """The numbers that each field of a cron expression stands for: second (0 when it has 5 fields), minute, hour, day
    of month, month, day of week (0 is Sunday). Raises ValueError."""
    fields = text.split()
    if len(fields) not in (5, 6):
        raise ValueError(f"Invalid cron expression. Expected 5 or 6 fields, received {len(fields)}")
    if len(fields) == 5:
        fields = ["0", *fields]
    return tuple(_cron_field(field, *kind) for field, kind in zip(fields, CRON_FIELDS, strict=True))


MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
CRON_FIELDS: Sequence[tuple[str, int, int, Mapping[str, int]]] = (
    ("second", 0, 59, {}),
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(MONTHS, start=1)}),
    ("day of week", 0, 7, {name: number for number, name in enumerate(WEEKDAYS)}),
)
"""Name, least and greatest number, and the words for numbers, of each field. Sunday is both 0 and 7."""
SUNDAY_TOO = 7


def _cron_field(field: str, name: str, least: int, most: int, words: Mapping[str, int]) -> frozenset[int]:
    numbers: set[int] = set()
    for item in field.split(","):
        found = _cron_item(item.lower(), least, most, words)
        if not found:
            raise ValueError(f"Invalid cron expression. Field {name} cannot be {field}")
        numbers.update(found)
    return frozenset(0 if number == SUNDAY_TOO == most else number for number in numbers)


def _cron_item(item: str, least: int, most: int, words: Mapping[str, int]) -> range | None:
    """`*`, `n` or `n-m`, each with or without `/step`; `n/step` begins at n and has no end. None for anything else."""
    span, slash, step = item.partition("/")
    if slash and not (_is_number(step) and int(step) > 0):
        return None
    each, last = int(step or 1), SUNDAY_TOO - 1 if most == SUNDAY_TOO else most
    if span == "*":
        return range(least, last + 1, each)
    ends = [words.get(end, int(end) if _is_number(end) else -1) for end in span.split("-")]
    if len(ends) > 2 or not all(least <= end <= most for end in ends) or ends != sorted(ends):
        return None
    open_end = last if slash and len(ends) == 1 else ends[0]
    return range(ends[0], max(ends[-1], open_end) + 1, each)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _empty_or_url(text: str) -> str:
    return check_url(text) if text else text


WHOLE, WHOLE_OR_TEXT = BeforeValidator(_from_json_number), BeforeValidator(_from_number_or_text)

Flag = Annotated[bool, Field(strict=True), BeforeValidator(_from_json_boolean)]
AnyWhole = Annotated[int, Field(strict=True, ge=-LARGEST, le=LARGEST), WHOLE]
NotNegative = Annotated[int, Field(strict=True, ge=0, le=LARGEST), WHOLE]
Positive = Annotated[int, Field(strict=True, ge=1, le=LARGEST), WHOLE]
Quality = Annotated[int, Field(strict=True, ge=1, le=100), WHOLE]
Port = Annotated[int, Field(strict=True, ge=0, le=65_535), WHOLE]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]
Score = Annotated[float, Field(strict=True, ge=0.1, le=1)]
Url = Annotated[str, AfterValidator(check_url), Field(json_schema_extra={"format": "uri"})]
EmptyOrUrl = Annotated[str, AfterValidator(_empty_or_url)]
Cron = Annotated[str, AfterValidator(check_cron)]
TimeOfDay = Annotated[str, Field(pattern=r"^(?:[01]\d|2[0-3]):[0-5]\d$")]


def issue(model: type[BaseModel], error: ErrorDetails) -> tuple[tuple[str, ...], str]:
    """What pydantic found wrong with a `model`, as (path of wire names, message in Zod's words)."""
    return tuple(map(str, error["loc"])), _message(model, error)


def _message(model: type[BaseModel], error: ErrorDetails) -> str:
    annotation, context = _annotation_at(model, error["loc"]), error.get("ctx", {})
    if get_origin(annotation) is Literal:
        return "Invalid option: expected one of " + "|".join(_quoted(option) for option in get_args(annotation))
    match error["type"]:
        case "greater_than_equal":
            return f"Too small: expected number to be >={context['ge']}"
        case "less_than_equal":
            return f"Too big: expected number to be <={context['le']}"
        case "too_short":
            return f"Too small: expected array to have >={context['min_length']} items"
        case "string_pattern_mismatch":
            return f"Invalid string: must match pattern /{context['pattern']}/"
        case "value_error":
            return str(context["error"])
        case "missing":
            return f"Invalid input: expected {_kind(annotation)}, received undefined"
        case _:
            fraction = annotation is int and isinstance(error["input"], float)
            wanted = "int" if fraction else _kind(annotation)
            return f"Invalid input: expected {wanted}, received {_kind(type(error['input']))}"


def _annotation_at(model: type[BaseModel], path: Sequence[str | int]) -> Any:
    """The type that stands at `path` of wire names and list indices."""
    annotation: Any = model
    for step in path:
        if isinstance(step, int):
            annotation = get_args(annotation)[0]
        else:
            fields = annotation.model_fields.values()
            annotation = next(field.annotation for field in fields if field.alias == step)
    return annotation


def _kind(annotation: Any) -> str:
    """JavaScript's word for a Python type."""
    plain = get_origin(annotation) or annotation
    names = {bool: "boolean", int: "number", float: "number", str: "string", list: "array", type(None): "null"}
    if plain in names:
        return names[plain]
    return _kind(get_args(annotation)[0]) if plain in (Annotated, Union, UnionType) else "object"


def _quoted(option: object) -> str:
    return f'"{option}"' if isinstance(option, str) else str(option)
