"""Clips are made once per session."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that clips are made in."""
    return tmp_path_factory.mktemp("clips")
