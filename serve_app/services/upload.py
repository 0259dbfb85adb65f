"""Takes a photo or video in: bytes to disk as they come, then file, rows and first job in one durable moment.

A person is told "created" only when the file and its row survive a power cut; whatever fails before leaves nothing.
Source: spec/api.md §4.1, spec/pipeline.md §2.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import insert, true
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from cluster.db.queries import assets
from cluster.db.queries.shared_links import KnownLink
from cluster.db.tables.asset import Asset, AssetExif, AssetFile
from cluster.errors import BadRequest, UploadTooLarge
from cluster.queue.job import NewEvent
from cluster.storage.incoming import IncomingFile
from serve_app.deps import Services
from serve_app.multipart import FileSink, MultipartMalformed, PartStarted
from serve_app.services.link_assets import join_link
from tasks.media.formats import extension, is_asset, is_sidecar, is_video
from tasks.pipeline import after_upload

ASSET, SIDECAR = "assetData", "sidecarData"
NAME_LIMIT_CHARACTERS = 255
MB = 1_000_000
FORM_BYTES = 2 * MB
"""More than all of a form that is no file: its texts and the lines between."""


@dataclass(frozen=True, slots=True)
class UploadDetails:
    """What the form says of its file. `file_name` overrides the part's own."""

    file_created_at: datetime
    file_modified_at: datetime
    file_name: str | None = None
    duration_ms: int | None = None
    favorite: bool = False
    visibility: str = assets.TIMELINE
    live_photo_video_id: str | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`created` False: the user had it already, as `asset_id`."""

    asset_id: str
    created: bool


class Upload:
    """One upload of one user, or by a `link` of theirs, which then shows it. Give `open_file` to the multipart reader;
    then `accept`, or `discard` after any failure.

    `accept` and `discard` block.
    """

    def __init__(self, services: Services, user_id: str, link: KnownLink | None = None) -> None:
        self._services = services
        self._user_id = user_id
        self._link = link
        self._files: dict[str, IncomingFile] = {}
        self._part_name = ""
        self._in_doubt = False
        self._taken_bytes = 0

    def open_file(self, part: PartStarted, texts: Mapping[str, str]) -> FileSink | None:
        """Where a file of the form goes. Raises BadRequest for a kind that we do not take, before it is read."""
        if part.name not in (ASSET, SIDECAR):
            return None
        if part.name in self._files:
            raise MultipartMalformed("Unexpected field")
        name = clean_file_name(part.file_name or "")
        if part.name == ASSET:
            self._part_name = name
            name = clean_file_name(texts.get("filename", "")) or name
        if not (is_asset(name) if part.name == ASSET else is_sidecar(name)):
            raise BadRequest(f"Unsupported file type {name}")
        file = IncomingFile(self._services.layout, self._user_id, uuid.uuid4(), extension(name))
        self._files[part.name] = file
        return _Counted(self, file)

    def announced(self, content_length: str) -> None:
        """How long the whole form says that it is. Raises UploadTooLarge before any of it is read."""
        if content_length.isdecimal():
            self._check_limit(int(content_length) - FORM_BYTES)

    def take(self, size_bytes: int) -> None:
        """So much more of its files has come. Raises UploadTooLarge."""
        self._taken_bytes += size_bytes
        self._check_limit(self._taken_bytes)

    def _check_limit(self, size_bytes: int) -> None:
        limit_mb = self._services.settings.upload_limit_mb
        if 0 < limit_mb * MB < size_bytes:
            raise UploadTooLarge(limit_mb)

    def accept(self, details: UploadDetails) -> Uploaded:
        """The form is complete. Raises BadRequest; then, too, nothing stays."""
        try:
            return self._accept(details if self._link is None else _as_a_visitor(details))
        finally:
            self.discard()

    def discard(self) -> None:
        """Delete what was not accepted. Where nobody knows, it stays for `cleanup_incoming` to ask the database."""
        for file in self._files.values():
            file.leave() if self._in_doubt else file.discard()
        self._files.clear()

    def _accept(self, details: UploadDetails) -> Uploaded:
        file = self._files.get(ASSET)
        if file is None:
            raise BadRequest("Field(s) assetData should not be empty")
        if file.size_bytes == 0:
            raise BadRequest("File is empty")
        name = clean_file_name(details.file_name or "") or self._part_name
        if not is_asset(name):
            raise BadRequest(f"Unsupported file type {name}")
        if extension(name) != file.final_path.suffix:
            file.change_extension(extension(name))
        known = find_upload(self._services, self._user_id, file.sha1)
        if known is not None:
            return self._known(known)
        for written in self._written():
            written.publish(details.file_modified_at)
        return self._commit(str(uuid.uuid4()), name, details)

    def _known(self, known: Uploaded) -> Uploaded:
        if self._link is not None:
            with self._services.database.session(durable=True) as session:
                join_link(self._services, session, self._link, known.asset_id)
        return known

    def _written(self) -> list[IncomingFile]:
        return [file for file in self._files.values() if file.size_bytes]

    def _commit(self, asset_id: str, name: str, details: UploadDetails) -> Uploaded:
        try:
            try:
                self._transact(asset_id, name, details)
            except DBAPIError:
                if not self._in_doubt:
                    raise
                # The connection broke within the commit. Once more, and we know: it works, or the rows are there.
                self._transact(asset_id, name, details)
        except IntegrityError:
            known = find_upload(self._services, self._user_id, self._files[ASSET].sha1)
            if known is None:
                raise
            self._in_doubt = False
            if known.asset_id != asset_id:
                return self._known(known)  # the same file came at the same time, and was first
        for file in self._files.values():
            file.settle()
        self._files.clear()
        return Uploaded(asset_id, created=True)

    def _transact(self, asset_id: str, name: str, details: UploadDetails) -> None:
        with self._services.database.session(durable=True) as session:
            self._write_rows(session, asset_id, name, details)
            session.flush()
            self._in_doubt = True
        self._in_doubt = False

    def _write_rows(self, session: Session, asset_id: str, name: str, details: UploadDetails) -> None:
        now = self._services.clock.now()
        file = self._files[ASSET]
        if details.live_photo_video_id is not None:
            self._hide_motion_part(session, details.live_photo_video_id, now)
        session.execute(insert(Asset).values(**self._asset_row(asset_id, name, details, now)))
        session.execute(insert(AssetExif).values(asset_id=asset_id, file_size_bytes=file.size_bytes, updated_at=now))
        sidecar = self._files.get(SIDECAR)
        if sidecar is not None and sidecar.size_bytes:
            session.execute(insert(AssetFile).values(**_sidecar_row(asset_id, sidecar, now)))
        assets.put_metadata(session, asset_id, details.metadata, now)
        if self._link is not None:
            session.flush()
            join_link(self._services, session, self._link, asset_id)
        self._services.store.enqueue(session, [after_upload(asset_id)])
        # Last, since it locks the user's row, and with it all other uploads of this user, until the commit.
        if not assets.use_quota(session, self._user_id, file.size_bytes):
            raise BadRequest("Quota has been exceeded!")

    def _asset_row(self, asset_id: str, name: str, details: UploadDetails, now: datetime) -> dict[str, Any]:
        file = self._files[ASSET]
        return {
            "id": asset_id,
            "owner_id": self._user_id,
            "type": assets.VIDEO if is_video(name) else assets.IMAGE,
            "original_path": str(file.final_path),
            "original_file_name": name,
            "checksum": file.sha1,
            "file_created_at": details.file_created_at,
            "file_modified_at": details.file_modified_at,
            "local_date_time": details.file_created_at,
            "duration_ms": details.duration_ms,
            "is_favorite": details.favorite,
            "visibility": details.visibility,
            "live_photo_video_id": details.live_photo_video_id,
            "created_at": now,
            "updated_at": now,
        }

    def _hide_motion_part(self, session: Session, video_id: str, now: datetime) -> None:
        video = check_motion_part(session, video_id, self._user_id)
        if hide_motion_part(video, now):
            self._services.store.emit(session, [NewEvent("asset_hidden", self._user_id, {"asset_id": video_id})])


class _Counted:
    """A file of an upload whose bytes count towards its limit."""

    def __init__(self, upload: Upload, file: IncomingFile) -> None:
        self._upload, self._file = upload, file

    def write(self, data: bytearray) -> None:
        self._upload.take(len(data))
        self._file.write(data)

    def finish(self) -> None:
        self._file.finish()


def hide_motion_part(video: Asset, now: datetime) -> bool:
    """It no longer stands alone in the timeline. Returns whether it did."""
    if video.visibility != assets.TIMELINE:
        return False
    video.visibility, video.updated_at = assets.HIDDEN, now
    return True


def check_motion_part(session: Session, video_id: str, user_id: str, *, with_locked: bool = False) -> Asset:
    """The video, if it can be the moving part of this user's photo. Raises BadRequest."""
    video = session.get(Asset, video_id)
    unlocked = true() if with_locked else assets.unlocked()
    if video is None or not assets.ids_where(session, [video_id], [unlocked]):
        raise BadRequest("Live photo video not found")
    if video.type != assets.VIDEO:
        raise BadRequest("Live photo video must be a video")
    if video.owner_id != user_id:
        raise BadRequest("Live photo video does not belong to the user")
    return video


