"""Where the shared photos and specifications lie: outside the repository, and never copied into it."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def find_shared_dir() -> Path | None:
    """The folder that `HELIOSTAT_SHARED` names, else `shared` beside the repository; None where there is none."""
    named = os.environ.get("HELIOSTAT_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    return folder.resolve() if folder.is_dir() else None


def shared_dir() -> Path:
    """As `find_shared_dir`, but skips the calling test where there is none: a plain clone has no shared folder."""
    folder = find_shared_dir()
    if folder is None:
        pytest.skip("no shared folder: set HELIOSTAT_SHARED, or put it beside the repository as `shared`")
    return folder


def media_dir() -> Path:
    """The real photos and clips below the shared folder; skips the calling test where there are none."""
    folder = shared_dir() / "media"
    if not folder.is_dir():
        pytest.skip(f"no photos: {folder} does not exist")
    return folder
