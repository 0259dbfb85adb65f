"""`heliostat models`: which models lie in the model folder, and how they come there. Needs no server."""

import logging
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.db.engine import Database
from cluster.db.queries.system import read_config
from cluster.errors import ModelUnavailable
from cluster.settings import Settings
from cluster.system_config import SystemConfig, defaults
from serve_app.services.model_files import LICENCES, FoundModel, add_model, fetch_model, models_in
from tasks.missing_weights import wanted_weights
from tasks.ml.weights import Weights, find_weights
from tasks.registry import JOBS

log = logging.getLogger(__name__)


def config_in_force(settings: Settings) -> SystemConfig:
    """As an admin set it; the defaults where no database can be asked, as on a node that only computes."""
    if settings.database is None:
        return defaults(settings)
    database = Database(settings.database)
    try:
        with database.reader() as session:
            return read_config(session, settings)
    except Exception as error:  # none yet, or not up to date: what is missing is told by the defaults then
        log.info("the settings cannot be read: %s", error)
        return defaults(settings)
    finally:
        database.close()


def list_models(settings: Settings, config: SystemConfig, console: Console, *, verify: bool) -> bool:
    """Print what lies there and what the config wants; True when nothing lacks."""
    found, lacking = models_in(settings.model_folder, verify=verify), missing_models(settings, config)
    table = Table("kind", "model", "MB", "", box=None, padding=(0, 2, 0, 0))
    for model in found:
        table.add_row(model.weights.kind, model.weights.name, f"{model.size_bytes / 1e6:.0f}", _state(model))
    where = f"Models in {settings.model_folder}:" if found else f"No model lies in {settings.model_folder}."
    console.print(escape(where), highlight=False, soft_wrap=True)
    if found:
        console.print(table)
    for missing in lacking:  # no cells of a table: a path and a command must stay whole to be copied
        console.print(f"[red]wanted[/red]: {escape(str(missing))}", highlight=False, soft_wrap=True)
    for kind in sorted({model.weights.kind for model in found} & LICENCES.keys()):
        console.print(f"{kind}: {LICENCES[kind]}.")
    return not lacking and not any(model.trouble for model in found)


def missing_models(settings: Settings, config: SystemConfig) -> list[ModelUnavailable]:
    """What the config wants and the model folder lacks."""
    missing = []
    for weights in wanted_weights(JOBS, config):
        try:
            find_weights(settings.model_folder, weights)
        except ModelUnavailable as error:
            missing.append(error)
    return missing


def fetch(settings: Settings, weights: Weights, console: Console) -> None:
    """Download one model."""
    _tell_licence(weights, console)
    folder = fetch_model(settings.model_folder, weights, console.print)
    console.print(f"{weights.name} lies in {folder}. A queue that waited for it starts by itself.")


def add(settings: Settings, weights: Weights, source: Path, console: Console) -> None:
    """Copy one model from a folder, a file or a zip archive."""
    _tell_licence(weights, console)
    folder = add_model(settings.model_folder, weights, source)
    console.print(f"{weights.name} lies in {folder}. A queue that waited for it starts by itself.")


def _tell_licence(weights: Weights, console: Console) -> None:
    if licence := LICENCES.get(weights.kind):
        console.print(f"[yellow]{licence}.[/yellow]")


def _state(model: FoundModel) -> str:
    return f"[red]unusable[/red]: {model.trouble}" if model.trouble else "[green]✓[/green]"
