"""What `work` may reach on a node: programs, models and files. No session, no Ray handle.

A job in row_jobs that is work and no rows (a backup) runs beside the database, and there alone is told where it is.
"""

import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from cluster.storage.files import fenced_path
from tasks.media.exiftool import ExifTool
from tasks.ml.loaded import LoadedModels


class Tools:
    """One per worker process. Programs start at first use and stay open.

    `progress(share)`: tell how far the job is, 0 to 1; `cancelled`: set when nobody waits for the job any more;
    `threads`: how many a model may use.
    """

    def __init__(self, database_url: str | None = None) -> None:
        self.database_url = database_url
        self.token = ""
        self.threads = 1
        self.progress: Callable[[float], None] = lambda share: None
        self.cancelled = threading.Event()

    @cached_property
    def exiftool(self) -> ExifTool:
        """The stay-open exiftool of this process."""
        return ExifTool()

    @cached_property
    def models(self) -> LoadedModels:
        """The models whose weights this process holds."""
        return LoadedModels()

    def fenced(self, final: str | Path) -> Path:
        """Where to write a result: `<final>.<lease token>`. The settler renames it; a late one never lands."""
        path = fenced_path(Path(final), self.token)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        """End the programs."""
        if "exiftool" in self.__dict__:
            self.exiftool.close()
            del self.__dict__["exiftool"]
