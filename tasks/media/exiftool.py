"""One stay-open exiftool per process: ask for a file's tags without paying for a start (8–14 ms of CPU, not 250).

pyexiftool speaks the protocol; what surrounds it is ours. When its child dies, pyexiftool 0.5 reads end-of-file in a
busy loop for ever; a child that hangs blocks it for ever; and it forks a Python child, which a process with threads
must not. So the child is started and read from here, with a deadline.
"""

import contextlib
import json
import logging
import os
import select
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from exiftool import exiftool as pyexiftool

from cluster.errors import ProgramFailed, ProgramMissing, ProgramTimeout, TooLarge, UnreadableMedia

Tags = Mapping[str, Any]
"""Tag name → value, as exiftool's JSON has it: text, numbers, lists, and dictionaries for structures."""

READ_TIMEOUT_S: Final = 120.0
ANSWER_LIMIT_BYTES: Final = 32 << 20
XMP_LIMIT_BYTES: Final = 16 << 20
DYING_S: Final = 1.0
FILES_PER_CHILD: Final = 2_000  # perl gives no memory back: a fresh child now and then keeps it small

_log = logging.getLogger(__name__)
_HINT = "install the package libimage-exiftool-perl"

# The first mention of a tag wins, so what is wanted as a number stands before -all. No list of tags instead: exiftool
# reads all of them anyway and then spends 1–3 ms more on picking. No -fast: it drops what stands behind the picture.
_NUMERIC_TAGS = ("Orientation", "Rotation", "GPSLatitude", "GPSLongitude", "FocalLength", "Duration")
_OPTIONS = (
    *("-json", "-struct", "-use", "MWG", "-charset", "filename=utf8", "-api", "LargeFileSupport=1"),
    *(f"-{tag}#" for tag in _NUMERIC_TAGS),
    "-all",
)


class ExifTool:
    """Reads tags through one child process, one file at a time; threads wait for each other.

    The child starts at the first read, is replaced when it dies, hangs or has read 2,000 files, and dies with the
    thread that started it (Linux ties a death signal to that thread): a later read then starts another.
    """

    def __init__(self, program: str = "exiftool") -> None:
        self._program = program
        self._child: _Child | None = None
        self._lock = threading.Lock()

    def read(self, path: Path, *, video: bool = False, timeout_s: float = READ_TIMEOUT_S) -> Tags:
        """The tags of a file; `video` also reads what is embedded along the track. Absent tags are absent keys.

        A file that exiftool cannot read (or that is not there, or no file) gives no tags and a warning in the log.
        Raises ProgramTimeout when there is no answer within `timeout_s`, ProgramFailed when exiftool dies without a
        file, too, ProgramMissing without exiftool; either way the next call works. Source: spec jobs-media §1.1.
        """
        with self._lock, _readable_name(path) as name:
            if name is None:
                return {}
            arguments = [*(option.encode() for option in _OPTIONS), *([b"-ee"] if video else []), name]
            answer = self._ask(arguments, time.monotonic() + timeout_s, timeout_s)
        return _tags_in(answer, path)

    def edit_xmp(self, source: Path | None, arguments: Sequence[str], *, timeout_s: float = READ_TIMEOUT_S) -> bytes:
        """The content of the XMP file `source` (None: of an empty one) after these assignments, with values written
        as HTML; `source` itself stays as it is.

        Raises UnreadableMedia when exiftool will not take the file, TooLarge, ProgramTimeout, ProgramFailed,
        ProgramMissing, OSError.
        """
        with tempfile.TemporaryDirectory(prefix="heliostat-xmp-") as folder:
            before, after = Path(folder, "before.xmp"), Path(folder, "after.xmp")
            files = [str(after)]
            if source is not None:
                before.write_bytes(_xmp_bytes(source))
                files = ["-o", str(after), str(before)]
            command = [line.encode() for line in ("-E", "-m", "-charset", "filename=utf8", *arguments, *files)]
            with self._lock:
                self._ask(command, time.monotonic() + timeout_s, timeout_s)
                said = self._child.complaint if self._child else ""
            if not after.is_file():
                raise UnreadableMedia(
                    source or "a new sidecar", said.removesuffix(f" - {before}") or "exiftool writes nothing"
                )
            return after.read_bytes()

    def extract(self, path: Path, tag: str, to: Path, *, timeout_s: float = READ_TIMEOUT_S) -> bool:
        """Write the binary value of `tag` to the file `to`; False where there is none.

        Raises ProgramTimeout, ProgramFailed, ProgramMissing, OSError.
        """
        with tempfile.TemporaryDirectory(prefix=".heliostat-", dir=to.parent) as folder, self._lock:
            with _readable_name(path) as name:
                if name is None:
                    return False
                form = f"{folder}/value".replace("%", "%%").encode()
                self._ask(
                    [b"-b", b"-api", b"LargeFileSupport=1", f"-{tag}".encode(), b"-W!", form, name],
                    time.monotonic() + timeout_s,
                    timeout_s,
                )
            value = Path(folder, "value")
            if not value.is_file() or not value.stat().st_size:
                return False
            value.replace(to)
            return True

    def close(self) -> None:
        """End the child. A later read starts another."""
        with self._lock:
            self._drop_child()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """The child's process id, which is also its group's; None while there is none."""
        return self._child.process_id if self._child else None

    def _ask(self, arguments: list[bytes], deadline: float, timeout_s: float) -> bytes:
        """The child's answer, none where every child dies of the question. One that dies on the way is replaced once:
        the file may not be to blame; then exiftool has to show that it works at all."""
        for question in (arguments, arguments, [b"-ver"]):
            child = self._living_child()
            try:
                answer = child.ask(question, deadline)
            except TimeoutError as error:
                self._drop_child()
                raise ProgramTimeout(self._program, timeout_s) from error
            except (EOFError, BrokenPipeError):
                last_words = child.last_words()
                self._drop_child()
                continue
            except BaseException:  # interrupted half-way: the rest of that answer must not be taken for the next one
                self._drop_child()
                raise
            return answer if question is arguments else b""
        raise ProgramFailed(self._program, *last_words)

    def _living_child(self) -> "_Child":
        if self._child is not None and self._child.files_read >= FILES_PER_CHILD:
            self._drop_child()
        if self._child is None:
            found = shutil.which(self._program)
            if found is None:
                raise ProgramMissing(self._program, _HINT)
            self._child = _Child(found)
        return self._child

    def _drop_child(self) -> None:
        if self._child is not None:
            self._child.end()
            self._child = None


