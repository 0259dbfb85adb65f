"""The words against the code: every command, setting, job and route that exists is in the README of its package."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.shared_media import REPOSITORY

PACKAGES = ("cluster", "tasks", "serve_app")
METHODS = ("get", "post", "put", "patch", "delete", "head")
MAKEFILE = (REPOSITORY / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def readme(folder: str) -> str:
    return (REPOSITORY / folder / "README.md").read_text()


def source(path: str) -> ast.Module:
    """The parsed file; skips the calling test while there is none."""
    file = REPOSITORY / path
    if not file.is_file():
        pytest.skip(f"{path} does not exist")
    return ast.parse(file.read_text(), path)


def words_of(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def settings_read(tree: ast.Module) -> set[str]:
    """Every environment variable of ours that the code names in a string of its own."""
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in strings if re.fullmatch(r"(IMMICH|DB|HELIOSTAT)_[A-Z_]*[A-Z]", text)}


def routes_of(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(method, path) of every route that a router file declares, its router's prefix included."""
    prefix = ""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("APIRouter"):
            prefix = next((ast.literal_eval(word.value) for word in node.keywords if word.arg == "prefix"), prefix)
    for node in ast.walk(tree):
        for decorator in getattr(node, "decorator_list", []):
            match decorator:
                case ast.Call(func=ast.Attribute(attr=method), args=[ast.Constant(value=str(path)), *_]):
                    if method in METHODS:
                        yield method.upper(), prefix + path
                case _:
                    pass


def routes_missing(routes: Iterator[tuple[str, str]], text: str) -> list[str]:
    """The routes that no line of `text` names with both method and path; `GET, PUT /users/me` names two."""
    lines = text.splitlines()
    return [
        f"{method} {path}"
        for method, path in routes
        if not any(
            re.search(rf"\b{method}\b", line) and re.search(rf"{re.escape(path)}(?![\w/{{-])", line) for line in lines
        )
    ]


def commands_in(text: str) -> set[str]:
    """The make targets in a text's code: `make test`, or a line of a code block."""
    return set(re.findall(r"(?:`|^\s*(?:\$ )?)make ([a-z][a-z-]*)", text, re.MULTILINE))


@pytest.mark.parametrize("folder", [".", *PACKAGES])
def test_every_package_explains_itself(folder: str) -> None:
    assert len(readme(folder).split()) > 50


def test_readme_names_the_two_commands() -> None:
    assert commands_in(readme(".")) >= {"run", "test"}


@pytest.mark.parametrize("folder", [".", *PACKAGES])
def test_commands_in_a_readme_exist(folder: str) -> None:
    assert commands_in(readme(folder)) <= TARGETS


def test_ci_runs_the_tests() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert re.search(r"^exec make test\b", script.read_text(), re.MULTILINE)
    assert {"run", "test", "test-long", "demo", "bench"} <= TARGETS


def test_every_setting_is_described() -> None:
    settings = settings_read(source("cluster/settings.py"))
    assert settings
    assert settings - words_of(readme("cluster")) == set()


def test_every_job_is_described() -> None:
    source("tasks/registry.py")
    from tasks.registry import JOBS

    names = {str(job.spec.name) for job in JOBS}
    assert names
    assert names - words_of(readme("tasks")) == set()


def test_every_job_file_is_described() -> None:
    files = {file.stem for file in (REPOSITORY / "tasks" / "jobs").glob("[a-z]*.py")}
    if not files:
        pytest.skip("no jobs yet")
    assert files - words_of(readme("tasks")) == set()


def test_every_route_is_described() -> None:
    routers = sorted((REPOSITORY / "serve_app" / "routers").glob("[a-z]*.py"))
    if not routers:
        pytest.skip("no routers yet")
    routes = [route for file in routers for route in routes_of(ast.parse(file.read_text()))]
    assert routes
    assert routes_missing(iter(routes), readme("serve_app")) == []


def test_settings_are_found_in_code_and_not_in_prose() -> None:
    tree = ast.parse('"""IMMICH_PROSE counts for nothing."""\nread("IMMICH_PORT", 1); prefix = "DB_"; read("DB_URL")')
    assert settings_read(tree) == {"IMMICH_PORT", "DB_URL"}


def test_an_undescribed_route_is_found() -> None:
    tree = ast.parse(
        'router = APIRouter(prefix="/users")\n'
        '@router.get("/me")\ndef a(): ...\n@router.put("/me")\nasync def b(): ...\n@router.get("/{id}")\ndef c(): ...\n'
    )
    assert list(routes_of(tree)) == [("GET", "/users/me"), ("PUT", "/users/me"), ("GET", "/users/{id}")]
    assert routes_missing(routes_of(tree), "| GET, PUT | `/users/me` |\nGET /users/{id}/license") == ["GET /users/{id}"]


def test_commands_are_read_from_code_and_not_from_prose() -> None:
    text = "We make haste: `make demo PHOTOS=x`.\n\n    make run\n```\n$ make test\n```\n"
    assert commands_in(text) == {"demo", "run", "test"}
