"""Asks for the newest release of Heliostat. Off unless `HELIOSTAT_VERSION_URL` says whom to ask, and the config may.

Before: the timetable, or an admin who switches the check on. After: clients hear of a release that is newer than this
one. Source: spec/pipeline.md §9.
"""

import json
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import metadata

from cluster.db.queries import notes
from cluster.names import JobName
from cluster.queue.job import Fact, Failed, JobSpec, Lease, Loaded, NewEvent, NewJob, Skipped
from tasks.job import NO_FACTS, Context, Job
from tasks.tools import Tools

SPEC = JobSpec(JobName.VERSION_CHECK, timeout_s=60)

NOTE = "version-check-state"
"""Key of the note: `checkedAt`, `releaseVersion`."""
AT_MOST_EVERY = timedelta(seconds=50)
ANSWER_TIMEOUT_S, ANSWER_LIMIT_BYTES = 20, 1 << 20
VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(-[0-9A-Za-z.-]+)?(?:\+\S*)?")
PARTS = ("major", "minor", "patch")


@dataclass(frozen=True, slots=True)
class VersionInput:
    """`url` of http or https."""

    url: str


def check_version() -> NewJob:
    """The job; one that waits is enough."""
    return NewJob(JobName.VERSION_CHECK, dedup_key=str(JobName.VERSION_CHECK))


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_load_one(context)] * len(leases)


def _load_one(context: Context) -> VersionInput | Skipped:
    if not context.config.new_version_check.enabled:
        return Skipped("the version check is switched off")
    if context.settings.version_url is None:
        return Skipped("HELIOSTAT_VERSION_URL names nobody to ask")
    note = notes.read(context.session, NOTE)
    if note is not None and abs(context.now - datetime.fromisoformat(note["checkedAt"])) < AT_MOST_EVERY:
        return Skipped("checked a moment ago")
    return VersionInput(context.settings.version_url)


def work(given: VersionInput, tools: Tools) -> str | Failed:
    """The release's version as it is told."""
    # the settings take http and https alone
    request = urllib.request.Request(given.url, headers={"Accept": "application/json"})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S) as answer:  # noqa: S310
            said = json.loads(answer.read(ANSWER_LIMIT_BYTES))
    except (OSError, ValueError) as error:
        return Failed(f"{given.url} does not say: {error}")
    version = (said.get("version") or said.get("tag_name")) if isinstance(said, dict) else None
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        return Failed(f"{given.url} names no version")
    return version


def save(context: Context, lease: Lease, output: str) -> frozenset[Fact]:
    checked_at = context.now.isoformat()
    notes.write(context.session, NOTE, {"checkedAt": checked_at, "releaseVersion": output})
    own = metadata.version("heliostat")
    release_type = newer_in(output, own, candidates=context.config.new_version_check.channel == "releaseCandidate")
    if release_type is not None:
        told = {"isAvailable": True, "checkedAt": checked_at, "type": release_type}
        told |= {"serverVersion": version_on_wire(own), "releaseVersion": version_on_wire(output)}
        context.store.emit(context.session, [NewEvent("new_release", data={"release": told})])
    return NO_FACTS


def newer_in(release: str, own: str, *, candidates: bool) -> str | None:
    """The part in which `release` is newer than `own`: major, minor or patch; None when it is not. Release candidates
    (`1.2.0-rc.1`) count only if `candidates`."""
    theirs, ours = VERSION.fullmatch(release), VERSION.match(own)
    if theirs is None or ours is None or (theirs[4] and not candidates):
        return None
    pairs = [(int(theirs[number]), int(ours[number])) for number in (1, 2, 3)]
    part, pair = next(((part, pair) for part, pair in zip(PARTS, pairs, strict=True) if pair[0] != pair[1]), ("", None))
    return part if pair is not None and pair[0] > pair[1] else None


def version_on_wire(version: str) -> dict[str, object]:
    """As `GET /server/version` has it."""
    found = VERSION.match(version)
    numbers = [int(found[number]) for number in (1, 2, 3)] if found else [0, 0, 0]
    return dict(zip(PARTS, numbers, strict=True))


JOB = Job(SPEC, load, work, save)
