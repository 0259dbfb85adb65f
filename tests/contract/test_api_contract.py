"""Every route that we serve agrees with Immich's published description: names, types, required fields, status codes."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.api_client import api_client
from tests.published_api import (
    Schema,
    answer_complaints,
    api_differences,
    find_operation,
    published_api,
    schema_differences,
    unnamed,
)
from tests.shared_media import REPOSITORY, shared_dir

DIFFERENCES_WANTED = {
    "POST /admin/users: request.notify is missing",  # e-mail is out of scope: taken and ignored, as unknown fields are
    "POST /tags: request.color: required or not",  # nobody needs a colour
    "PUT /tags/{id}: request.color: required or not",
    "GET /search/suggestions: answer[] may be null",  # that is what includeNull asks for, and clients wait for it
    "GET /assets/{asset_id}/edits: answer.edits[] does not say its properties",  # always empty: there is no editor
    # why a queue waits: clients that do not know it pass it over
    "GET /queues: answer[].waitReason is not in Immich",
    "GET /queues/{name}: answer.waitReason is not in Immich",
    "PUT /queues/{name}: answer.waitReason is not in Immich",
    "PUT /queues/{name}: request.reason is not in Immich",  # a pause may say why and until when
    "PUT /queues/{name}: request.until is not in Immich",
}
"""What we do otherwise on purpose. A line that is no longer needed fails the test, too."""


@pytest.fixture
def published() -> Schema:
    shared_dir()
    api = published_api()
    assert api is not None
    return api


def test_every_route_agrees_with_immich(published: Schema, tmp_path: Path) -> None:
    ours = our_description(tmp_path)
    assert len(ours["paths"]) > 20
    assert sorted(api_differences(ours, published)) == sorted(DIFFERENCES_WANTED)


def test_every_published_route_is_served_or_said_not_to_be(
    published: Schema, tmp_path: Path, report: Callable[[str], None]
) -> None:
    ours, areas, refused = our_description(tmp_path), dict[str, list[bool]](), list[tuple[str, str]]()
    served = {(method, unnamed(path)) for path, methods in ours["paths"].items() for method in methods}
    for path, operations in published["paths"].items():
        for method, operation in operations.items():
            is_served = (method, unnamed(f"/api{path}")) in served
            areas.setdefault(operation["tags"][0], []).append(is_served)
            refused += [] if is_served else [(method.upper(), path)]
    said = not_served((REPOSITORY / "serve_app" / "README.md").read_text())
    assert [f"{method} {path}" for method, path in refused if not any(fits(method, path, one) for one in said)] == []
    assert [one for one in said if not any(fits(method, path, one) for method, path in refused)] == []
    with api_client(f"sqlite:///{tmp_path / 'heliostat.db'}", tmp_path / "media") as api:
        answers = {api.request(method, re.sub(r"[{}]", "", path)).status_code for method, path in refused}
    assert answers == {501}
    for area, found in sorted(areas.items()):
        report(f"{area}: {sum(found)} of {len(found)} routes served")
    every = [one for found in areas.values() for one in found]
    report(f"all areas: {sum(every)} of {len(every)} routes served")


def not_served(readme: str) -> list[tuple[set[str], str]]:
    """(methods, beginning of the path) of what the table names; no method stands for all."""
    table = readme.partition("### What is not served")[2].partition("\n\n| Routes")[2].partition("\n\n")[0]
    cells = re.findall(r"^\| ((?:[A-Z, ]+ )?/.*?) \|", table, re.MULTILINE)
    return [
        (set(re.findall(r"[A-Z]+", cell.partition("/")[0])), path)
        for cell in cells
        for path in re.findall(r"/[^ ,|]+", cell)
    ]


def fits(method: str, path: str, said: tuple[set[str], str]) -> bool:
    methods, start = said
    return (not methods or method in methods) and (path == start or path.startswith(f"{start}/"))


def test_the_table_is_read_as_it_stands() -> None:
    rows = "| Routes | Why |\n|---|---|\n| /a, /b | no |\n| PUT, GET /c/{id} | /d |"
    table = f"### What is not served\n\nWords.\n\n{rows}\n\nMore."
    assert not_served(table) == [(set(), "/a"), (set(), "/b"), ({"PUT", "GET"}, "/c/{id}")]
    assert [fits("PUT", path, (set(), "/a")) for path in ("/a", "/a/x", "/ab")] == [True, True, False]
    assert [fits(method, "/c", ({"PUT"}, "/c")) for method in ("PUT", "GET")] == [True, False]


def our_description(folder: Path) -> Schema:
    """As the server itself gives it."""
    with api_client(f"sqlite:///{folder / 'heliostat.db'}", folder / "media") as api:
        described: Schema = api.get("/openapi.json").json()
    return described


def document(**properties: Any) -> Schema:
    required = [name for name, schema in properties.items() if not schema.get("optional")]
    return {"type": "object", "properties": properties, "required": required}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("ours", "theirs", "answering", "found"),
    [
        (document(id=TEXT), document(id=TEXT), True, []),
        (document(id=TEXT), document(id=NUMBER), True, ["x.id is ['string'], Immich: ['integer']"]),
        (document(id=TEXT), document(id=TEXT, name=TEXT), True, ["x.name is missing"]),
        (document(id=TEXT, mine=TEXT), document(id=TEXT), True, ["x.mine is not in Immich"]),
        (document(id={**TEXT, "nullable": True}), document(id=TEXT), True, ["x.id may be null"]),
        (document(id=TEXT), document(id={**TEXT, "nullable": True}), True, []),
        (document(id=TEXT), document(id={**TEXT, "nullable": True}), False, ["x.id may not be null"]),
        (document(id={**TEXT, "optional": True}), document(id=TEXT), True, ["x.id: required or not"]),
        (document(id=TEXT), document(id={**TEXT, "optional": True}), False, ["x.id: required or not"]),
        (
            document(a={**TEXT, "enum": ["b"]}),
            document(a={**TEXT, "enum": ["b", "c"]}),
            True,
            ["x.a differs in options: ['c']"],
        ),
        (
            document(a={"type": "array", "items": TEXT}),
            document(a={"type": "array", "items": NUMBER}),
            True,
            ["x.a[] is ['string'], Immich: ['integer']"],
        ),
    ],
)
def test_a_planted_difference_is_found(ours: Schema, theirs: Schema, answering: bool, found: list[str]) -> None:
    nothing: Schema = {}
    assert list(schema_differences(ours, nothing, theirs, nothing, "x", answering=answering)) == found


def test_an_answer_that_differs_is_found(published: Schema) -> None:
    operation = find_operation(published, "GET", "/server/version")
    assert operation is not None
    good = {"major": 3, "minor": 1, "patch": 0, "prerelease": None}
    assert answer_complaints(published, operation, 200, good) == []
    assert answer_complaints(published, operation, 200, {**good, "major": "3"}) == [
        "major: '3' is not of type 'integer'"
    ]
    assert answer_complaints(published, operation, 201, good) == ["status 201, published are ['200']"]


def test_literal_paths_win_over_parameters(published: Schema) -> None:
    operation = find_operation(published, "GET", "/api-keys/me")
    assert operation is not None
    assert operation["operationId"] == "getMyApiKey"
