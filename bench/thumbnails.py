"""CPU time and quality of a 12-megapixel photo's preview, thumbnail and hash: ours against npm's sharp.

sharp does Immich's calls. Both run in one session, turn by turn, each in a process of its own that counts its whole CPU
time (all threads, user and system). The photos are `make_corpus.py`'s, once with an sRGB profile, once with Display P3
and once with none; the mix is a third of each.

Quality is PSNR, as the decibels that our preview loses to a full decode that is resized with Lanczos and written at the
same quality. `psnr_delta_db` holds both, enlarged again, against the photo. `psnr_delta_at_preview_db` holds both
against that resized picture itself, which is stricter: the corpus carries sensor noise of sigma 10 in every pixel, and
what a half-size decode makes of noise differs from what Lanczos makes of it. `…_real_db`: the worst of real photos.

    python -m bench.thumbnails
"""

import argparse
import io
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median
from typing import IO, Any, Self

import numpy as np
from PIL import Image

from bench.make_corpus import Corpus, large_jpegs, make
from tasks.media.color import DISPLAY_P3, SRGB, profile_bytes
from tasks.media.image import Rendition, render_image
from tasks.ray_runner import MEDIA_MEMORY

HERE = Path(__file__).resolve().parent
OUT = HERE / "out" / "thumbnails"
SHARED = Path(os.environ.get("HELIOSTAT_SHARED", HERE.parent.parent / "shared"))

# Which profile the photos carry, and the colours that both sides write for it.
PROFILES = {"srgb": SRGB, "p3": DISPLAY_P3, "none": SRGB}
SHORT_EDGE_PX = 1440


class SharpMissing(Exception):
    """sharp cannot be installed here; the message says why."""


@dataclass(frozen=True)
class Side:
    """One of the two programs: takes a list of photos, answers with what they cost."""

    process: subprocess.Popen[str]

    @classmethod
    def start(cls, command: Sequence[str], environment: dict[str, str] | None = None) -> Self:
        everything = os.environ | (environment or {})
        return cls(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=everything, cwd=HERE.parent
            )
        )

    def render(self, files: Sequence[Path], colorspace: str, out: Path | None = None) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"files": [str(file) for file in files], "colorspace": colorspace, "out": out and str(out)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer: dict[str, float] = json.loads(self.process.stdout.readline())
        return answer

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(30)


def run(photos: int = 8, rounds: int = 5) -> dict[str, float]:
    """`photos` of each profile, `rounds` times each by turns; medians over the rounds. Where sharp is absent it prints
    why and leaves its keys out."""
    corpus = make_profiled_corpus(photos)
    ours = Side.start([sys.executable, "-m", "bench.thumbnails", "--worker"], MEDIA_MEMORY)
    try:
        with sharp_side() as theirs:
            measured = measure(corpus, {"ours": ours, "sharp": theirs}, rounds)
    except SharpMissing as reason:
        print(f"sharp is left out: {reason}", file=sys.stderr)
        measured = measure(corpus, {"ours": ours}, rounds)
    finally:
        ours.stop()
    return summary(measured) | quality(corpus["none"])


def measure(
    corpus: dict[str, list[Path]], sides: dict[str, Side], rounds: int
) -> dict[tuple[str, str], dict[str, float]]:
    """(side, profile) → medians of what it said."""
    said: dict[tuple[str, str], list[dict[str, float]]] = {}
    for turn in range(rounds + 1):
        for profile, files in corpus.items():
            for name, side in sides.items():
                answer = side.render(files, PROFILES[profile])
                if turn:  # the first fills caches
                    said.setdefault((name, profile), []).append(answer)
    return {key: {field: median(a[field] for a in answers) for field in answers[0]} for key, answers in said.items()}


def summary(measured: dict[tuple[str, str], dict[str, float]]) -> dict[str, float]:
    cost = {key: answer["cpu_ms"] for key, answer in measured.items()}
    results = {"thumbnails.cpu_ms": mean(cost["ours", profile] for profile in PROFILES)}
    results |= {f"thumbnails.cpu_ms_{profile}": cost["ours", profile] for profile in PROFILES}
    results["thumbnails.preview_bytes"] = mean(measured["ours", profile]["preview_bytes"] for profile in PROFILES)
    results["thumbnails.thumbnail_bytes"] = mean(measured["ours", profile]["thumbnail_bytes"] for profile in PROFILES)
    if ("sharp", "none") not in cost:
        return results
    results["thumbnails.sharp_cpu_ms"] = mean(cost["sharp", profile] for profile in PROFILES)
    results["thumbnails.cpu_ratio_to_sharp"] = results["thumbnails.cpu_ms"] / results["thumbnails.sharp_cpu_ms"]
    for profile in PROFILES:
        results[f"thumbnails.sharp_cpu_ms_{profile}"] = cost["sharp", profile]
        results[f"thumbnails.cpu_ratio_to_sharp_{profile}"] = cost["ours", profile] / cost["sharp", profile]
    for kind in ("preview", "thumbnail"):
        field = f"{kind}_bytes"
        results[f"thumbnails.sharp_{field}"] = mean(measured["sharp", profile][field] for profile in PROFILES)
    return results


