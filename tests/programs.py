"""What a test needs from the machine. A missing program skips the test on a desk, and fails it in CI."""

import os
import shutil
from typing import NoReturn

import pytest

from cluster.errors import ProgramMissing


def skip_or_fail(reason: str) -> NoReturn:
    """Skip the calling test; with `CI` set fail it, so that nothing goes untested there unseen."""
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"{reason} (a skip outside CI)", pytrace=False)
    pytest.skip(reason)


def program(name: str) -> str:
    """The path of a program; skips or fails the calling test when it is not installed."""
    path = shutil.which(name)
    if path is None:
        skip_or_fail(str(ProgramMissing(name, "`make test` installs what it can")))
    return path
