"""Deletes what broken attempts left behind: files with a lease token in their name that no living attempt can own."""

import os
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from cluster.storage.files import unlink_quietly
from cluster.storage.layout import Folder, StorageLayout

STRAY = re.compile(r"\.[0-9a-f]{16,32}$")
OLD = timedelta(days=1)
"""No attempt lives this long without its lease being renewed by work that still writes."""
STRAY_SIDECAR = re.compile(rf"\.xmp{STRAY.pattern}")
SWEPT = {
    **{Folder.THUMBS: STRAY, Folder.ENCODED_VIDEO: STRAY},
    **{Folder.UPLOAD: STRAY_SIDECAR, Folder.LIBRARY: STRAY_SIDECAR},
}
"""What is a stray where. Beside originals that is only what no original is called."""


def sweep_strays(layout: StorageLayout, now: datetime) -> int:
    """Delete them; returns how many. Walks folder by folder, so it holds no list of the library."""
    deleted = 0
    for path in _strays(layout):
        try:
            age = now.timestamp() - path.stat().st_mtime
        except FileNotFoundError:
            continue
        if age > OLD.total_seconds():
            unlink_quietly(path)
            deleted += 1
    return deleted


def _strays(layout: StorageLayout) -> Iterator[Path]:
    # os.walk, since pathlib raises for a folder that is deleted meanwhile
    for folder, stray in SWEPT.items():
        for root, _, names in os.walk(layout.media_root / folder.value):
            yield from (Path(root, name) for name in names if stray.search(name))
