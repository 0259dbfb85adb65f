"""What the server says of itself."""

import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from functools import cache

from sqlalchemy import func, select

from cluster.db.queries import users
from cluster.db.tables.asset import Asset, AssetExif
from cluster.db.tables.user import User
from serve_app.deps import Services

VERSION = (3, 1, 0)
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, slots=True)
class Usage:
    """What one person's originals take."""

    user: User
    photos: int
    videos: int
    photo_bytes: int
    video_bytes: int


def usage_by_user(services: Services) -> list[Usage]:
    """Photos and videos per person, hidden and deleted ones left out."""
    size = func.coalesce(func.sum(AssetExif.file_size_bytes), 0)
    with services.database.reader() as session:
        rows = session.execute(
            select(Asset.owner_id, Asset.type, func.count(), size)
            .join(AssetExif, AssetExif.asset_id == Asset.id, isouter=True)
            .where(Asset.deleted_at.is_(None), Asset.visibility != "hidden")
            .group_by(Asset.owner_id, Asset.type)
        ).all()
        everyone = users.all_users(session)
    found: dict[tuple[str, str], tuple[int, int]] = defaultdict(lambda: (0, 0))
    found.update({(owner, kind): (int(count), int(taken)) for owner, kind, count, taken in rows})
    return [
        Usage(
            user,
            found[user.id, "IMAGE"][0],
            found[user.id, "VIDEO"][0],
            found[user.id, "IMAGE"][1],
            found[user.id, "VIDEO"][1],
        )
        for user in everyone
    ]


def is_initialized(services: Services) -> tuple[bool, bool]:
    """(an admin exists or may not be made, that admin went through the first steps)."""
    with services.database.reader() as session:
        row = session.execute(select(User.is_onboarded).where(User.is_admin).limit(1)).one_or_none()
    return row is not None or not services.settings.allow_setup, bool(row and row[0])


def disk(services: Services) -> tuple[int, int, int]:
    """Bytes of the media disk: all, used, free."""
    usage = shutil.disk_usage(services.layout.media_root)
    return usage.total, usage.used, usage.free


def human_size(size_bytes: int) -> str:
    """`1.2 TiB`."""
    value = float(size_bytes)
    for unit in UNITS[:-1]:
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} {UNITS[-1]}"


@cache
def program_version(program: str, argument: str, word: int) -> str | None:
    """The version that a program tells, as word `word` of its first line; None when it is not here."""
    path = shutil.which(program)
    if path is None:
        return None
    done = subprocess.run([path, argument], capture_output=True, text=True, timeout=20, check=False)
    words = done.stdout.split("\n", 1)[0].split()
    return words[word] if len(words) > word else None
