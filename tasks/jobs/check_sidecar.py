"""Looks which sidecar an asset has on disk, and links it, another one, or none.

Before: a library scan, or the sidecar queue's "Sync" (every asset) and "Discover" (those without one). After: metadata
extraction, whether anything changed or not. Where the original itself cannot be seen its disk may be away, and nothing
changes. Source: spec/pipeline.md §5.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, not_, select

from cluster.db.queries.assets import ids_where
from cluster.db.tables.asset import Asset, AssetFile, Library
from cluster.db.upsert import upsert
from cluster.names import JobName
from cluster.queue.job import Done, Fact, JobSpec, Lease, Loaded, More, Skipped
from tasks.job import NO_FACTS, Context, Job, RowJob
from tasks.media.sidecar import find_sidecar
from tasks.missing import Missing
from tasks.pipeline import GONE
from tasks.queue_all import PAGE, cursor, forced, queue_all_spec, queue_page
from tasks.tools import Tools

SPEC = JobSpec(JobName.SIDECAR_CHECK, batch=32)

SIDECAR = "sidecar"
"""`asset_file.type` of what these jobs link."""


@dataclass(frozen=True, slots=True)
class CheckInput:
    """`linked`: the sidecar that the rows know. `roots`: the folders that links must not leave."""

    original_path: str
    original_file_name: str
    linked: str | None
    roots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckOutput:
    """The sidecar on disk is `found`, the rows knew `linked`."""

    linked: str | None
    found: str | None


def select_page(context: Context, lease: Lease) -> Done | More:
    """Queue every asset, or those without a sidecar."""
    chosen: list[ColumnElement[bool]] = [Asset.id > cursor(lease)]
    if not forced(lease):
        chosen.append(not_(_linked()))
    page = context.session.scalars(select(Asset.id).where(*chosen).order_by(Asset.id).limit(PAGE)).all()
    return queue_page(context, lease, MISSING, page)


def _without_sidecar(context: Context, asset_ids: Sequence[str]) -> set[str]:
    return ids_where(context.session, asset_ids, [not_(_linked())])


def _linked() -> Any:
    return exists().where(AssetFile.asset_id == Asset.id, AssetFile.type == SIDECAR)


MISSING = Missing(SPEC.name, _without_sidecar, makes=frozenset({SIDECAR}))


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    rows = sidecar_rows(context, [lease.payload["id"] for lease in leases])
    return [_input(rows.get(lease.payload["id"]), context) for lease in leases]


def sidecar_rows(context: Context, asset_ids: Sequence[str], *more: Any) -> dict[str, Any]:
    """Per asset: paths of original and sidecar, the import paths of its library, and the columns `more`."""
    statement = (
        select(
            *(Asset.id, Asset.original_path, Asset.original_file_name, Library.import_paths),
            AssetFile.path.label("sidecar_path"),
            *more,
        )
        .outerjoin(AssetFile, (AssetFile.asset_id == Asset.id) & (AssetFile.type == SIDECAR))
        .outerjoin(Library, Library.id == Asset.library_id)
        .where(Asset.id.in_(asset_ids))
    )
    return {row.id: row for row in context.session.execute(statement)}


def roots_of(context: Context, row: Any) -> tuple[str, ...]:
    """Where the asset's files may lie: the media folder, or its library's."""
    return (str(context.layout.media_root), *(row.import_paths or ()))


def _input(row: Any, context: Context) -> CheckInput | Skipped:
    if row is None:
        return Skipped("the asset is gone", frozenset({GONE}))
    return CheckInput(row.original_path, row.original_file_name, row.sidecar_path, roots_of(context, row))


def work(given: CheckInput, tools: Tools) -> CheckOutput | Skipped:
    original = Path(given.original_path)
    if not original.exists():
        return Skipped("the original cannot be seen")
    found = find_sidecar(original, Path(given.linked) if given.linked else None, [Path(root) for root in given.roots])
    if found is None and given.linked is None:
        return Skipped("no sidecar")
    if str(found) == given.linked:
        return Skipped("the same sidecar as before")
    return CheckOutput(given.linked, str(found) if found is not None else None)


def save(context: Context, lease: Lease, output: CheckOutput) -> frozenset[Fact]:
    asset_id, session = lease.payload["id"], context.session
    asset = select(Asset.id).where(Asset.id == asset_id).with_for_update(key_share=True)
    if session.execute(asset).one_or_none() is None:
        return frozenset({GONE})
    ours = (AssetFile.asset_id == asset_id, AssetFile.type == SIDECAR)
    if session.scalar(select(AssetFile.path).where(*ours)) != output.linked:
        return NO_FACTS  # written or linked meanwhile, by somebody who knows better
    if output.found is None:
        session.execute(delete(AssetFile).where(*ours))
    else:
        link_sidecar(context, asset_id, output.found)
    return NO_FACTS


def link_sidecar(context: Context, asset_id: str, path: str) -> None:
    """From now on `path` is the asset's sidecar."""
    times = {"created_at": context.now, "updated_at": context.now}
    row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": SIDECAR, "path": path, "is_edited": False, **times}
    upsert(context.session, AssetFile, [row], key=["asset_id", "type", "is_edited"], keep=["id", "created_at"])


JOB = Job(SPEC, load, work, save)
QUEUE_ALL = RowJob(queue_all_spec(JobName.SIDECAR_QUEUE_ALL), select_page)
