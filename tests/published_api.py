"""Immich's published API description, read from the shared folder: does an answer, or a whole API, agree with it?"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from tests.shared_media import find_shared_dir

Schema = Mapping[str, Any]

SHARE_CREDENTIALS = frozenset({"key", "slug"})
"""Queries that every route takes: credentials are read before any route."""


@cache
def published_api() -> Schema | None:
    """The description, or None in a plain clone."""
    folder = find_shared_dir()
    if folder is None:
        return None
    result: Schema = json.loads((folder / "spec" / "openapi.json").read_text())
    return result


def find_operation(api: Schema, method: str, path: str) -> Schema | None:
    """The operation that answers a request for `path` (below /api); literal parts win over parameters."""
    parts = path.strip("/").split("/")
    candidates = [
        (template.count("{"), operations[method.lower()])
        for template, operations in api["paths"].items()
        if method.lower() in operations and _fits(template.strip("/").split("/"), parts)
    ]
    return min(candidates, key=lambda candidate: candidate[0])[1] if candidates else None


def _fits(template: list[str], parts: list[str]) -> bool:
    return len(template) == len(parts) and all(
        wanted.startswith("{") or wanted == part for wanted, part in zip(template, parts, strict=True)
    )


def answer_complaints(api: Schema, operation: Schema, status: int, body: Any) -> list[str]:
    """What is wrong with a JSON answer that says it went well."""
    responses = operation["responses"]
    if str(status) not in responses:
        return [f"status {status}, published are {sorted(responses)}"]
    schema = responses[str(status)].get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return [] if body is None else [f"status {status} has a body"]
    root = {**_without_nullable(schema), "components": _components(id(api))}
    found = Draft202012Validator(root).iter_errors(body)
    return [f"{'.'.join(map(str, error.absolute_path)) or 'body'}: {error.message}" for error in found]


@cache
def _components(api_id: int) -> Any:
    api = published_api()
    assert api is not None
    return _without_nullable(api["components"])


def _without_nullable(node: Any) -> Any:
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_without_nullable(item) for item in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _without_nullable(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def api_differences(ours: Schema, published: Schema) -> Iterator[str]:
    """Where our description disagrees: names, types, required fields, status codes. PATCH may stand in for PUT."""
    templates = {unnamed(path): operations for path, operations in published["paths"].items()}
    for path, operations in ours["paths"].items():
        if not path.startswith("/api/"):
            continue
        for method, operation in operations.items():
            name = f"{method.upper()} {path.removeprefix('/api')}"
            theirs = templates.get(unnamed(path.removeprefix("/api")), {})
            wanted = theirs.get(method) or (theirs.get("put") if method == "patch" else None)
            if wanted is None:
                yield f"{name}: Immich has no such route"
                continue
            for difference in _operation_differences(operation, ours, wanted, published):
                yield f"{name}: {difference}"


def unnamed(path: str) -> str:
    """What a parameter within a path is called, no client sees."""
    return re.sub(r"{[^}]*}", "{}", path)


def _operation_differences(operation: Schema, ours: Schema, wanted: Schema, published: Schema) -> Iterator[str]:
    statuses = {status for status in operation["responses"] if status.startswith(("2", "3"))}
    if not statuses or not statuses <= set(wanted["responses"]):
        yield f"answers {sorted(statuses)}, Immich {sorted(wanted['responses'])}"
    yield from _parameter_differences(operation, ours, wanted, published)
    body = _json_schema(wanted.get("requestBody"))
    if body is not None:
        given = _json_schema(operation.get("requestBody"))
        if given is None:
            yield "takes no body"
        else:
            yield from schema_differences(given, ours, body, published, "request", answering=False)
    for status in sorted(statuses & set(wanted["responses"])):
        answer = _json_schema(wanted["responses"][status])
        if answer is None:
            continue
        given = _json_schema(operation["responses"][status])
        if given is None:
            yield f"says nothing of its {status} answer"
        else:
            yield from schema_differences(given, ours, answer, published, "answer", answering=True)


def _json_schema(part: Schema | None) -> Schema | None:
    schema: Schema | None = (part or {}).get("content", {}).get("application/json", {}).get("schema")
    return schema


def _parameter_differences(operation: Schema, ours: Schema, wanted: Schema, published: Schema) -> Iterator[str]:
    given = {item["name"]: item for item in operation.get("parameters", ()) if item["in"] == "query"}
    known = {item["name"]: item for item in wanted.get("parameters", ()) if item["in"] == "query"}
    yield from (f"has a parameter of its own: {name}" for name in sorted(set(given) - set(known)))
    yield from (f"lacks the parameter {name}" for name in sorted(set(known) - set(given) - SHARE_CREDENTIALS))
    for name in sorted(set(given) & set(known)):
        mine, theirs = given[name], known[name]
        if bool(theirs.get("required")) != bool(mine.get("required")):
            yield f"{name} is required: {bool(mine.get('required'))}, Immich: {bool(theirs.get('required'))}"
        yield from schema_differences(mine["schema"], ours, theirs["schema"], published, name, answering=False)


def schema_differences(
    given: Schema, ours: Schema, wanted: Schema, published: Schema, where: str, *, answering: bool
) -> Iterator[str]:
    """`answering`: what we say must lie within what Immich says; else what Immich takes, we must take."""
    mine, nullable = _resolved(given, ours)
    theirs, theirs_nullable = _resolved(wanted, published)
    if answering and nullable and not theirs_nullable:
        yield f"{where} may be null"
    if not answering and theirs_nullable and not nullable:
        yield f"{where} may not be null"
    if answering and _kinds(mine) == {"null"} and theirs_nullable:
        return
    if _kinds(mine) != _kinds(theirs):
        yield f"{where} is {sorted(_kinds(mine))}, Immich: {sorted(_kinds(theirs))}"
        return
    mine_options, their_options = set(mine.get("enum", ())), set(theirs.get("enum", ()))
    if their_options and mine_options and mine_options != their_options:
        yield f"{where} differs in options: {sorted(map(str, mine_options ^ their_options))}"
    if "items" in theirs and "items" in mine:
        yield from schema_differences(
            mine["items"], ours, theirs["items"], published, f"{where}[]", answering=answering
        )
    yield from _property_differences(mine, ours, theirs, published, where, answering)


def _property_differences(
    mine: Schema, ours: Schema, theirs: Schema, published: Schema, where: str, answering: bool
) -> Iterator[str]:
    if not theirs.get("properties"):
        return
    if "properties" not in mine:
        yield f"{where} does not say its properties"
        return
    known, own = theirs["properties"], mine["properties"]
    required, own_required = set(theirs.get("required", ())), set(mine.get("required", ()))
    yield from (f"{where}.{name} is not in Immich" for name in sorted(set(own) - set(known)))
    missing = (required if answering else set(known)) - set(own)
    yield from (f"{where}.{name} is missing" for name in sorted(missing))
    loose = required - own_required if answering else required ^ own_required
    yield from (f"{where}.{name}: required or not" for name in sorted(loose & set(own)))
    for name in sorted(set(own) & set(known)):
        part, optional = known[name], name not in required
        if answering and optional:  # left out when there is none
            part = {"anyOf": [part, {"type": "null"}]}
        yield from schema_differences(own[name], ours, part, published, f"{where}.{name}", answering=answering)


def _resolved(schema: Schema, document: Schema) -> tuple[Schema, bool]:
    """The schema behind references and single alternatives, and whether null is one."""
    nullable = bool(schema.get("nullable"))
    while True:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif len(schema.get("allOf", ())) == 1:
            schema = schema["allOf"][0]
        elif "anyOf" in schema:
            some = [one for one in schema["anyOf"] if one.get("type") != "null"]
            nullable = nullable or len(some) < len(schema["anyOf"])
            if len(some) != 1:
                return {**schema, "anyOf": some}, nullable
            schema = some[0]
        else:
            return schema, nullable
        nullable = nullable or bool(schema.get("nullable"))


def _kinds(schema: Schema) -> set[str]:
    if "anyOf" in schema or "oneOf" in schema:
        return {str(one.get("type", "any")) for one in schema.get("anyOf", schema.get("oneOf"))}
    if "const" in schema:
        return {"string"}
    return {str(schema.get("type", "string" if "enum" in schema else "any"))}
