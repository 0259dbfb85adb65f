"""Reads the imports of every source file and compares them with the layout: who may know whom.

`violations(root)` is the checker; the tests at the end plant one violation of each kind in a small tree.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import pytest

from tests.shared_media import REPOSITORY

PACKAGES = ("cluster", "tasks", "serve_app")

# (files, what they may not import, exceptions to that, why). A pattern's * also crosses folders.
FORBIDDEN: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], str]] = [
    (("cluster/*",), ("tasks", "serve_app"), (), "imports point one way: serve_app → tasks → cluster"),
    (("tasks/*",), ("serve_app",), (), "imports point one way: serve_app → tasks → cluster"),
    (("*",), ("tests", "bench"), (), "what runs does not stand on what measures it"),
    (
        ("tasks/media/*",),
        PACKAGES,
        ("cluster.errors", "tasks.media"),
        "media work knows errors and nothing else of ours",
    ),
    (("tasks/ml/*",), PACKAGES, ("cluster.errors", "tasks.ml"), "model work knows errors and nothing else of ours"),
    (
        ("cluster/queue/*",),
        ("sqlalchemy", "ray", "cluster.db"),
        (),
        "the queue's vocabulary reaches neither SQL nor Ray",
    ),
    (("cluster/loops/*",), ("sqlalchemy", "ray", "cluster.db"), (), "loops see protocols, wired in bootstrap"),
]

# `import ray` belongs into files called ray_*.py; whoever stands here says why.
RAY_FILES = ("*/ray_*.py",)

SQLALCHEMY_FILES = (
    "cluster/db/*",  # engine, tables, queries
    "cluster/vectors/*",  # an answer is what a transaction sees of a selection
    "tasks/job.py",  # load and save take a Session
    "tasks/jobs/*",
    "serve_app/services/*",
    "serve_app/deps.py",  # a session per request
    "serve_app/bootstrap.py",  # wires everything
)

# Libraries of the extra `ml`: an API or CPU node has none of them, so nothing may need them merely to be imported.
OPTIONAL_LIBRARIES = (
    "torch",
    "torchvision",
    "open_clip",
    "timm",
    "insightface",
    "onnxruntime",
    "rapidocr",
    "faiss",
    "cv2",
)


@dataclass(frozen=True)
class Import:
    """One imported module. `when_loaded`: importing the file runs it (not within a function, not for types alone)."""

    module: str
    line: int
    when_loaded: bool


def is_within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def imports_of(file: Path, root: Path) -> list[Import]:
    """Every import in `file`. `from a.b import c` counts as a.b and as a.b.c: c may be a module."""
    package = file.relative_to(root).parent.parts
    found: list[Import] = []
    for node, when_loaded in walk(ast.parse(file.read_text(), str(file)), when_loaded=True):
        match node:
            case ast.Import():
                found += [Import(name.name, node.lineno, when_loaded) for name in node.names]
            case ast.ImportFrom():
                above = package[: len(package) - node.level + 1] if node.level else ()
                base = ".".join((*above, *([node.module] if node.module else [])))
                found.append(Import(base, node.lineno, when_loaded))
                found += [Import(f"{base}.{name.name}", node.lineno, when_loaded) for name in node.names]
    return found


def walk(node: ast.AST, when_loaded: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether it runs when the file is loaded."""
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            later = True
        yield child, when_loaded
        yield from walk(child, when_loaded and not later)


def violations(root: Path) -> list[str]:
    """One line for each import that the layout forbids, and for each ring of modules that import each other."""
    files = sorted(file for package in PACKAGES for file in (root / package).rglob("*.py"))
    imports = {file.relative_to(root).as_posix(): imports_of(file, root) for file in files}
    found = {
        f"{name}:{used.line} imports {used.module}: {reason}"
        for name, of_file in imports.items()
        for used in of_file
        for reason in objections(name, used)
    }
    return sorted(found) + [f"import each other: {' → '.join(ring)}" for ring in rings(imports)]


def objections(name: str, used: Import) -> Iterator[str]:
    for files, forbidden, excepted, reason in FORBIDDEN:
        concerns = any(fnmatch(name, pattern) for pattern in files)
        # `from cluster import errors` also reads as plain `cluster`, which alone says nothing yet.
        tolerated = any(is_within(used.module, path) or is_within(path, used.module) for path in excepted)
        if concerns and not tolerated and any(is_within(used.module, package) for package in forbidden):
            yield reason
    if is_within(used.module, "ray") and not any(fnmatch(name, pattern) for pattern in RAY_FILES):
        yield "Ray lives in files called ray_*.py"
    if is_within(used.module, "sqlalchemy") and not any(fnmatch(name, pattern) for pattern in SQLALCHEMY_FILES):
        yield "SQL lives in cluster/db; jobs and services take a Session"
    if used.when_loaded and any(is_within(used.module, library) for library in OPTIONAL_LIBRARIES):
        yield "the default install has no machine-learning libraries; import them where they are used"


