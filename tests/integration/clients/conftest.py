"""One server on a real port for all tests of Immich's own clients; each test is somebody new there."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api_stack import ApiStack, Person, api_stack, served
from tests.camera import photo


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiStack]:
    folder = tmp_path_factory.mktemp("clients")
    with api_stack(f"sqlite:///{folder / 'heliostat.db'}", folder / "media") as built:
        yield built


@pytest.fixture(scope="module")
def url(stack: ApiStack) -> Iterator[str]:
    with served(stack) as address:
        yield address


@pytest.fixture
def join(stack: ApiStack) -> Callable[..., Person]:
    """Makes somebody with an API key; takes what `ApiStack.add_person` takes, but for the name."""

    def add(**given: Any) -> Person:
        return stack.add_person(f"person-{uuid.uuid4().hex[:8]}", **given)

    return add


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with the photos `a.jpg` and `b.jpg`."""
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo())
    (folder / "b.jpg").write_bytes(photo(1500, 1000))
    return folder
