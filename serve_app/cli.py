"""The `heliostat` command: up, node, upload, jobs, nodes, drain, demo, doctor, validate, models, migrate, restore, …"""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cluster.errors import HeliostatError
from cluster.settings import Settings, misspelt, read_settings
from cluster.telemetry import configure_logging

if TYPE_CHECKING:
    from serve_app.client import ApiClient

log = logging.getLogger(__name__)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
models = typer.Typer(no_args_is_help=True, help="The models for search, faces and text: what is there, and get more.")
app.add_typer(models, name="models")

ModelName = Annotated[str, typer.Argument(help="Immich's name of the model: ViT-B-32__openai, buffalo_l, …")]
Kind = Annotated[Literal["clip", "facial-recognition", "ocr"], typer.Argument(help="what the model is for")]
Url = Annotated[str, typer.Option(envvar="IMMICH_INSTANCE_URL", help="address of the server")]
Key = Annotated[str, typer.Option(envvar="IMMICH_API_KEY", help="API key; or --email and --password")]
Email = Annotated[str, typer.Option(help="sign in as")]
Password = Annotated[str, typer.Option(envvar="HELIOSTAT_PASSWORD", help="with this password")]


def _settings() -> Settings:
    settings = read_settings(os.environ)
    configure_logging(settings, "Heliostat")
    for words in misspelt(os.environ):
        log.warning("%s", words)
    return settings


@app.command()
def up(
    port: Annotated[int | None, typer.Option(help="instead of IMMICH_PORT")] = None,
    media: Annotated[Path | None, typer.Option(help="instead of IMMICH_MEDIA_LOCATION")] = None,
) -> None:
    """Run the server on this machine, in the foreground. Ctrl-C ends it."""
    from serve_app.up import Supervisor

    if port is not None:
        os.environ["IMMICH_PORT"] = str(port)
    if media is not None:
        os.environ["IMMICH_MEDIA_LOCATION"] = str(media.absolute())
    Supervisor(_settings(), os.environ).run()


@app.command()
def node(
    address: Annotated[str, typer.Option(help="HOST:PORT of the first machine's Ray, as `heliostat up` shows it")],
) -> None:
    """Work for the cluster whose first machine runs `heliostat up`, in the foreground. Ctrl-C ends it."""
    from serve_app.node import forget_database, run_node

    forget_database(os.environ)
    _settings()
    run_node(address, os.environ)


@app.command()
def upload(
    folder: Annotated[Path, typer.Argument(exists=True, help="photos and videos, searched through")],
    url: Url = "",
    key: Key = "",
    email: Email = "",
    password: Password = "",
    wait: Annotated[bool, typer.Option(help="watch the queues until they are empty (needs an admin)")] = True,
    connections: Annotated[int, typer.Option(min=1, max=64, help="files sent at once")] = 4,
) -> None:
    """Send every photo and video of a folder that the server does not have yet."""
    from rich.console import Console

    from serve_app.cli_upload import newly_failed, tell, upload_folder, wait_for_queues
    from serve_app.client import ApiClient, ApiRefused

    console = Console()
    with ApiClient(_url(url), key or None) as client:
        _sign_in(client, key, email, password)
        try:
            before = client.queues() if wait else []
        except ApiRefused as refused:
            console.print(f"the queues will not be shown: {refused}")
            wait = False
        done = upload_folder(client, folder, console, connections)
        tell(console, done)
        if wait:
            wait_for_queues(client, console)
            for queue, count in newly_failed(before, client.queues()):
                console.print(f"[red]{count} failed in {queue}[/red]: heliostat jobs {queue}")
    if done.refused:
        raise typer.Exit(1)