class _Child(pyexiftool.ExifTool):  # type: ignore[misc]  # the package has no types
    """pyexiftool with a start that threads survive and reads that end. Any error leaves it unusable: `end` it."""

    def __init__(self, program: str) -> None:
        super().__init__(program, common_args=None, encoding="utf-8")
        self.files_read = 0
        self.run()

    def run(self) -> None:
        """Start the process, in a group of its own that dies with this thread."""
        # setpriv becomes exiftool after asking for the death signal; a fork of ours for that is unsafe with threads
        wrapper = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
        self._process = subprocess.Popen(
            [*wrapper, self.executable, "-config", "", "-stay_open", "True", "-@", "-"],  # no config: it is perl
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            bufsize=0,
        )
        self.process_id: int = self._process.pid
        self._running = True

    def ask(self, arguments: list[bytes], deadline: float) -> bytes:
        """What exiftool prints for one command. Raises TimeoutError past the deadline (monotonic seconds), EOFError
        or BrokenPipeError when the child is gone, or says more than anybody should."""
        if self._process.poll() is not None:  # pyexiftool would warn, and raise something of its own
            raise EOFError
        _reading.deadline = deadline
        answer: bytes = self.execute(*arguments, raw_bytes=True)
        self.files_read += 1
        return answer

    @property
    def complaint(self) -> str:
        """The first line of what the last command complained about."""
        text = (self._last_stderr or b"").decode(errors="replace").strip()
        return text.splitlines()[0] if text else ""

    def last_words(self) -> tuple[int, str]:
        """Of a child that is dying: its exit status, and what it has complained about."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(DYING_S)
        assert self._process.stderr is not None
        said = self._process.stderr.fileno()
        heard = os.read(said, 1 << 16) if select.select([said], [], [], 0)[0] else b""
        return self._process.returncode or 0, heard.decode(errors="replace")

    def end(self) -> None:
        """Kill the whole process group and reap the child."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process_id, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()
        self._flag_running_false()


