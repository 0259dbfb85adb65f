"""Makes a video anew with ffmpeg: tells how far it is, ends with its job, tries software where hardware fails.

ffmpeg runs at niceness 10, so that a node answers while it encodes. Source: spec jobs-media §3.2, §3.3.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from cluster.errors import EncodeFailed, NoSpace, ProgramFailed, SourceMissing, UnreadableVideo
from tasks.media.probe import DEMUXERS, VideoFacts
from tasks.media.programs import run_program, watch_program
from tasks.media.renditions import Limits
from tasks.media.transcode import Need, TranscodeSettings
from tasks.media.transcode_arguments import Machine, Recipe, recipe, ways

log = logging.getLogger(__name__)

NICENESS: Final = 10
QUIET_S: Final = 600.0
"""ffmpeg tells every second. Nothing new for so long: it hangs. Moving the index of a long video to its front, about
which it says nothing, takes a minute or two."""
TOTAL_S: Final = 24 * 3600.0

_FULL_DISK: Final = "No space left on device"
_FOLDER_OF_DEVICES: Final = Path("/dev/dri")


@dataclass(frozen=True, slots=True)
class Watch:
    """Who hears how far it is (0 to 1) and says when to end."""

    progress: Callable[[float], None] = lambda share: None
    cancelled: threading.Event = field(default_factory=threading.Event)


@cache
def this_machine() -> Machine:
    """What this node has. Asked once per process."""
    listed = run_program(["ffmpeg", "-v", "error", "-hide_banner", "-filters"], timeout_s=30).stdout.decode()
    filters = frozenset(words[1] for line in listed.splitlines() if len(words := line.split()) > 2)
    devices = _FOLDER_OF_DEVICES.iterdir() if _FOLDER_OF_DEVICES.is_dir() else ()
    return Machine(tuple(sorted(device.name for device in devices)), filters)


def encode(
    source: Path, target: Path, facts: VideoFacts, need: Need, settings: TranscodeSettings, watch: Watch
) -> None:
    """Write `target`, an MP4 with what `need` asks for, by the first way that works.

    Raises SourceMissing, UnreadableVideo and EncodeFailed, where a retry cannot help; NoSpace, ProgramFailed (killed),
    ProgramTimeout, Cancelled, ProgramMissing. Nothing of `target` is left then.
    """
    if not facts.width_px or not facts.height_px:
        raise UnreadableVideo(source, f"its frames are {facts.width_px} x {facts.height_px} pixels")
    *better, last = ways(settings) if need.video else ways(settings)[-1:]
    for way in better:
        try:
            run_recipe(source, target, recipe(facts, need, way, this_machine()), facts, watch)
            return
        except EncodeFailed as error:
            log.warning("%s with %s failed, trying without: %s", source, way.accel, error)
    run_recipe(source, target, recipe(facts, need, last, this_machine()), facts, watch)


def run_recipe(
    source: Path,
    target: Path,
    made: Recipe,
    facts: VideoFacts,
    watch: Watch,
    *,
    seek: Sequence[str] = (),
    expected_s: float | None = None,
    faststart: bool = True,
) -> str:
    """Run ffmpeg once, or twice for two passes. Returns what it complained of.

    `seek`: options before the input that choose a part of it, `expected_s` long; else it is the whole.
    """
    if not source.is_file():
        raise SourceMissing(source, "no such file")
    length_s = expected_s if expected_s is not None else (facts.duration_ms or 0) / 1000
    head = [
        *("ffmpeg", "-hide_banner", "-v", "error", "-nostdin", "-y", "-nostats", "-progress", "pipe:1"),
        *(*made.before, *seek, "-max_pixels", str(Limits().max_decoded_pixels)),
        *("-protocol_whitelist", "file", "-format_whitelist", DEMUXERS, "-i", f"file:{source}", *made.after),
    ]
    fast = ["-movflags", "faststart"] if faststart else []
    tail = [*fast, "-f", "mp4", f"file:{target}"]
    with _leaving_nothing_on_error(target), _passes(target) as log_options:
        if not made.two_pass:
            return _run(source, [*head, *tail], _Progress(watch, length_s), watch)
        first = [*head, *log_options, "-pass", "1", "-f", "null", "/dev/null"]
        _run(source, first, _Progress(watch, length_s, 0.0, 0.5), watch)
        second = [*head, *log_options, "-pass", "2", *tail]
        return _run(source, second, _Progress(watch, length_s, 0.5, 1.0), watch)


def _run(source: Path, command: Sequence[str], progress: "_Progress", watch: Watch) -> str:
    try:
        return watch_program(
            command, progress.hear, cancelled=watch.cancelled, quiet_s=QUIET_S, timeout_s=TOTAL_S, niceness=NICENESS
        )
    except ProgramFailed as error:
        if _FULL_DISK in error.stderr_tail:
            raise NoSpace(f"{source}: {_FULL_DISK}") from error
        if error.exit_code < 0:  # killed from outside, which says nothing about the video
            raise
        raise EncodeFailed(error.program, error.exit_code, error.stderr_tail) from error


@contextmanager
def _leaving_nothing_on_error(target: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@contextmanager
def _passes(target: Path) -> Iterator[list[str]]:
    """Where the first pass leaves its notes for the second."""
    prefix = target.with_name(f"{target.name}.pass")
    try:
        yield ["-passlogfile", str(prefix)]
    finally:
        for notes in target.parent.glob(f"{prefix.name}-*"):
            notes.unlink(missing_ok=True)


class _Progress:
    """Hears ffmpeg's `key=value` lines; tells the share of `length_s`, between `start` and `end`."""

    def __init__(self, watch: Watch, length_s: float, start: float = 0.0, end: float = 1.0) -> None:
        self._watch, self._length_s = watch, length_s
        self._start, self._end = start, end
        self._seen: dict[str, str] = {}

    def hear(self, line: str) -> bool:
        """Whether the line says that more is done than before."""
        key, _, value = line.partition("=")
        if key not in ("out_time_us", "frame", "total_size") or self._seen.get(key) == value:
            return False
        self._seen[key] = value
        if key == "out_time_us" and self._length_s > 0 and value.lstrip("-").isdigit():
            share = min(1.0, max(0.0, int(value) / 1e6 / self._length_s))
            self._watch.progress(self._start + share * (self._end - self._start))
        return True