def quality(files: Sequence[Path]) -> dict[str, float]:
    """Decibels lost, as the head of this file says; medians, and the worst."""
    real = list(map(Path, large_jpegs(SHARED / "media"))) if SHARED.is_dir() else []
    losses = {file: found for file in [*files, *real] if (found := decibels_lost(file)) is not None}
    of_original, at_preview = zip(*losses.values(), strict=True)
    results = {
        "thumbnails.psnr_delta_db": median(of_original),
        "thumbnails.psnr_delta_worst_db": max(of_original),
        "thumbnails.psnr_delta_at_preview_db": median(at_preview),
        "thumbnails.psnr_delta_at_preview_worst_db": max(at_preview),
    }
    of_real = [losses[file][1] for file in real if file in losses]
    return results | ({"thumbnails.psnr_delta_at_preview_real_db": max(of_real)} if of_real else {})


def decibels_lost(file: Path) -> tuple[float, float] | None:
    """(against the photo, against the resized photo); None when the photo is no larger than its preview."""
    with Image.open(file) as image:
        orientation = image.getexif().get(0x0112, 1)
        original = image.convert("RGB")
    if min(original.size) <= SHORT_EDGE_PX:
        return None
    ours = preview_pixels(file, orientation)
    best = original.resize(ours.size, Image.Resampling.LANCZOS)
    written = io.BytesIO()
    best.save(written, "JPEG", quality=80, subsampling="4:4:4")
    with Image.open(written) as image:
        theirs = image.convert("RGB")
    return (
        psnr_db(enlarged(theirs, original), original) - psnr_db(enlarged(ours, original), original),
        psnr_db(theirs, best) - psnr_db(ours, best),
    )


def preview_pixels(file: Path, orientation: int) -> Image.Image:
    """Our preview of `file`, turned back as the file's pixels lie."""
    render_image(file, renditions(OUT / "quality"), name=file.name, is_srgb=True)
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    with Image.open(OUT / "quality" / "preview") as image:
        rgb = image.convert("RGB")
    return rgb.transpose(back[orientation]) if orientation in back else rgb


def enlarged(image: Image.Image, to: Image.Image) -> Image.Image:
    return image.resize(to.size, Image.Resampling.LANCZOS)


def psnr_db(image: Image.Image, truth: Image.Image) -> float:
    error = np.asarray(image).astype(np.float32) - np.asarray(truth)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def renditions(folder: Path) -> list[Rendition]:
    """Immich's defaults."""
    return [
        Rendition("thumbnail", folder / "thumbnail", "webp", 250, 80),
        Rendition("preview", folder / "preview", "jpeg", SHORT_EDGE_PX, 80),
    ]


def make_profiled_corpus(count: int) -> dict[str, list[Path]]:
    """Profile → photos that are alike but for it. Made once and kept."""
    plain = OUT / "corpus-none"
    if len(list(plain.glob("*.jpg"))) != count:
        shutil.rmtree(OUT, ignore_errors=True)
        sources = large_jpegs(SHARED / "media") if SHARED.is_dir() else ()
        make(Corpus(out=plain, count=count, sources=sources, jobs=os.cpu_count() or 1))
    found = {}
    for profile in PROFILES:
        folder = OUT / f"corpus-{profile}"
        folder.mkdir(exist_ok=True)
        for file in sorted(plain.glob("*.jpg")):
            if profile != "none":
                (folder / file.name).write_bytes(with_profile(file.read_bytes(), profile_bytes(profile)))
        found[profile] = sorted(folder.glob("*.jpg"))
    return found


def with_profile(jpeg: bytes, profile: bytes) -> bytes:
    """The JPEG with an ICC segment after its first marker."""
    content = b"ICC_PROFILE\x00\x01\x01" + profile
    return jpeg[:2] + b"\xff\xe2" + (len(content) + 2).to_bytes(2, "big") + content + jpeg[2:]


@contextmanager
def sharp_side() -> Iterator[Side]:
    """sharp in node, installed below bench/out on the first call. Raises SharpMissing."""
    folder = OUT.parent / "sharp"
    folder.mkdir(parents=True, exist_ok=True)
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SharpMissing("npm and node are not installed")
    if not (folder / "node_modules" / "thumbhash").is_dir():
        (folder / "package.json").write_text('{"private": true, "type": "module"}')
        command = [npm, "install", "--no-audit", "--no-fund", "sharp", "thumbhash"]
        installed = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        if installed.returncode:
            raise SharpMissing(f"npm install ended with {installed.returncode}: {installed.stderr.strip()[-300:]}")
    script = Path(shutil.copy(HERE / "sharp_thumbnails.mjs", folder))  # node looks for packages beside the script
    side = Side.start([node, str(script)])
    try:
        yield side
    finally:
        side.stop()


def work(requests: IO[str], answers: IO[str]) -> None:
    """Our side: the same protocol as `sharp_thumbnails.mjs`."""
    wanted = renditions(OUT / "ours")
    for line in requests:
        request: dict[str, Any] = json.loads(line)
        is_srgb = request["colorspace"] == SRGB
        sizes = [0, 0]
        before_s = cpu_s()
        for file in map(Path, request["files"]):
            made = render_image(file, wanted, name=file.name, is_srgb=is_srgb, colorspace=request["colorspace"])
            sizes = [total + done.size_bytes for total, done in zip(sizes, made.files, strict=True)]
        count = len(request["files"])
        answer = {
            "cpu_ms": (cpu_s() - before_s) * 1000 / count,
            "thumbnail_bytes": sizes[0] / count,
            "preview_bytes": sizes[1] / count,
        }
        print(json.dumps(answer), file=answers, flush=True)


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=8, help="of each profile (default 8)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="turns of each side, of which the median counts (default 5)"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(sys.stdin, sys.stdout)
        return
    for key, value in run(arguments.photos, arguments.rounds).items():
        print(f"{key:48} {value:12.3f}")


if __name__ == "__main__":
    main()
