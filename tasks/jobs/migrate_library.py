"""Moves the whole library to where the storage template wants it, page by page, and clears up after every move.

Before: a person, after changing the template; every move of a single asset asks for the clearing alone. After: nothing.
Its phases: `resume` ends moves that were begun and not ended, `walk` moves all that is shown, `clear` takes old names
away, and at the end of a whole run empty folders below `library/` go. Source: spec/pipeline.md §7.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.db.engine import flush_earlier_commits
from cluster.db.queries import moves as queries
from cluster.errors import TemplateInvalid
from cluster.names import JobName
from cluster.queue.job import Done, Fact, Failed, JobSpec, Lease, Loaded, More, Skipped
from cluster.storage.layout import Folder
from cluster.storage.moves import Problem, drop_old_name, remove_empty, remove_empty_folders, sync_folders
from tasks.job import NO_FACTS, Context, Job
from tasks.jobs.delete_files import delete_files
from tasks.template_moves import (
    AssetMove,
    Moved,
    Planner,
    clear_old_names,
    file_move,
    intend,
    move_asset,
    move_one,
    save_moved,
)
from tasks.tools import Tools

logger = logging.getLogger(__name__)

SPEC = JobSpec(JobName.STORAGE_TEMPLATE_MIGRATION, timeout_s=6 * 3600)  # one long video may be copied

PAGE = 256
"""Assets per call: links take a millisecond, so the transactions of a page must not be small."""
OLD_NAMES_PAGE = 512
CALL_S = 5.0
"""After this time a page is saved as far as it is."""
CHUNK = 32
COPIES_AT_ONCE = 4
"""Across file systems each copy waits for its disk; several wait together."""


@dataclass(frozen=True, slots=True)
class PageInput:
    """`next_payload`: how the walk goes on when all of `moves` are done, None at its end. `moved_on`: assets that
    cannot move now and get a job of their own. `is_end`: nothing is left, and empty folders may go."""

    payload: Mapping[str, Any]
    next_payload: Mapping[str, Any] | None
    moves: tuple[AssetMove, ...]
    old_names: tuple[queries.OldName, ...]
    moved_on: tuple[str, ...]
    library: str
    is_end: bool

    @property
    def original_file_name(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class PageOutput:
    """`undone`: moves that were not begun, since the call took long. `cleared`: ids of moves that are over."""

    moved: tuple[Moved, ...]
    undone: tuple[AssetMove, ...]
    cleared: tuple[str, ...]
    orphaned: tuple[queries.OldName, ...]
    moved_on: tuple[str, ...]
    is_last: bool


def load(context: Context, leases: Sequence[Lease]) -> Sequence[Loaded]:
    return [_page(context, lease.payload) for lease in leases]


def _page(context: Context, payload: Mapping[str, Any]) -> PageInput | Skipped | Failed:
    phase = payload.get("phase", "resume")
    if phase == "resume" and not context.config.storage_template.enabled and not queries.any_moves(context.session):
        return Skipped("the storage template is disabled")
    old_names = queries.old_names(context.session, OLD_NAMES_PAGE)
    if old_names:
        flush_earlier_commits(context.session)
    try:
        moves, moved_on, next_payload = _moves(context, phase, str(payload.get("after", "")))
    except TemplateInvalid as error:
        return Failed(str(error))
    intend(context, moves)
    if phase == "clear" and len(old_names) == OLD_NAMES_PAGE:
        next_payload = payload
    return PageInput(
        payload=payload,
        next_payload=next_payload,
        moves=tuple(moves),
        old_names=tuple(old_names),
        moved_on=tuple(moved_on),
        library=str(context.layout.folder(Folder.LIBRARY)),
        is_end=next_payload is None and bool(payload.get("whole")),
    )


def _moves(context: Context, phase: str, after: str) -> tuple[list[AssetMove], list[str], Mapping[str, Any] | None]:
    """What to move on this page, which assets need a job of their own, and the payload of the next page."""
    match phase:
        case "resume":
            return _begun(context, after)
        case "walk":
            return _wanted(context, after)
        case _:
            return [], [], None


def _begun(context: Context, after: str) -> tuple[list[AssetMove], list[str], Mapping[str, Any]]:
    """Moves that were begun, whatever became of template and asset since."""
    rows = queries.intended_page(context.session, after, PAGE)
    ids = list(dict.fromkeys(row.entity_id for row in rows))
    known = queries.movable(context.session, ids)
    moves = [_ended(context, known[one], [row for row in rows if row.entity_id == one]) for one in ids if one in known]
    gone = [row for row in rows if row.entity_id not in known]
    queries.forget(context.session, [row.id for row in gone])
    if gone:
        context.store.enqueue(context.session, [delete_files([row.new_path for row in gone])])
    if len(ids) == PAGE:
        return moves, [], {"phase": "resume", "after": ids[-1]}
    if context.config.storage_template.enabled:
        return moves, [], {"phase": "walk", "after": ""}
    return moves, [], {"phase": "clear", "whole": True}


def _ended(context: Context, row: Any, begun: Sequence[Any]) -> AssetMove:
    files = tuple(file_move(context, row, move) for move in begun)
    return AssetMove(row.id, row.original_file_name, (files,))


def _wanted(context: Context, after: str) -> tuple[list[AssetMove], list[str], Mapping[str, Any]]:
    page = queries.movable_page(context.session, after, PAGE)
    planner = Planner(context, page)
    plans = [planner.plan(row) for row in page if row.exif_id is not None]
    moved_on = [plan.move.asset_id for plan in plans if plan.in_use or plan.begun]
    moves = [plan.move for plan in plans if plan.move.parts]
    if len(page) == PAGE:
        return moves, moved_on, {"phase": "walk", "after": page[-1].id}
    return moves, moved_on, {"phase": "clear", "whole": True}


def work(given: PageInput, tools: Tools) -> Done | More:
    left: set[Path] = set()
    cleared = [old.move_id for old in given.old_names if old.current_path is not None and _cleared(old, left)]
    for folder in left:
        remove_empty(folder, Path(given.library))
    moved, undone = _move_all(given.moves, Path(given.library), tools)
    if given.is_end:
        remove_empty_folders(Path(given.library))
    next_payload = given.next_payload
    if undone and moved:
        next_payload = {**given.payload, "after": moved[-1].asset_id}
    output = PageOutput(
        moved=tuple(moved),
        undone=tuple(undone),
        cleared=tuple(cleared),
        orphaned=tuple(old for old in given.old_names if old.current_path is None),
        moved_on=given.moved_on,
        is_last=next_payload is None,
    )
    return Done(output) if next_payload is None else More(output, next_payload)


def _cleared(old: queries.OldName, left: set[Path]) -> bool:
    """Take the old name away; whether that is over. What cannot be deleted is a warning, as elsewhere. `left` grows by
    the folder that may be empty now."""
    assert old.current_path is not None
    path = Path(old.old_path)
    try:
        over = drop_old_name(path, Path(old.current_path), may_change=old.path_type != queries.ORIGINAL)
    except Problem as error:
        logger.warning("%s", error)
        return True
    left.add(path.parent)
    return over


def _move_all(moves: Sequence[AssetMove], library: Path, tools: Tools) -> tuple[list[Moved], list[AssetMove]]:
    """In the order of ids, as far as the time goes; at least one chunk."""
    touched: set[Path] = set()
    moved: list[Moved] = []
    until_s = time.monotonic() + CALL_S
    device = library.stat().st_dev
    with ThreadPoolExecutor(COPIES_AT_ONCE, thread_name_prefix="copy") as pool:
        for start in range(0, len(moves), CHUNK):
            if moved and (time.monotonic() > until_s or tools.cancelled.is_set()):
                break
            chunk = moves[start : start + CHUNK]
            each = pool.map if any(_is_elsewhere(move, device) for move in chunk) else map
            moved += each(lambda move: move_asset(move, tools.token, touched), chunk)
    sync_folders(touched)
    return moved, list(moves[len(moved) :])


def _is_elsewhere(move: AssetMove, device: int) -> bool:
    try:
        return any(Path(file.source).stat().st_dev != device for file in move.files)
    except FileNotFoundError:
        return False


def save(context: Context, lease: Lease, output: PageOutput) -> frozenset[Fact]:
    save_moved(context, output.moved)
    orphans = [path for old in output.orphaned for path in (old.old_path, old.new_path)]
    withdrawn = [file.move_id for move in output.undone for file in move.files if not file.resumed]
    queries.forget(context.session, [*output.cleared, *(old.move_id for old in output.orphaned), *withdrawn])
    follow = [move_one(asset_id) for asset_id in output.moved_on]
    follow += [move_one(end.asset_id, end.occupied) for end in output.moved if end.occupied is not None]
    follow += [delete_files(orphans)] if orphans else []
    if output.is_last and queries.any_placed(context.session):
        follow.append(clear_old_names())
    context.store.enqueue(context.session, follow)
    return NO_FACTS


JOB = Job(SPEC, load, work, save)