@app.command()
def jobs(
    queue: Annotated[
        str,
        typer.Argument(
            help="one queue, such as thumbnailGeneration: says what runs, failed or waits in it, or takes a command; "
            "or `failed`, `retry` or `cancel`, followed by a queue, or `watch`"
        ),
    ] = "",
    command: Annotated[str, typer.Argument(help="start, pause, resume, empty, clear-failed")] = "",
    job: Annotated[int | None, typer.Argument(help="with retry and cancel: the id of one job")] = None,
    error_class: Annotated[
        str, typer.Option(help="with failed and retry: of this class, such as UnreadableImage")
    ] = "",
    node: Annotated[str, typer.Option(help="with failed and retry: on this node")] = "",
    file: Annotated[str, typer.Option(help="with failed and retry: a part of the file's name")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False,
    force: Annotated[bool | None, typer.Option("--all/--missing", help="with start: everything, or what lacks")] = None,
    once: Annotated[bool, typer.Option(help="print and end")] = False,
    url: Url = "",
    key: Key = "",
    email: Email = "",
    password: Password = "",
) -> None:
    """Show every queue live, what runs in one and why jobs failed, or tell a queue what to do."""
    from rich.console import Console

    from serve_app.cli_jobs import cancel, retry, show_failed, show_queue, watch
    from serve_app.client import ApiClient

    console = Console()
    which = {"errorClass": error_class, "node": node, "file": file}
    with ApiClient(_url(url), key or None) as client:
        _sign_in(client, key, email, password)
        if queue == "failed":
            show_failed(client, console, command, which, as_json=as_json)
        elif queue == "retry":
            retry(client, console, command, which, job)
        elif queue == "cancel":
            if not command or job is None:
                raise typer.BadParameter("say which job: heliostat jobs cancel QUEUE ID")
            cancel(client, console, command, job)
        elif queue == "watch" or (as_json and not command and not queue):
            watch(client, console, once=once, as_json=as_json)
        elif command:
            client.command(queue, command, force)
            watch(client, console, once=True)
        elif queue:
            show_queue(client, console, queue)
        else:
            watch(client, console, once=once)


@app.command()
def nodes(
    as_json: Annotated[bool, typer.Option("--json", help="print all that is known, for programs")] = False,
    url: Url = "",
    key: Key = "",
    email: Email = "",
    password: Password = "",
) -> None:
    """Show the machines of the cluster, what they are for and what they run."""
    from rich.console import Console

    from serve_app.cli_nodes import show_nodes
    from serve_app.client import ApiClient

    with ApiClient(_url(url), key or None) as client:
        _sign_in(client, key, email, password)
        show_nodes(client, Console(), as_json=as_json)


@app.command()
def drain(
    node: Annotated[str, typer.Argument(help="as `heliostat nodes` names it")],
    back: Annotated[bool, typer.Option("--back", help="let it work again")] = False,
    reason: Annotated[str, typer.Option(help="why, for others to read")] = "",
    patience: Annotated[int, typer.Option(min=0, help="seconds for what runs there, then others take it over")] = 60,
    url: Url = "",
    key: Key = "",
    email: Email = "",
    password: Password = "",
) -> None:
    """Give a machine nothing new to do: short work ends, long work goes to others. It stays so until --back."""
    from rich.console import Console

    from serve_app.cli_nodes import drain_node
    from serve_app.client import ApiClient

    with ApiClient(_url(url), key or None) as client:
        _sign_in(client, key, email, password)
        drain_node(client, Console(), node, reason, patience, back=back)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="a folder of photos; else a small set is made")
    ] = None,
) -> None:
    """Make a library of a folder of photos: sign up, upload, wait, and show the thumbnails."""
    from rich.console import Console

    from serve_app.cli_demo import run_demo

    run_demo(_settings(), folder, Console())


@app.command()
def doctor() -> None:
    """Say whether this machine has all that the work needs."""
    from rich.console import Console

    from serve_app.cli_doctor import examine, report

    if not report(examine(_settings()), Console()):
        raise typer.Exit(1)


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="such as ray-cluster.yaml")],
) -> None:
    """Say what is wrong with a cluster's YAML file, before any machine is started."""
    from serve_app.cli_validate import validate as validate_file

    if not validate_file(file, typer.echo):
        raise typer.Exit(1)


@models.command("list")
def list_models(
    verify: Annotated[bool, typer.Option("--verify", help="read every file and compare its SHA-256")] = False,
) -> None:
    """Which models are there, and which the settings want."""
    from rich.console import Console

    from serve_app.cli_models import config_in_force
    from serve_app.cli_models import list_models as show

    settings = _settings()
    if not show(settings, config_in_force(settings), Console(), verify=verify):
        raise typer.Exit(1)


@models.command()
def fetch(kind: Kind, name: ModelName) -> None:
    """Download a model from the hub into the model folder."""
    from rich.console import Console

    from serve_app.cli_models import fetch as fetch_one
    from tasks.ml.weights import ModelKind, Weights

    fetch_one(_settings(), Weights(ModelKind(kind), name), Console())


@models.command()
def add(
    kind: Kind,
    name: ModelName,
    source: Annotated[Path, typer.Argument(exists=True, help="a folder, a zip archive or a file")],
) -> None:
    """Copy a model that you have into the model folder."""
    from rich.console import Console

    from serve_app.cli_models import add as add_one
    from tasks.ml.weights import ModelKind, Weights

    add_one(_settings(), Weights(ModelKind(kind), name), source, Console())


@app.command()
def migrate() -> None:
    """Bring the database to this version's schema."""
    from cluster.db.engine import Database
    from cluster.db.migrations import migrate as migrate_database

    migrate_database(Database(_settings().database_url).durable)
    typer.echo("The database is up to date.")


@app.command()
def restore(
    backup: Annotated[Path, typer.Argument(help="a backup: a path, or a name in the media folder's `backups`")],
) -> None:
    """Put a backup in the place of the database, while the server is stopped. What was there is kept."""
    from cluster.clock import SystemClock
    from serve_app.services.restore_backup import restore_backup

    kept = restore_backup(_settings(), os.environ, backup, SystemClock().now(), typer.echo)
    typer.echo("The backup is in place.")
    if kept:
        typer.echo(f"The database before is kept as {kept}: delete it when all is well.")


@app.command()
def reconcile(
    wait: Annotated[bool, typer.Option(help="until it has ended, and say what was missing")] = True,
) -> None:
    """Compare database, disk and queue, and enqueue exactly what is missing. Needs the database, not the API."""
    from serve_app.bootstrap import build_services
    from serve_app.cli_reconcile import run_reconciliation

    run_reconciliation(build_services(_settings()), wait, typer.echo)


def _url(url: str) -> str:
    return url or f"http://127.0.0.1:{os.environ.get('IMMICH_PORT', '2283')}"


def _sign_in(client: "ApiClient", key: str, email: str, password: str) -> None:
    if key:
        return
    if not email:
        raise typer.BadParameter("say who you are: --key (or IMMICH_API_KEY), or --email and --password")
    client.login(email, password or typer.prompt("password", hide_input=True))


def main() -> None:
    """Entry point: our own errors are told in words, without a traceback."""
    try:
        app()
    except HeliostatError as error:
        typer.secho(str(error), fg="red", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
