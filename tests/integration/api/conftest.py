"""An app in this process on each database, and two people who call it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api_stack import ApiStack, AppClient, Person, api_stack, in_process
from tests.checked_client import CheckedClient


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[ApiStack]:
    with api_stack(database_url, tmp_path / "media") as built:
        yield built


@pytest.fixture
def client(stack: ApiStack) -> Iterator[AppClient]:
    with in_process(stack.app) as client:
        yield client


@pytest.fixture
def ann(stack: ApiStack) -> Person:
    return stack.add_person("ann")


@pytest.fixture
def ben(stack: ApiStack) -> Person:
    return stack.add_person("ben")


@pytest.fixture
def as_ann(client: AppClient, ann: Person) -> CheckedClient:
    return CheckedClient(client, ann)


@pytest.fixture
def as_ben(client: AppClient, ben: Person) -> CheckedClient:
    return CheckedClient(client, ben)


@pytest.fixture
def as_nobody(client: AppClient) -> CheckedClient:
    return CheckedClient(client, None)
