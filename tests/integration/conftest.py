"""What the tests of whole chains stand on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.inline_stack import Stack, inline_stack


@pytest.fixture
def stack(database_url: str, tmp_path: Path) -> Iterator[Stack]:
    """A server without HTTP and without Ray, once on each database."""
    with inline_stack(database_url, tmp_path) as stack:
        yield stack
