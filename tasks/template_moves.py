"""What the jobs that move originals to the storage template's place share: where a file belongs, moving it, saving it.

Who moves: `jobs/migrate_storage_template.py` one asset after its metadata, `jobs/migrate_library.py` all of them. The
protocol is told in cluster/README.md, "Moves".
"""

import logging
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from cluster.db.queries import moves as queries
from cluster.errors import PathEscapes, TemplateInvalid
from cluster.names import JobName
from cluster.queue.job import NewJob, Priority, asset_job
from cluster.storage.layout import Folder
from cluster.storage.moves import (
    FileMove,
    Named,
    Problem,
    add_name,
    drop_old_name,
    numbers_taken,
)
from cluster.storage.template import (
    AlbumFacts,
    Subject,
    number_in,
    numbered,
    parse_template,
    target_path,
)
from tasks.job import Context
from tasks.jobs.delete_files import delete_files

logger = logging.getLogger(__name__)

SIDECAR_SUFFIX = ".xmp"
IN_USE_S = 5.0
"""How long to wait for jobs that may know a file by its old name."""


@dataclass(frozen=True, slots=True)
class AssetMove:
    """A photo or video with all that moves along: of each part (itself, the motion part) its original and sidecar."""

    asset_id: str
    original_file_name: str
    parts: tuple[tuple[FileMove, ...], ...]

    @property
    def files(self) -> list[FileMove]:
        return [file for part in self.parts for file in part]


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of an asset's files. `stays`: with the reason, for a person. `withdrawn`: of a part whose place is
    taken, nothing of it has moved; numbers from `occupied` on are free there."""

    asset_id: str
    original_file_name: str
    done: tuple[FileMove, ...] = ()
    stays: tuple[tuple[FileMove, str], ...] = ()
    withdrawn: tuple[FileMove, ...] = ()
    occupied: int | None = None


@dataclass(frozen=True, slots=True)
class _Part:
    """An asset, or the motion part of one: `wanted` is its place by the template, or in words why it has none."""

    row: Any
    wanted: Path | str


class Planner:
    """Says where `assets` and their motion parts belong, by rows of `queries.movable`. Raises TemplateInvalid.

    `least_numbers`: by asset, the smallest number that nothing on disk has, where something was found there.
    """

    def __init__(self, context: Context, assets: Sequence[Any], least_numbers: Mapping[str, int] | None = None) -> None:
        self._context, self._least = context, least_numbers or {}
        self._library = context.layout.folder(Folder.LIBRARY)
        self._encoded_videos = f"{context.layout.folder(Folder.ENCODED_VIDEO)}/"
        self._template = parse_template(context.config.storage_template.template)
        session = context.session
        motions = queries.movable(session, {row.live_photo_video_id for row in assets} - {None})
        ids = [row.id for row in assets]
        dates = self._template.uses_album_dates
        self._albums = queries.first_albums(session, ids, with_dates=dates) if self._template.uses_album else {}
        self._pending = queries.moves_of(session, [*ids, *motions])
        self._parts = {row.id: self._parts_of(row, motions.get(row.live_photo_video_id)) for row in assets}
        self._taken = queries.claimed(session, self._names())
        self._numbers: dict[Path, set[int]] = {}

    def plan(self, row: Any) -> "Plan":
        """What has to move of the asset and of its motion part."""
        plans = [self._plan_part(part, self._least.get(row.id, 0)) for part in self._parts[row.id]]
        return Plan(
            AssetMove(row.id, row.original_file_name, tuple(plan.files for plan in plans if plan.files)),
            begun=any(plan.begun for plan in plans),
            in_use=any(plan.in_use for plan in plans),
            reason=plans[0].reason,
        )

    def _parts_of(self, row: Any, motion: Any) -> list[_Part]:
        name = row.original_file_name or row.id
        parts = [_Part(row, self._wanted(row, name, row))]
        if motion is not None:
            name = f"{Path(name).stem}{Path(motion.original_path).suffix}"
            parts.append(_Part(motion, self._wanted(motion, name, row)))
        return parts

    def _wanted(self, part: Any, name: str, photo: Any) -> Path | str:
        if part.is_external:
            return "it lies in an external library"
        if part.original_path.startswith(self._encoded_videos):
            return "it was taken out of a motion photo"
        if part.file_size_bytes is None:
            logger.error("%s stays at %s: its size is not known", name, part.original_path)
            return "its size is not known"
        extension = Path(part.original_path).suffix.removeprefix(".")
        try:
            rendered = self._template.render(self._subject(part, name, extension, photo))
            return target_path(self._library, part.storage_label or part.owner_id, rendered, extension)
        except (TemplateInvalid, PathEscapes) as error:
            logger.warning("%s stays at %s: %s", name, part.original_path, error)
            return str(error)

    def _subject(self, part: Any, name: str, extension: str, photo: Any) -> Subject:
        taken_at = _in_server_zone(part.file_created_at)
        album = self._albums.get(photo.id)
        return Subject(
            asset_id=part.id,
            file_name=name,
            extension=extension,
            is_video=part.type == "VIDEO",
            taken_at=taken_at,
            album=_album_facts(album, taken_at) if album is not None else None,
            make=part.make or "",
            model=part.model or "",
            lens_model=part.lens_model or "",
        )

    def _names(self) -> list[str]:
        """Every place that somebody may be sent to, to be asked for at once."""
        names: list[str] = []
        for part in (part for parts in self._parts.values() for part in parts):
            if isinstance(part.wanted, Path):
                names.append(str(part.wanted))
                if part.row.sidecar_path:
                    names += [f"{part.wanted}{SIDECAR_SUFFIX}", f"{part.row.original_path}{SIDECAR_SUFFIX}"]
        return names

    def _plan_part(self, part: _Part, least_number: int) -> "_PartPlan":
        pending = self._pending.get(part.row.id, ())
        if begun := [move for move in pending if move.state == queries.INTENDED]:
            return _PartPlan(tuple(file_move(self._context, part.row, move) for move in begun), begun=True)
        if isinstance(part.wanted, str):
            return _PartPlan(reason=part.wanted)
        files = self._files(part.row, part.wanted, least_number)
        if {file.path_type for file in files} & {move.path_type for move in pending}:
            return _PartPlan(in_use=True)
        self._taken.update(file.target for file in files)
        return _PartPlan(tuple(files))

    def _files(self, row: Any, wanted: Path, least_number: int) -> list[FileMove]:
        place = Path(row.original_path)
        files: list[FileMove] = []
        if number_in(place, wanted) is None:
            place = self._free(wanted, row.sidecar_path, least_number)
            files.append(file_move(self._context, row, _new(queries.ORIGINAL, row.original_path, place)))
        beside = f"{place}{SIDECAR_SUFFIX}"
        if row.sidecar_path and row.sidecar_path != beside and (files or beside not in self._taken):
            files.append(file_move(self._context, row, _new(queries.SIDECAR, row.sidecar_path, beside)))
        return files

    def _free(self, wanted: Path, sidecar: str | None, least_number: int) -> Path:
        """`wanted`, or what comes next to it that no row names, nor the place of its sidecar if it has one."""
        names = {str(wanted), f"{wanted}{SIDECAR_SUFFIX}"} if sidecar else {str(wanted)}
        if not least_number and not names & self._taken:
            return wanted
        if wanted not in self._numbers:
            self._numbers[wanted] = self._numbers_beside(wanted)
        number = max(1, least_number)
        while number in self._numbers[wanted]:
            number += 1
        self._numbers[wanted].add(number)
        return numbered(wanted, number)

    def _numbers_beside(self, wanted: Path) -> set[int]:
        beside = queries.claimed_beside(self._context.session, str(wanted.with_name(wanted.stem)))
        names = {path.removesuffix(suffix) for path in beside for suffix in ("", SIDECAR_SUFFIX)}
        found = {number_in(Path(name), wanted) for name in names}
        return {number for number in found if number is not None}


@dataclass(frozen=True, slots=True)
class _Written:
    """A move as the log has it."""

    id: str
    path_type: str
    old_path: str
    new_path: str
    is_new: bool = False


def _new(path_type: str, old_path: str, new_path: Path | str) -> _Written:
    return _Written(str(uuid.uuid4()), path_type, old_path, str(new_path), is_new=True)


def file_move(context: Context, row: Any, written: Any) -> FileMove:
    """One file of the asset in `row` on its way, as it is written down; `written`: a row of the log, or what becomes
    one."""
    original = written.path_type == queries.ORIGINAL
    verify = context.config.storage_template.hash_verification_enabled and row.checksum_algorithm == "sha1"
    return FileMove(
        move_id=written.id,
        entity_id=row.id,
        path_type=written.path_type,
        source=written.old_path,
        target=written.new_path,
        sha1=bytes(row.checksum) if original and verify else None,
        size_bytes=row.file_size_bytes if original else None,
        resumed=not getattr(written, "is_new", False),
    )


@dataclass(frozen=True, slots=True)
class _PartPlan:
    files: tuple[FileMove, ...] = ()
    begun: bool = False
    in_use: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """`begun`: what an earlier attempt began is ended first, then it must be asked anew. `in_use`: it has just moved,
    and its old name is still there. `reason`: why nothing moves, where not all lies where it should."""

    move: AssetMove
    begun: bool = False
    in_use: bool = False
    reason: str = ""


def _in_server_zone(time: datetime) -> datetime:
    return time.astimezone()


def _album_facts(album: queries.AlbumRow, taken_at: datetime) -> AlbumFacts:
    return AlbumFacts(
        album.name,
        _in_server_zone(album.start_at) if album.start_at else taken_at,
        _in_server_zone(album.end_at) if album.end_at else taken_at,
    )


def intend(context: Context, moves: Iterable[AssetMove]) -> None:
    """Write down what is about to move and is not written down yet."""
    files = [file for move in moves for file in move.files if not file.resumed]
    queries.intend(context.session, files, context.now)


def move_asset(move: AssetMove, token: str, touched: set[Path]) -> Moved:
    """Give the files their new names. Raises OSError where another attempt may help, with nothing lost."""
    done: list[FileMove] = []
    stays: list[tuple[FileMove, str]] = []
    withdrawn: list[FileMove] = []
    occupied: int | None = None
    for part in move.parts:
        moved, free_from = _move_part(part, token, touched, stays)
        if free_from is None:
            done += moved
        else:
            occupied = max(free_from, occupied or 0)
            withdrawn += part
    return Moved(move.asset_id, move.original_file_name, tuple(done), tuple(stays), tuple(withdrawn), occupied)


def _move_part(
    part: Sequence[FileMove], token: str, touched: set[Path], stays: list[tuple[FileMove, str]]
) -> tuple[list[FileMove], int | None]:
    done: list[FileMove] = []
    for file in part:
        try:
            named = add_name(file, token, touched)
        except Problem as problem:
            stays.append((file, str(problem)))
            continue
        if named is Named.OCCUPIED:
            for earlier in done:  # the files of one asset share a name, so none of them keeps this one
                drop_old_name(Path(earlier.target), Path(earlier.source), may_change=False)
            name = file.target.removesuffix(SIDECAR_SUFFIX) if file.path_type == queries.SIDECAR else file.target
            return [], 1 + max(numbers_taken(_without_number(Path(name)), (SIDECAR_SUFFIX,)), default=0)
        done.append(file)
    return done, None


def _without_number(path: Path) -> Path:
    return path.with_name(re.sub(r"\+[1-9][0-9]*$", "", path.stem) + path.suffix)


def save_moved(context: Context, ends: Sequence[Moved]) -> None:
    """From now on the rows say where the files are."""
    done = [file for end in ends for file in end.done]
    placed = queries.place(context.session, done, context.now)
    lost = [file for file in done if file.move_id not in placed]
    if lost:  # their rows are gone, or name another file by now
        context.store.enqueue(context.session, [delete_files([file.target for file in lost])])
    stays = [(file, reason) for end in ends for file, reason in end.stays]
    for _, reason in stays:
        logger.warning("%s", reason)
    over = [*lost, *(file for file, _ in stays), *(file for end in ends for file in end.withdrawn)]
    queries.forget(context.session, [file.move_id for file in over])


def clear_old_names() -> NewJob:
    """The job that takes old names away, for all that moves in the next seconds; at most one of its kind waits."""
    name = JobName.STORAGE_TEMPLATE_MIGRATION
    return NewJob(name, {"phase": "clear"}, Priority.BACKLOG, IN_USE_S, dedup_key=f"{name}:clear")


def move_one(asset_id: str, least_number: int | None = None) -> NewJob:
    """The job that moves one asset, in place of whoever could not. `least_number`: see Planner."""
    job = asset_job(JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE, asset_id)
    if least_number is None:
        return job
    payload = {**job.payload, "number": least_number}
    return NewJob(job.name, payload, job.priority, dedup_key=job.dedup_key, asset_id=asset_id)
