"""`heliostat doctor`: is everything here that the work needs, and is it the right one? Each line says what to do."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import packages_distributions, version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from cluster.db.engine import Database
from cluster.errors import HeliostatError
from cluster.settings import Settings

PROGRAMS = {
    "ffmpeg": "apt-get install ffmpeg",
    "ffprobe": "apt-get install ffmpeg",
    "exiftool": "apt-get install libimage-exiftool-perl",
}
SHARED_MEMORY = Path("/dev", "shm")
PIL_FEATURES = ("jpg", "zlib", "libtiff", "freetype2", "littlecms2", "webp", "jpg_2000")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `cure` is empty when all is well."""

    name: str
    found: str
    cure: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Every check, in order."""
    programs = [_program(name) for name in PROGRAMS]
    return [_python(), _pillow(), _pillow_formats(), *programs, _database(settings), _media(settings), _shared_memory()]


def report(findings: list[Finding], console: Console) -> bool:
    """Print them; True when all is well."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for one in findings:
        mark = "[red]✗[/red]" if one.cure else "[green]✓[/green]"
        table.add_row(mark, one.name, one.found, f"[yellow]{one.cure}[/yellow]" if one.cure else "")
    console.print(table)
    return not any(one.cure for one in findings)


def _python() -> Finding:
    cure = "" if sys.version_info >= (3, 11) else "install Python 3.11 or newer, delete .venv, and `make run` again"
    return Finding("Python", sys.version.split()[0], cure)


def _pillow() -> Finding:
    import PIL

    owners = packages_distributions().get("PIL", [])
    right = ".post" in PIL.__version__ and owners == ["pillow-simd"]
    cure = "" if right else "another package overwrote PIL: delete .venv and run `make run` again"
    return Finding("PIL", f"{PIL.__version__} from {', '.join(owners)}", cure)


def _pillow_formats() -> Finding:
    from PIL import features

    missing = [name for name in PIL_FEATURES if not features.check(name)]
    cure = f"built without {', '.join(missing)}: install the headers, delete .venv, `make run`" if missing else ""
    return Finding("PIL formats", f"{len(PIL_FEATURES) - len(missing)} of {len(PIL_FEATURES)}", cure)


def _program(name: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, "missing", PROGRAMS[name])
    argument = "-ver" if name == "exiftool" else "-version"
    done = subprocess.run([path, argument], capture_output=True, text=True, timeout=20, check=False)
    lines = (done.stdout or done.stderr).splitlines()
    return Finding(name, lines[0].partition(" Copyright")[0][:60] if lines else "no answer")


def _database(settings: Settings) -> Finding:
    try:
        database = Database(settings.database_url)
        with database.reader() as session:
            dialect = session.get_bind().dialect.name
            found = str(session.connection().exec_driver_sql(VERSION_QUERY[dialect]).scalar())
        database.close()
    except HeliostatError as error:
        return Finding("database", "unusable", str(error))
    except Exception as error:
        return Finding("database", "does not answer", str(error).strip().splitlines()[0])
    return Finding("database", f"{dialect} {found}")


VERSION_QUERY = {"sqlite": "SELECT sqlite_version()", "postgresql": "SHOW server_version"}


def _media(settings: Settings) -> Finding:
    root = settings.media_root
    existing = next(folder for folder in (root, *root.parents) if folder.exists())
    free_gb = shutil.disk_usage(existing).free / 1e9
    cure = "" if free_gb > 1 else "less than 1 GB is free there: make room or choose another IMMICH_MEDIA_LOCATION"
    return Finding("media folder", f"{root}, {free_gb:.0f} GB free", cure)


def _shared_memory() -> Finding:
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 1e6
    cure = "" if free_mb > 200 else "Ray needs 200 MB there (docker: --shm-size=1g)"
    return Finding("shared memory", f"{free_mb:.0f} MB free, Ray {version('ray')}", cure)
