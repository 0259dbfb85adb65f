"""A long video on the whole server: encoded in parts, seen while it is, and one worker killed in its middle."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import text

from cluster.db.engine import Database
from cluster.settings import read_settings
from serve_app.client import sha1_hex
from tests.clips import SOUND, ffmpeg
from tests.e2e.real_stack import RealStack, describe, kill, real_stack, wait_until
from tests.integration.media.streams import complaints, packets
from tests.programs import program

pytestmark = pytest.mark.timeout(900)

PATIENCE_S = 400.0
PART_TITLE = "ray::AssetEncodeVideoPart"


@pytest.mark.parametrize(
    ("seconds", "parts_from_s", "shows_progress"),
    [pytest.param(6, 4, False, id="short"), pytest.param(40, 20, True, id="long", marks=pytest.mark.long)],
)
def test_a_worker_that_is_killed_costs_its_part_alone(
    tmp_path: Path, seconds: int, parts_from_s: int, shows_progress: bool, report: Callable[[str], None]
) -> None:
    source = long_video(tmp_path, seconds)
    with real_stack(3419, tmp_path, HELIOSTAT_VIDEO_PARTS_FROM_S=str(parts_from_s)) as stack:
        client = stack.sign_in()
        config = client.call("GET", "/system-config")
        config["ffmpeg"] |= {"transcode": "all", "preset": "slow", "targetResolution": "original"}
        client.call("PUT", "/system-config", json=config)
        _, asset_id = client.upload(source, sha1_hex(source))

        wait_until(lambda: one(stack, ONE_IS_DONE) > 0, PATIENCE_S, "a part", stack.still_runs)
        parts = one(stack, "SELECT count(*) FROM video_segment")
        if shows_progress:
            assert active_job(stack)["name"] == "AssetEncodeVideo"
        worker, encoder = part_in_hand(stack)
        kill(worker)
        struck_s = time.monotonic()
        gone_s = wait_until(lambda: not psutil.pid_exists(encoder), 10, "ffmpeg to die with its worker", every_s=0.01)
        wait_until(lambda: one(stack, ENCODED) > 0, PATIENCE_S, "the video", stack.still_runs)
        after_s = time.monotonic() - struck_s
        stack.wait_until_idle(PATIENCE_S)

        assert stack.failed() == {}, describe(stack)
        done, retried = (one(stack, PARTS_THAT.format(what)) for what in ("done", "retried"))
        assert (done, retried) == (parts, 1), "every part was encoded once; that of the dead worker was begun twice"
        (encoded,) = (stack.media / "encoded-video").rglob(f"{asset_id}.mp4")
        assert client.bytes_of(f"/assets/{asset_id}/video/playback") == encoded.read_bytes()
        assert [path for path in encoded.parent.iterdir() if path.suffix == ".mp4"] == [encoded], "no part is left"
        assert complaints(encoded) == ""
        times = [sorted(packet.pts for packet in packets(video, "v")) for video in (encoded, source)]
        assert times[0] == times[1]
    report(
        f"{seconds} s of 720p in {parts} parts, a worker killed: its ffmpeg was gone after {gone_s:.2f} s,"
        f" 1 part was begun again, the whole was there after {after_s:.0f} s"
    )


ONE_IS_DONE = "SELECT count(*) FROM video_segment WHERE state = 'done' AND kind = 'video'"
ENCODED = "SELECT count(*) FROM asset_file WHERE type = 'encoded_video'"
PARTS_THAT = "SELECT sum({}) FROM job_statistic WHERE name = 'AssetEncodeVideoPart'"


def long_video(folder: Path, seconds: int) -> Path:
    """Enough work for a part to be caught in its middle."""
    path = folder / "long.mp4"
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=1280x720:r=30:d={seconds}")
    sound = [option.format(seconds=seconds) for option in SOUND]
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "30", "-c:a", "aac")
    program("exiftool")
    ffmpeg(*picture, *sound, *options, path)
    return path


def one(stack: RealStack, query: str) -> int:
    database = Database(read_settings(stack.environ).database_url)
    with database.reader() as session:
        found: int | None = session.scalar(text(query))
    database.close()
    return found or 0


def active_job(stack: RealStack) -> dict[str, Any]:
    """The job of a part, once the API says how far it is."""
    seen: list[dict[str, Any]] = []

    def shown() -> bool:
        listed = stack.client.call("GET", "/queues/videoConversion/jobs", params={"status": ["active"]})
        seen[:] = [job for job in listed if job["data"].get("progress", 0) > 0]
        return bool(seen)

    wait_until(shown, PATIENCE_S, "progress to be shown", stack.still_runs)
    assert 0 < seen[0]["data"]["progress"] <= 1
    return seen[0]


def part_in_hand(stack: RealStack) -> tuple[int, int]:
    """A worker that encodes a part, and its ffmpeg."""
    caught: list[tuple[int, int]] = []

    def seen() -> bool:
        for pid, title in stack.processes().items():
            if title.startswith(PART_TITLE):
                children = psutil.Process(pid).children()
                caught.extend((pid, child.pid) for child in children if "ffmpeg" in child.name())
        return bool(caught)

    wait_until(seen, PATIENCE_S, f"a process called {PART_TITLE} with its ffmpeg", stack.still_runs, every_s=0.05)
    return caught[0]
