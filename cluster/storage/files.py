"""Files that appear whole or not at all, and that outlive a power cut where someone was told they were safe.

Work writes `<final>.<lease token>`; whoever settles the job renames it, so a late attempt never lands. `durable` is for
originals: the file and its folder entries are on disk when the call returns. What can be made again may skip that.
"""

import hashlib
import os
import secrets
from pathlib import Path


def fenced_path(final: str | Path, token: str) -> Path:
    """Where the attempt that holds `token` writes what will be `final`: beside it, so that renaming is one step."""
    if not token or "/" in token:
        raise ValueError(f"no lease token: {token!r}")
    final = Path(final)
    return final.with_name(f"{final.name}.{token}")


def commit_fenced(final: str | Path, token: str, durable: bool = False) -> None:
    """Rename this attempt's file into place. Once done, doing it again changes nothing: settling may be retried.

    Raises FileNotFoundError when the attempt left no file.
    """
    final, fenced = Path(final), fenced_path(final, token)
    if durable and fenced.exists():
        fsync_file(fenced)
    try:
        fenced.replace(final)
    except FileNotFoundError:
        if not final.exists():
            raise
    if durable:
        fsync_folder(final.parent)


def discard_fenced(final: str | Path, token: str) -> None:
    """Delete what an attempt wrote that does not count."""
    unlink_quietly(fenced_path(final, token))


def write_atomically(path: Path, data: bytes, durable: bool = False) -> None:
    """Make `path` hold `data`: readers see the old content or all of the new. Creates folders, leaves no rests."""
    make_folders(path.parent, durable)
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        unlink_quietly(temporary)
        raise
    if durable:
        fsync_folder(path.parent)


def make_folders(folder: Path, durable: bool = False) -> None:
    """Create `folder` and what is missing above it; durable also for the new entries in the folders above."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if durable:
        for created in missing:
            fsync_folder(created.parent)


def fsync_file(path: Path) -> None:
    """Wait until the file's content is on disk."""
    _fsync(path, os.O_RDONLY)


def fsync_folder(path: Path) -> None:
    """Wait until the folder's entries (what was created in it, or renamed into it) are on disk."""
    _fsync(path, os.O_RDONLY | os.O_DIRECTORY)


def sha1_of(path: Path) -> bytes:
    """The file's SHA-1 (20 bytes), read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.sha1(usedforsecurity=False)).digest()


def unlink_quietly(path: Path) -> bool:
    """Delete a file that may be gone already. Returns whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _fsync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
