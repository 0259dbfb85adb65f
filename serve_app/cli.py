"""The `heliostat` command: up, upload, jobs, demo, doctor, migrate."""

import os
import sys

import typer

from cluster.errors import HeliostatError
from cluster.settings import read_settings
from cluster.telemetry import configure_logging

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)


@app.command()
def up() -> None:
    """Run the server on this machine, in the foreground. Ctrl-C ends it."""
    from serve_app.up import run_in_foreground

    settings = read_settings(os.environ)
    configure_logging(settings, "Heliostat")
    run_in_foreground(settings)


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from cluster.db.engine import Database
    from cluster.db.migrations import migrate as migrate_database

    settings = read_settings(os.environ)
    configure_logging(settings, "Heliostat")
    migrate_database(Database(settings.database_url))
    typer.echo("The database is up to date.")


def main() -> None:
    """Entry point: our own errors are told in words, without a traceback."""
    try:
        app()
    except HeliostatError as error:
        typer.secho(str(error), fg="red", err=True)
        sys.exit(1)
