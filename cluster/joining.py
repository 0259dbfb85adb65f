"""May this machine join that cluster? Each reason to refuse is one message that says what to do (pure, but for reading
the media folder's markers).
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

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


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What must be the same on every machine of a cluster. `markers`: folder of the media root → what its marker file
    says, which the head writes anew at every start. `one_api`: the database is a file, which one machine opens."""

    heliostat: str
    ray: str
    python: str
    media_root: str
    markers: dict[str, str]
    one_api: bool


def facts_here(settings: Settings) -> HeadFacts:
    """Of this machine."""
    return HeadFacts(
        heliostat=version("heliostat"),
        ray=version("ray"),
        python=platform.python_version(),
        media_root=str(settings.media_root),
        markers=marker_contents(settings.media_root),
        one_api=(settings.database or "").startswith("sqlite:"),
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
