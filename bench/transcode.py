"""CPU time of a transcode against plain ffmpeg with the same arguments and niceness, and in parts against whole.

The clips are `make_corpus.py`'s, 1080p with noise, one h264 and one hevc; the settings are the defaults, with all
encoded. `transcode.cpu_ratio_to_ffmpeg`: what AssetEncodeVideo's `work` takes, with its Python, of what ffmpeg takes.
`transcode.cpu_s_per_part`: (cutting, every part, sound and joining − the whole) / parts of the picture. A share of the
whole would tell of the clip's length: a longer part costs hardly more.

    python -m bench.transcode --seconds 20 --rounds 3
"""

import argparse
import os
import resource
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.make_corpus import Corpus, make
from bench.thumbnails import OUT as THUMBNAILS_OUT
from cluster.settings import read_settings
from cluster.system_config import defaults
from tasks.jobs import encode_video
from tasks.jobs.encode_video import EncodeInput
from tasks.media.encode import NICENESS, Watch, this_machine
from tasks.media.probe import probe_video
from tasks.media.transcode import needed
from tasks.media.transcode_arguments import recipe
from tasks.media.video_parts import encode_picture_part, encode_sound, join_parts, parts_of, read_key_frames
from tasks.tools import Tools
from tasks.video_encoding import transcode_settings

PARTS = 4
Tell = Callable[[str], None]


def run(seconds: int = 20, rounds: int = 3, tell: Tell = print) -> dict[str, float]:
    """Medians over clips and rounds."""
    clips = corpus(seconds)
    ratios, per_part, per_second = [], [], []
    for number in range(rounds):
        for clip in clips:
            tell(f"transcode: {clip.name}, round {number + 1} of {rounds}")
            plain_s, ours_s = plain(clip), ours(clip)
            parts_s, parts = in_parts(clip)
            ratios.append(ours_s / plain_s)
            per_part.append((parts_s - ours_s) / parts)
            per_second.append(ours_s / seconds)
    return {
        "transcode.cpu_ratio_to_ffmpeg": median(ratios),
        "transcode.cpu_s_per_part": median(per_part),
        "transcode.cpu_s_per_video_s": median(per_second),
    }


def corpus(seconds: int) -> list[Path]:
    """Two clips, made once and kept."""
    folder = THUMBNAILS_OUT.parent / f"corpus-video-{seconds}"
    if len(list(folder.glob("*.mp4"))) != 2:
        make(Corpus(out=folder, count=0, videos=2, video_seconds=seconds, jobs=os.cpu_count() or 1))
    return sorted(folder.glob("*.mp4"))


def given_for(clip: Path, folder: str) -> EncodeInput:
    """What the job would get, with everything to be encoded."""
    config = defaults(read_settings({"HOME": folder}))
    facts = probe_video(clip, 60)
    settings = replace(transcode_settings(config), transcode="all")
    target = str(Path(folder) / "encoded.mp4")
    return EncodeInput(str(clip), clip.name, target, facts, needed(facts, settings), settings, 0)


def plain(clip: Path) -> float:
    """CPU seconds of ffmpeg, started from here with the same arguments."""
    with tempfile.TemporaryDirectory(prefix="hb") as folder:
        given = given_for(clip, folder)
        after = recipe(given.facts, given.need, given.settings, this_machine()).after
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-i", str(clip), *after, "-movflags", "faststart"]
        before_s = cpu_s()
        subprocess.run(["nice", "-n", str(NICENESS), *command, given.target_path], check=True)
        return cpu_s() - before_s


def ours(clip: Path) -> float:
    """CPU seconds of the job's work, its children included."""
    with tempfile.TemporaryDirectory(prefix="hb") as folder:
        given, tools = given_for(clip, folder), Tools()
        tools.token = "0" * 16
        before_s = cpu_s()
        encode_video.work(given, tools)
        return cpu_s() - before_s


def in_parts(clip: Path) -> tuple[float, int]:
    """CPU seconds of the same in parts, one after the other, and how many parts of the picture there were."""
    with tempfile.TemporaryDirectory(prefix="hb") as folder:
        given, watch = given_for(clip, folder), Watch()
        before_s = cpu_s()
        keys = read_key_frames(clip, given.facts, watch)
        pictures = []
        for number, part in enumerate(parts_of(keys, (given.facts.duration_ms or 0) / 1000 / PARTS)):
            path = Path(folder) / f"{number}"
            encode_picture_part(clip, path, given.facts, given.settings, part, watch)
            pictures.append((path, part))
        sound = Path(folder) / "sound"
        encode_sound(clip, sound, given.facts, given.need, given.settings, watch)
        target = Path(given.target_path)
        join_parts(pictures, sound, target, time_base=keys.time_base, first_pts=keys.first_pts, watch=watch)
        return cpu_s() - before_s, len(pictures)


def cpu_s() -> float:
    """Of this process and of the children that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for key, value in run(given.seconds, given.rounds).items():
        print(f"{key} {value:.4f}")


if __name__ == "__main__":
    main()
