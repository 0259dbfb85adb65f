"""A person's own picture: taken in, shown to everybody, deleted. Source: spec/openapi.json, spec/jobs-media.md §7.

What is kept is a small JPEG that we made, never the file that came: that one goes when the request ends.
"""

import logging
import sys
import tempfile
import uuid
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from cluster.db.queries import users
from cluster.db.tables.user import User
from cluster.errors import BadRequest, NotFound, PathEscapes, ProgramFailed, ProgramTimeout
from cluster.storage.files import unlink_quietly, write_atomically
from cluster.storage.layout import Folder, inside
from serve_app.deps import Services
from serve_app.multipart import FileSink, MultipartMalformed, PartStarted
from serve_app.services.serve_media import ServedFile
from serve_app.services.upload import clean_file_name
from tasks.jobs.delete_files import delete_files
from tasks.media.formats import is_profile_image
from tasks.media.profile_picture import LIMITS
from tasks.media.programs import run_program

log = logging.getLogger(__name__)

FIELD = "file"
DRAW_TIMEOUT_S = 30.0


class ProfileImageUpload:
    """The form that brings a picture. Give `open_file` to the multipart reader; then `accept`, and always `discard`."""

    def __init__(self, services: Services, user_id: str) -> None:
        self._services, self._user_id = services, user_id
        self._file: ReceivedPicture | None = None

    def open_file(self, part: PartStarted, texts: Mapping[str, str]) -> FileSink | None:
        """Raises BadRequest for a kind of file that is no picture for this."""
        if part.name != FIELD:
            return None
        if self._file is not None:
            raise MultipartMalformed("Unexpected field")
        name = clean_file_name(part.file_name or "")
        if not is_profile_image(name):
            raise BadRequest(f"Unsupported file type {name}")
        self._file = ReceivedPicture(name)
        return self._file

    def accept(self) -> User:
        """The user, with their new picture; the one before goes by a job. Raises BadRequest. Blocks."""
        if self._file is None:
            raise BadRequest(f"Field(s) {FIELD} should not be empty")
        drawn = self._file.drawn()
        path = self._services.layout.profile_path(self._user_id, uuid.uuid4(), ".jpeg")
        write_atomically(path, drawn, durable=True)
        try:
            return _show(self._services, self._user_id, str(path), self._services.clock.now())
        except BaseException:
            unlink_quietly(path)
            raise

    def discard(self) -> None:
        """Blocks."""
        if self._file is not None:
            self._file.close()


class ReceivedPicture:
    """A picture as it came, for as long as its request takes."""

    def __init__(self, name: str) -> None:
        self._name, self._size_bytes = name, 0
        self._file = tempfile.NamedTemporaryFile(prefix="heliostat-profile-")  # noqa: SIM115 - closed by `close`

    def write(self, data: bytearray) -> None:
        """Raises BadRequest for one that is too large."""
        self._size_bytes += len(data)
        if self._size_bytes > LIMITS.max_file_bytes:
            raise BadRequest(f"The picture is larger than {LIMITS.max_file_bytes >> 20} MiB")
        self._file.write(data)

    def finish(self) -> None:
        self._file.flush()

    def drawn(self) -> bytes:
        """As a small JPEG. Raises BadRequest for what is no picture."""
        command = [sys.executable, "-m", "tasks.media.profile_picture", self._file.name, self._name]
        try:
            return run_program(command, timeout_s=DRAW_TIMEOUT_S).stdout
        except (ProgramFailed, ProgramTimeout) as error:
            log.warning("no profile picture from %s: %s", self._name, error)
            raise BadRequest("The picture cannot be read") from error

    def close(self) -> None:
        self._file.close()


def delete_profile_image(services: Services, user_id: str) -> None:
    """Raises BadRequest when there is none. Blocks."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
    if user is None or not user.profile_image_path:
        raise BadRequest("Can't delete a missing profile Image")
    _show(services, user_id, "", services.clock.now())


def profile_image(services: Services, user_id: str) -> ServedFile:
    """Raises BadRequest for nobody, NotFound for somebody without a picture. Blocks."""
    with services.database.reader() as session:
        user = users.by_id(session, user_id)
    if user is None:
        raise BadRequest("User not found")
    try:
        path = inside(services.layout.folder(Folder.PROFILE), Path(user.profile_image_path))
    except PathEscapes:
        raise NotFound("User does not have a profile image") from None
    return ServedFile(path, "image/jpeg", path.name)


def _show(services: Services, user_id: str, path: str, now: datetime) -> User:
    """The user is shown by this file from now on, by none where it is empty."""
    with services.database.session(durable=True) as session:
        user = session.get_one(User, user_id, with_for_update=True)
        if user.profile_image_path:
            services.store.enqueue(session, [delete_files([user.profile_image_path])])
        user.profile_image_path, user.profile_changed_at, user.updated_at = path, now, now
    return user
