"""Validation errors in Immich's wording, which is Zod's. Source: spec/api.md §1."""

from collections.abc import Mapping, Sequence
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

NO_JSON = "Invalid input: expected JSON, and Content-Type: application/json with it"
WHERE = frozenset({"body", "query", "path", "header", "cookie"})
EXPECTED: dict[str, str] = {
    "string_type": "string",
    "int_type": "number",
    "int_parsing": "number",
    "int_from_float": "int",
    "float_type": "number",
    "float_parsing": "number",
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "list_type": "array",
    "dict_type": "object",
    "model_attributes_type": "object",
    "model_type": "object",
}
FORMATS: dict[str, tuple[str, str]] = {
    "uuid_version": ("uuid", "Invalid UUID"),
    "uuid_parsing": ("uuid", "Invalid UUID"),
    "email": ("email", "Invalid email address"),
    "iso_date": ("date", "Invalid ISO date"),
    "datetime_parsing": ("datetime", "Invalid ISO datetime"),
    "datetime_from_date_parsing": ("datetime", "Invalid ISO datetime"),
}
KINDS: dict[type, str] = {
    bool: "boolean",
    int: "number",
    float: "number",
    str: "string",
    list: "array",
    NoneType: "null",
}


def wire_issues(errors: Sequence[Any], body: Any = None) -> list[dict[str, Any]]:
    """pydantic's errors as Zod issues: code, path (field names), message. `body`: the type of a right body."""
    return [_issue(error, body) for error in errors]


def _issue(error: Mapping[str, Any], body: Any) -> dict[str, Any]:
    kind, context = str(error["type"]), error.get("ctx") or {}
    location = list(error["loc"])
    path = location[1:] if location and location[0] in WHERE else location
    if kind == "missing":
        return _missing(path, _type_at(body, path) if location[:1] == ["body"] else str)
    if kind in FORMATS:
        format_name, message = FORMATS[kind]
        return _said("invalid_format", path, message, format=format_name)
    if kind == "regex":
        return _said("invalid_format", path, str(error["msg"]), format="regex", pattern=context["pattern"])
    if kind in ("enum", "literal_error"):
        return _not_an_option(path, _options(str(context.get("expected", ""))))
    if kind == "option":
        return _not_an_option(path, str(context["options"]).strip('"').split('"|"'))
    if kind in EXPECTED:
        return _wrong_type(path, EXPECTED[kind], error.get("input"))
    if kind == "json_invalid":
        return _said("custom", [], "Invalid JSON")
    return _limit(kind, path, context) or _said("custom", path, str(error["msg"]).removeprefix("Value error, "))


def _missing(path: Sequence[Any], wanted: Any) -> dict[str, Any]:
    if isinstance(wanted, type) and issubclass(wanted, Enum):
        return _not_an_option(path, [str(one.value) for one in wanted])
    if get_origin(wanted) is Literal:
        return _not_an_option(path, [str(one) for one in get_args(wanted)])
    expected = KINDS.get(get_origin(wanted) or wanted, "object")
    return _said("invalid_type", path, f"Invalid input: expected {expected}, received undefined", expected=expected)


def _wrong_type(path: Sequence[Any], expected: str, given: Any) -> dict[str, Any]:
    if isinstance(given, bytes):
        return _said("invalid_type", path, NO_JSON, expected=expected)
    if expected == "number" and type(given) is float:
        expected = "int"
    received = KINDS.get(type(given), "object")
    return _said("invalid_type", path, f"Invalid input: expected {expected}, received {received}", expected=expected)


def _not_an_option(path: Sequence[Any], options: Sequence[str]) -> dict[str, Any]:
    quoted = "|".join(f'"{option}"' for option in options)
    return _said("invalid_value", path, f"Invalid option: expected one of {quoted}", values=list(options))


def _limit(kind: str, path: Sequence[Any], context: Mapping[str, Any]) -> dict[str, Any] | None:
    match kind:
        case "string_too_short":
            least = context["min_length"]
            return _said("too_small", path, f"Too small: expected string to have >={least} characters", minimum=least)
        case "string_too_long":
            most = context["max_length"]
            return _said("too_big", path, f"Too big: expected string to have <={most} characters", maximum=most)
        case "too_short":
            least = context["min_length"]
            return _said("too_small", path, f"Too small: expected array to have >={least} items", minimum=least)
        case "too_long":
            most = context["max_length"]
            return _said("too_big", path, f"Too big: expected array to have <={most} items", maximum=most)
        case "greater_than_equal":
            least = context["ge"]
            return _said("too_small", path, f"Too small: expected number to be >={least}", minimum=least)
        case "less_than_equal":
            most = context["le"]
            return _said("too_big", path, f"Too big: expected number to be <={most}", maximum=most)
        case _:
            return None


def _said(code: str, path: Sequence[Any], message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, **more, "path": list(path), "message": message}


def _options(listed: str) -> list[str]:
    """pydantic's `'a', 'b' or 'c'`."""
    return [option.strip().strip("'") for option in listed.replace(" or ", ", ").split(",")]


def _type_at(annotation: Any, path: Sequence[Any]) -> Any:
    """The plain type that stands at `path` of wire names and indices; None where nobody can say."""
    annotation = _plain(annotation)
    for step in path:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            fields = annotation.model_fields
            named = (field for name, field in fields.items() if (field.alias or name) == step)
            annotation = _plain(getattr(next(named, None), "annotation", None))
        else:
            annotation = _plain(next(iter(get_args(annotation)), None))
    return annotation


def _plain(annotation: Any) -> Any:
    """Without what is said about it, and without None as an alternative."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _plain(next(one for one in get_args(annotation) if one is not NoneType))
    return annotation
