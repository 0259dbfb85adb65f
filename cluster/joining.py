"""May this machine join that cluster? Each reason to refuse is one message that says what to do (pure, but for looking
at files and at the machine's time zone).
"""

import json
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cluster.errors import HeliostatError
from cluster.names import QueueName, WorkerName
from cluster.settings import Settings, default_ray_port_base
from cluster.storage.mounts import marker_contents
from cluster.workers import OUR_LABELS, node_labels, queue_label, worker_label

INCLUDE, EXCLUDE = "IMMICH_WORKERS_INCLUDE", "IMMICH_WORKERS_EXCLUDE"
LABELS_OF_FILE = "RAY_OVERRIDE_LABELS"
"""Where Ray's launcher puts the labels that the cluster's file has for this machine, as JSON."""

HEAD_SILENT: Final = 3
TOKEN_REFUSED: Final = 4
"""How `cluster.ray_join` ends when the head says nothing."""


class JoinRefused(HeliostatError):
    """This machine may not join; the message says why and what to do."""


class ToldOtherwise(JoinRefused):
    """It works for the same library, but an API or a controller on it would act differently."""


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What must be the same on every machine of a cluster. `markers`: folder of the media root → what its marker file
    says, which the head writes anew at every start. `one_api`: the database is a file, which one machine opens. Of api
    machines alone: `told`, variable → what it is there, in words without a secret, and `database`, the mark that the
    head has written into its own."""

    heliostat: str
    ray: str
    python: str
    media_root: str
    markers: dict[str, str]
    one_api: bool
    told: dict[str, str] = field(default_factory=dict)
    database: str = ""


def facts_here(settings: Settings, database: str = "") -> HeadFacts:
    """Of this machine. `database`: the mark in it."""
    return HeadFacts(
        heliostat=version("heliostat"),
        ray=version("ray"),
        python=platform.python_version(),
        media_root=str(settings.media_root),
        markers=marker_contents(settings.media_root),
        one_api=(settings.database or "").startswith("sqlite:"),
        told=_told(settings),
        database=database,
    )


def _told(settings: Settings) -> dict[str, str]:
    """What API and controllers do differently by."""
    switches = {
        "IMMICH_ALLOW_SETUP": settings.allow_setup,
        "IMMICH_MACHINE_LEARNING_ENABLED": settings.machine_learning_enabled,
        "IMMICH_PROCESS_INVALID_IMAGES": settings.process_invalid_images,
    }
    return {
        **{name: "true" if on else "false" for name, on in switches.items()},
        "HELIOSTAT_UPLOAD_LIMIT_MB": str(settings.upload_limit_mb),
        "HELIOSTAT_VIDEO_PARTS_FROM_S": str(settings.video_parts_from_s),
        "HELIOSTAT_VIDEO_SEARCH_FRAMES": str(settings.video_search_frames),
        "HELIOSTAT_MODEL_FOLDER": str(settings.model_folder),
        "HELIOSTAT_VERSION_URL": _site_of(settings.version_url),
        "IMMICH_CONFIG_FILE": _file_in_words(settings.config_file),
        "IMMICH_MACHINE_LEARNING_URL": _site_of(settings.machine_learning_url),
        "IMMICH_TRUSTED_PROXIES": ", ".join(sorted(map(str, settings.trusted_proxies))),
        "TZ": _zone(),
    }


def _site_of(url: str | None) -> str:
    """Without user, password, path and query, any of which may be a secret."""
    if url is None:
        return "none"
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "no URL"


def _file_in_words(path: Path | None) -> str:
    if path is None:
        return "none"
    return "a file" if os.access(path, os.R_OK) else "a file that cannot be read"


def _zone() -> str:
    """Its names and distances from UTC, `CET (UTC+01:00), CEST (UTC+02:00)`: zones of two names may be one."""
    west_s = (time.timezone, time.altzone) if time.daylight else (time.timezone,)
    return ", ".join(
        f"{name} ({timezone(timedelta(seconds=-s))})" for name, s in zip(time.tzname, west_s, strict=False)
    )


def refuse_unless_same(here: HeadFacts, head: HeadFacts, labels: Mapping[str, str]) -> None:
    """Raises JoinRefused for the first thing in which this machine and the head differ. `labels`: of this machine."""
    for what, mine, theirs in (
        ("Heliostat", here.heliostat, head.heliostat),
        ("Ray", here.ray, head.ray),
        ("Python", here.python, head.python),
    ):
        if mine != theirs:
            raise JoinRefused(f"{what} is {mine} here and {theirs} on the head: install the same version on both")
    if here.media_root != head.media_root:
        raise JoinRefused(
            f"the media folder is {here.media_root} here and {head.media_root} on the head: mount it at the same path "
            "everywhere, and set IMMICH_MEDIA_LOCATION to that"
        )
    for folder, content in head.markers.items():
        place = f"{here.media_root}/{folder}/.immich"
        if folder not in here.markers:
            raise JoinRefused(f"{place} cannot be read: mount the head's media folder here, readable and writable")
        if here.markers[folder] != content:
            raise JoinRefused(f"{place} is not the head's: mount the head's media folder here")
    if worker_label(WorkerName.API) not in labels:
        return
    if head.one_api:
        raise JoinRefused(
            f"the cluster's database is a file, so its first machine alone can be an api node: set {EXCLUDE}=api here, "
            "or give the cluster a PostgreSQL (DB_URL)"
        )
    if here.one_api:
        raise JoinRefused("an api node opens the cluster's database: set DB_URL here to what it is on the head")
    for name, theirs in head.told.items():
        if (mine := here.told.get(name, "")) != theirs:
            raise ToldOtherwise(f"{name} is {mine} here and {theirs} on the head: set it the same on every api machine")


def refuse_another_database(here: str, head: HeadFacts) -> None:
    """Of an api node. `here`: the mark in the database that it opens. Raises JoinRefused."""
    if here != head.database:
        raise JoinRefused(
            "DB_URL, or DB_HOSTNAME and DB_DATABASE_NAME, name another database here "
            f"(marked {here[:8] or 'by nobody'}) than on the head (marked {head.database[:8]}): set them to what they "
            "are there"
        )


def labels_of_node(environ: Mapping[str, str]) -> dict[str, str]:
    """The labels of this machine, from its environment or the cluster's file. Raises JoinRefused where both say
    something and it differs, or where nothing is left; SettingsInvalid for a name that is no worker."""
    include, exclude = environ.get(INCLUDE, ""), environ.get(EXCLUDE, "")
    labels = node_labels(include, exclude)
    if text := environ.get(LABELS_OF_FILE):
        in_file = {name: value for name, value in json.loads(text).items() if name in OUR_LABELS}
        if (include or exclude) and in_file != labels:
            raise JoinRefused(
                "the cluster's file and the environment differ: the file labels this machine "
                f"{_listed(in_file)}; {INCLUDE}={include} and {EXCLUDE}={exclude} mean {_listed(labels)}. Change either"
            )
        labels = in_file
    if not labels:
        raise JoinRefused(f"nothing is left for this machine to do: {INCLUDE}={include}, {EXCLUDE}={exclude}")
    return labels


def lists_of(labels: Mapping[str, str]) -> dict[str, str]:
    """The two variables that mean exactly these labels."""
    included = [name.partition("/")[2] for name in labels]
    left_out = [queue for queue in QueueName if queue_label(queue) not in labels]
    return {INCLUDE: ",".join(included), EXCLUDE: ",".join(left_out)}


def host_and_port(address: str) -> tuple[str, int]:
    """HOST:PORT; without a port that of a head whose IMMICH_PORT is 2283. Raises JoinRefused."""
    host, colon, port = address.rpartition(":") if not address.endswith("]") else (address, "", "")
    host, port = (host, port) if colon else (address, str(default_ray_port_base(2283)))
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise JoinRefused(f"{address} is no address: write HOST:PORT, as `heliostat up` shows it on the first machine")
    return host.strip("[]"), int(port)


def _listed(labels: Mapping[str, str]) -> str:
    return ", ".join(sorted(labels)) or "nothing"
