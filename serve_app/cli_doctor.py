"""`heliostat doctor`: is everything here that the work needs, and is it the right one? Each line says what to do."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from importlib.metadata import packages_distributions, version
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.db.engine import Database
from cluster.errors import HeliostatError
from cluster.names import WorkerName
from cluster.settings import Settings
from cluster.workers import node_duties
from serve_app.cli_models import config_in_force, missing_models
from tasks.missing_weights import wanted_weights
from tasks.registry import JOBS

PROGRAMS = {
    "ffmpeg": "apt-get install ffmpeg",
    "ffprobe": "apt-get install ffmpeg",
    "exiftool": "apt-get install libimage-exiftool-perl",
}
SHARED_MEMORY = Path("/dev", "shm")
PIL_FEATURES = ("jpg", "zlib", "libtiff", "freetype2", "littlecms2", "webp", "jpg_2000")


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `cure` is empty when all is well. `is_hint`: what is missing may be left away."""

    name: str
    found: str
    cure: str = ""
    is_hint: bool = False


def examine(settings: Settings) -> list[Finding]:
    """Every check, in order. Where no API runs, nothing may open the database, and it is not looked for."""
    if WorkerName.API not in node_duties(settings.workers_include, settings.workers_exclude).workers:
        settings = replace(settings, database=None)
    programs = [_program(name) for name in PROGRAMS]
    here = [_python(), _pillow(), _pillow_formats(), *programs, _database(settings), _media(settings), _shared_memory()]
    return here + ([_torch(), _faces_and_texts(), *_models(settings)] if _computes(settings) else [])


def report(findings: list[Finding], console: Console) -> bool:
    """Print them; True when nothing is wrong. Hints are not."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column()
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in findings:
        table.add_row(_mark(one), one.name, escape(one.found))
    console.print(table)
    for one in findings:
        if one.cure:  # no cell of the table: a path and a command must stay whole to be copied
            cure = f"optional, its queue waits for it: {one.cure}" if one.is_hint else one.cure
            console.print(f"[yellow]{one.name}[/yellow]: {escape(cure)}", highlight=False, soft_wrap=True)
    return not any(one.cure and not one.is_hint for one in findings)


def _mark(one: Finding) -> str:
    if not one.cure:
        return "[green]✓[/green]"
    return "[yellow]○[/yellow]" if one.is_hint else "[red]✗[/red]"


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
    if settings.database is None:
        return Finding("database", "none of this machine's business: it is no api node")
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


def _computes(settings: Settings) -> bool:
    """Whether this node's workers load models."""
    return WorkerName.MACHINE_LEARNING in node_duties(settings.workers_include, settings.workers_exclude).workers


def _torch() -> Finding:
    """Imported for real: its parts fit each other or they do not."""
    try:
        from tasks.ml.clip import best_runtime
        from tasks.ml.torchvision_operators import define_missing_operators

        define_missing_operators()
        import open_clip
        import torch

        found = f"{torch.__version__}, open_clip {open_clip.__version__}; pictures with {best_runtime()}"
    except Exception as error:
        return Finding("torch", f"cannot be used: {error}", WITHOUT_ML)
    return Finding("torch", found)


def _faces_and_texts() -> Finding:
    try:
        import cv2
        import insightface
        import onnxruntime
        import rapidocr  # noqa: F401 - that it can be

        found = f"{onnxruntime.__version__}, insightface {insightface.__version__}, OpenCV {cv2.__version__}"
    except Exception as error:
        return Finding("ONNX Runtime", f"cannot be used: {error}", WITHOUT_ML)
    return Finding("ONNX Runtime", found)


WITHOUT_ML = "`make run` installs it; a node without models has IMMICH_WORKERS_EXCLUDE=machine-learning"


def _models(settings: Settings) -> list[Finding]:
    """What the settings want, each with its place."""
    config = config_in_force(settings)
    missing = {one.model: str(one) for one in missing_models(settings, config)}
    return [
        Finding(
            f"model, {weights.kind}",
            str(weights.folder(settings.model_folder)),
            missing.get(weights.name, ""),
            is_hint=True,
        )
        for weights in wanted_weights(JOBS, config)
    ]


def _shared_memory() -> Finding:
    free_mb = shutil.disk_usage(SHARED_MEMORY).free / 1e6
    cure = "" if free_mb > 200 else "Ray needs 200 MB there (docker: --shm-size=1g)"
    return Finding("shared memory", f"{free_mb:.0f} MB free, Ray {version('ray')}", cure)
