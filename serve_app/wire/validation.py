"""Validation errors in Immich's wording, which is Zod's. Source: spec/api.md §1."""

from collections.abc import Mapping, Sequence
from typing import Any

WHERE = frozenset({"body", "query", "path", "header", "cookie"})
EXPECTED = {
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
JSON_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "number"),
    (float, "number"),
    (str, "string"),
    (list, "array"),
    (dict, "object"),
)


def wire_issues(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """pydantic's errors as Zod issues: code, path (field names), message."""
    return [_issue(error) for error in errors]


def _issue(error: Mapping[str, Any]) -> dict[str, Any]:
    kind, context = str(error["type"]), error.get("ctx") or {}
    location = list(error["loc"])
    path = location[1:] if location and location[0] in WHERE else location
    given = error.get("input")
    if kind == "missing":
        expected = "object" if not path else "string"
        return _said("invalid_type", path, f"Invalid input: expected {expected}, received undefined", expected=expected)
    if kind.startswith("uuid"):
        return _said("invalid_format", path, "Invalid UUID", format="uuid")
    if kind in ("enum", "literal_error"):
        values = [part.strip().strip("'") for part in str(context.get("expected", "")).replace(" or ", ", ").split(",")]
        quoted = "|".join(f'"{value}"' for value in values)
        return _said("invalid_value", path, f"Invalid option: expected one of {quoted}", values=values)
    if kind in EXPECTED:
        expected = EXPECTED[kind]
        return _said(
            "invalid_type", path, f"Invalid input: expected {expected}, received {_kind_of(given)}", expected=expected
        )
    if kind.startswith("datetime"):
        return _said("invalid_format", path, "Invalid ISO datetime", format="datetime")
    if kind in ("string_too_short", "too_short"):
        unit = "items" if kind == "too_short" else "characters"
        least = context.get("min_length")
        return _said("too_small", path, f"Too small: expected at least {least} {unit}", minimum=least)
    if kind in ("greater_than_equal", "greater_than"):
        return _said("too_small", path, f"Too small: expected number to be >={context.get('ge', context.get('gt'))}")
    if kind in ("less_than_equal", "less_than"):
        return _said("too_big", path, f"Too big: expected number to be <={context.get('le', context.get('lt'))}")
    if kind == "json_invalid":
        return _said("custom", [], "Invalid JSON")
    return _said("custom", path, str(error["msg"]).removeprefix("Value error, "))


def _said(code: str, path: Sequence[Any], message: str, **more: Any) -> dict[str, Any]:
    return {"code": code, **more, "path": list(path), "message": message}


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    return next((name for kind, name in JSON_KINDS if isinstance(value, kind)), "undefined")