def find_upload(services: Services, user_id: str, sha1: bytes) -> Uploaded | None:
    """The asset that the user has of this file, in the trash or out of it. One that waits for its deletion is taken
    back, or the file that came would be lost with it. Blocks."""
    with services.database.reader() as session:
        known = assets.known_uploads(session, user_id, [sha1]).get(sha1)
    if known is None or (known.deleted and not _taken_back(services, user_id, known.asset_id)):
        return None
    return Uploaded(known.asset_id, created=False)


def _taken_back(services: Services, user_id: str, asset_id: str) -> bool:
    with services.database.session(durable=True) as session:
        if not assets.take_back(session, asset_id, services.clock.now()):
            return False
        services.store.emit(session, [NewEvent("asset_restore", user_id, {"asset_ids": [asset_id]})])
    return True


def clean_file_name(name: str) -> str:
    """The last part of what a client calls its file: no folders, nothing that a terminal or a database takes amiss."""
    last = PurePosixPath(name.replace("\\", "/")).name
    printable = "".join(sign for sign in last if ord(sign) >= 0x20 and ord(sign) != 0x7F).strip()
    if len(printable) <= NAME_LIMIT_CHARACTERS:
        return printable
    suffix = PurePosixPath(printable).suffix
    return printable[: NAME_LIMIT_CHARACTERS - len(suffix)] + suffix


def _as_a_visitor(details: UploadDetails) -> UploadDetails:
    """What is the owner's to decide stays out: what they like, and what becomes of another file of theirs."""
    if details.live_photo_video_id is not None:
        raise BadRequest("Live photo video not found")
    return replace(details, favorite=False, visibility=assets.TIMELINE, metadata={})


def _sidecar_row(asset_id: str, sidecar: IncomingFile, now: datetime) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "asset_id": asset_id,
        "type": "sidecar",
        "path": str(sidecar.final_path),
        "created_at": now,
        "updated_at": now,
    }
