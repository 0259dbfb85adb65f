"""What the server knows of itself: its disk, its programs, what its users have, whether it is set up."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from sqlalchemy import func, select

from cluster.db.dialects import unindexed
from cluster.db.queries import notes, users
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.user import User
from serve_app.deps import Services
from tasks.jobs.check_version import NOTE as VERSION_NOTE

VERSION = (3, 1, 0)
"""The release of Immich whose API we speak."""
PROGRAM_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Usage:
    """What one person's originals take."""

    user: User
    photos: int
    videos: int
    photo_bytes: int
    video_bytes: int


@dataclass(frozen=True, slots=True)
class DiskUsage:
    """The disk that holds the media folder. Some of it may be kept for root: used and free need not add up."""

    size_bytes: int
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Programs:
    """Versions; None for a program that is not here."""

    exiftool: str | None
    ffmpeg: str | None


def usage_by_user(services: Services) -> list[Usage]:
    """Photos and videos per person; hidden and trashed ones are left out."""
    with services.database.reader() as session:
        rows = session.execute(
            select(Asset.owner_id, Asset.type, func.count(), func.sum(AssetExif.file_size_bytes))
            .join(AssetExif, AssetExif.asset_id == Asset.id, isouter=True)
            .where(unindexed(Asset.deleted_at).is_(None), Asset.visibility != "hidden")
            .group_by(unindexed(Asset.owner_id), Asset.type)
        )
        found = {(owner, kind): (int(count), int(taken or 0)) for owner, kind, count, taken in rows}
        everyone = users.all_users(session)
    usages = []
    for user in everyone:
        photos, photo_bytes = found.get((user.id, "IMAGE"), (0, 0))
        videos, video_bytes = found.get((user.id, "VIDEO"), (0, 0))
        usages.append(Usage(user, photos, videos, photo_bytes, video_bytes))
    return usages


def is_initialized(services: Services) -> tuple[bool, bool]:
    """(an admin exists or may not be made, that admin went through the first steps)."""
    with services.database.reader() as session:
        onboarded = session.scalar(select(User.is_onboarded).where(User.is_admin).order_by(User.created_at).limit(1))
    return onboarded is not None or not services.settings.allow_setup, bool(onboarded)


def version_check(services: Services) -> Mapping[str, str]:
    """What the last check for a newer release noted; empty when there was none."""
    with services.database.reader() as session:
        return notes.read(session, VERSION_NOTE) or {}


def disk_usage(services: Services) -> DiskUsage:
    usage = shutil.disk_usage(services.layout.media_root)
    return DiskUsage(usage.total, usage.used, usage.free)


@cache
def programs() -> Programs:
    """Asked once per process."""
    return Programs(exiftool=_version_word("exiftool", "-ver", 0), ffmpeg=_version_word("ffmpeg", "-version", 2))


def _version_word(program: str, argument: str, index: int) -> str | None:
    """Word `index` of the first line that the program says."""
    path = shutil.which(program)
    if path is None:
        return None
    said = subprocess.run([path, argument], capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False)
    words = said.stdout.partition("\n")[0].split()
    return words[index] if len(words) > index else None