def rings(imports: dict[str, list[Import]]) -> list[list[str]]:
    """Modules that need each other to be loaded; the shared noun belongs into a third."""
    module_of = {name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in imports}
    needs = {
        module: {used.module for used in imports[name] if used.when_loaded and used.module in module_of} - {module}
        for module, name in module_of.items()
    }
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append([*path[path.index(module) :], module])
        elif module not in done:
            for needed in sorted(needs[module]):
                visit(needed, [*path, module])
            done.add(module)

    for module in sorted(needs):
        visit(module, [])
    return found


def test_imports_follow_the_layout() -> None:
    assert violations(REPOSITORY) == []


def test_the_checker_reads_the_real_tree() -> None:
    read = [file for package in PACKAGES for file in (REPOSITORY / package).rglob("*.py")]
    assert REPOSITORY / "cluster" / "errors.py" in read
    assert len(read) > len(PACKAGES)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("cluster/clock.py", "import tasks.job", "imports point one way"),
        ("cluster/clock.py", "from serve_app.app import app", "imports point one way"),
        ("tasks/job.py", "def late():\n    from serve_app import deps", "imports point one way"),
        ("tasks/job.py", "from tests.conftest import database_url", "what runs"),
        ("tasks/media/image.py", "from cluster.settings import Settings", "errors and nothing else"),
        ("tasks/media/image.py", "from cluster import settings", "errors and nothing else"),
        ("tasks/media/image.py", "from tasks.ml.clip import embed", "errors and nothing else"),
        ("tasks/ml/clip.py", "from ..tools import Tools", "errors and nothing else"),
        ("cluster/queue/store.py", "from sqlalchemy.orm import Session", "neither SQL nor Ray"),
        ("cluster/queue/store.py", "from cluster.db.engine import session_scope", "neither SQL nor Ray"),
        ("cluster/loops/dispatcher.py", "import ray", "loops see protocols"),
        ("cluster/loops/settler.py", "from ..db import tables", "loops see protocols"),
        ("tasks/inline_runner.py", "import ray.util", "ray_*.py"),
        ("serve_app/routers/assets.py", "from sqlalchemy import select", "SQL lives in cluster/db"),
        ("cluster/workers.py", "import sqlalchemy", "SQL lives in cluster/db"),
        ("tasks/ml/clip.py", "import torch.nn", "no machine-learning libraries"),
        ("tasks/ml/clip.py", "try:\n    import torch\nexcept ImportError:\n    pass", "no machine-learning libraries"),
        ("tasks/ml/clip.py", "class Clip:\n    import open_clip", "no machine-learning libraries"),
    ],
)
def test_a_planted_violation_is_found(tmp_path: Path, name: str, line: str, reason: str) -> None:
    plant(tmp_path, {name: line})
    found = violations(tmp_path)
    assert any(reason in violation for violation in found), found
    assert all(violation.startswith(f"{name}:") for violation in found)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("serve_app/app.py", "from tasks.registry import JOBS\nfrom cluster.settings import Settings"),
        (
            "tasks/media/video.py",
            "from cluster.errors import UnreadableVideo\nfrom tasks.media import programs\nimport av",
        ),
        ("tasks/media/video.py", "from cluster import errors\nfrom .programs import run"),
        ("tasks/ml/clip.py", "def embed():\n    import torch"),
        ("tasks/ml/clip.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("tasks/ray_runner.py", "import ray\nfrom ray.util import state"),
        ("cluster/db/queries/asset.py", "from sqlalchemy import select"),
        ("tasks/jobs/ocr.py", "from sqlalchemy.orm import Session"),
        ("cluster/clock.py", "import rayleigh\nimport tasksmith"),
    ],
)
def test_what_the_layout_allows_passes(tmp_path: Path, name: str, line: str) -> None:
    plant(tmp_path, {name: line})
    assert violations(tmp_path) == []


def test_modules_that_import_each_other_are_found(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "tasks/a.py": "from tasks import b",
            "tasks/b.py": "import tasks.c",
            "tasks/c.py": "from tasks.a import thing",
            "tasks/d.py": "from tasks.a import thing",
        },
    )
    assert violations(tmp_path) == ["import each other: tasks.a → tasks.b → tasks.c → tasks.a"]


def test_a_late_import_is_no_ring(tmp_path: Path) -> None:
    plant(tmp_path, {"tasks/a.py": "from tasks import b", "tasks/b.py": "def late():\n    import tasks.a"})
    assert violations(tmp_path) == []


def plant(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