_reading = threading.local()
"""`deadline` of the read that this thread is in: pyexiftool's reader has no argument for it."""


def _read_until(descriptor: int, mark: bytes, block_size: int) -> bytes:
    """Read until `mark`, by the deadline. Takes the place of pyexiftool's reader, which neither ends at end-of-file nor
    ever gives up. Raises TimeoutError, EOFError."""
    answer = bytearray()
    while not answer[-len(mark) - 4 :].strip().endswith(mark):
        left_s = _reading.deadline - time.monotonic()
        if left_s <= 0 or not select.select([descriptor], [], [], left_s)[0]:
            raise TimeoutError
        chunk = os.read(descriptor, 1 << 16)
        if not chunk or len(answer) > ANSWER_LIMIT_BYTES:
            raise EOFError
        answer += chunk
    return bytes(answer)


pyexiftool._read_fd_endswith = _read_until


def _tags_in(answer: bytes, path: Path) -> Tags:
    try:
        found = json.loads(answer.decode(errors="replace"))
        tags: dict[str, Any] = found[0]
    except (ValueError, LookupError, TypeError, RecursionError):
        _log.warning("exiftool cannot read %s", path)
        return {}
    if "Error" in tags:
        _log.warning("exiftool cannot read %s: %s", path, tags["Error"])
        return {}
    return tags


@contextlib.contextmanager
def _readable_name(path: Path) -> Iterator[bytes | None]:
    """The line that names a file to exiftool for the time of one read; None when there is no file to read."""
    try:
        is_file = stat.S_ISREG(path.stat().st_mode)
    except OSError as error:
        _log.warning("cannot read tags of %s: %s", path, error.strerror)
        yield None
        return
    if not is_file:  # exiftool would walk through a folder and wait at a pipe
        _log.warning("cannot read tags of %s: not a file", path)
        yield None
        return
    text = _text_of_utf16_sidecar(path)
    line = argument_line(path)
    if line is not None and text is None:
        yield line
        return
    with tempfile.TemporaryDirectory(prefix="heliostat-tags-") as folder:
        suffix = path.suffix if path.suffix[1:].isalnum() else ""
        stand_in = Path(folder, f"file{suffix}")
        if text is None:
            stand_in.symlink_to(path.absolute())
        else:
            stand_in.write_text(text, encoding="utf-8")
        yield os.fsencode(stand_in)


def argument_line(path: Path) -> bytes | None:
    r"""One line of an exiftool argument file that means this path and nothing else.

    An absolute path is no option, no comment and has no leading space, so it may stand as it is. Only line ends need
    the form `#[CSTR]`, a C string; that form cannot say `$` or `@` (exiftool 12.57 leaves `\$`): None for those few.
    """
    name = os.fsencode(path.absolute())
    if not set(b"\r\n") & set(name):
        return name
    if set(b"$@") & set(name):
        return None
    escapes = {b"\\": rb"\\", b"\n": rb"\n", b"\r": rb"\r", b'"': rb"\""}
    for plain, escaped in escapes.items():
        name = name.replace(plain, escaped)
    return b"#[CSTR]" + name


def _xmp_bytes(path: Path) -> bytes:
    """A sidecar as exiftool takes it. Raises TooLarge, OSError."""
    size_bytes = path.stat().st_size
    if size_bytes > XMP_LIMIT_BYTES:
        raise TooLarge(path, f"{size_bytes} bytes, at most {XMP_LIMIT_BYTES} are read of a sidecar")
    text = _text_of_utf16_sidecar(path)
    return path.read_bytes() if text is None else text.encode(errors="replace")


def _text_of_utf16_sidecar(path: Path) -> str | None:
    """The text of a UTF-16 sidecar that begins with a packet mark: exiftool takes it for doubly encoded UTF-8 and finds
    nothing in it, though photo programs on Windows write such files. None for any other file."""
    if path.suffix.lower() != ".xmp":
        return None
    data = path.read_bytes()
    if data[:2] not in (b"\xff\xfe", b"\xfe\xff"):
        return None
    return data.decode("utf-16", errors="replace")
