"""How far off the forecasts of all queues together are: a mixed import of photos and videos, asked at 25, 50 and 75 %
of its jobs how long it will still take, and held against how long it took. What was not sent yet nobody can forecast:
`--sent` lets the work begin when all files have arrived.

    python -m bench.forecast --assets 320
"""

import argparse
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bench.make_corpus import Corpus, large_jpegs, make
from bench.pipeline import CORPUS, SHARED, upload
from bench.running_stack import running_stack, wait_until_idle
from serve_app.client import ApiClient, ServerUnreachable
from serve_app.services.queue_activity import RATE_S

MARKS = (0.25, 0.50, 0.75)
VIDEO_SHARE = 0.05


@dataclass(frozen=True, slots=True)
class Look:
    """What the page said at one moment: jobs that had ended, and the seconds that it gave the whole; None for none."""

    at_s: float
    ended: int
    seconds_left: float | None


def look(client: ApiClient) -> tuple[Look, bool]:
    """Also whether nothing is left."""
    queues = client.call("GET", "/queue-activity")
    whole = client.call("GET", "/queue-activity/all")
    ended = sum(sum(queue["perMinute"]) for queue in queues)
    idle = not any(queue["active"] + queue["waiting"] + queue["delayed"] for queue in queues)
    return Look(time.monotonic(), ended, whole["secondsLeft"]), idle


def measure(assets: int, warm: bool, sent: bool = False) -> list[tuple[float, float | None, float]]:
    """(share of the jobs that had ended, seconds that were forecast, seconds that it took) at each mark. `warm`: the
    server has seen a few such files before; else it is new, and has measured nothing. `sent`: it begins when it has
    all."""
    folder = CORPUS / f"mixed-{assets}"
    videos = round(assets * VIDEO_SHARE)
    if len(list(folder.glob("*.*"))) < assets:
        make(Corpus(out=folder, count=assets - videos, videos=videos, sources=large_jpegs(SHARED / "media"), jobs=2))
    looks: list[Look] = []
    with running_stack() as stack:
        client = stack.sign_up()
        if warm:
            upload(stack, some_of(folder))
            wait_until_idle(client)
            time.sleep(RATE_S)  # what was before does not count as lately
        before = look(client)[0].ended
        sender = threading.Thread(target=upload, args=(stack, folder))
        if sent:
            client.call("PUT", "/queues/metadataExtraction", json={"isPaused": True})
        sender.start()
        if sent:
            sender.join()
            client.call("PUT", "/queues/metadataExtraction", json={"isPaused": False})
        while True:
            with suppress(ServerUnreachable):
                seen, idle = look(client)
                looks.append(seen)
                if idle and not sender.is_alive():
                    break
            time.sleep(1.0)
    total, end_s = looks[-1].ended - before, looks[-1].at_s
    at_marks = [next(one for one in looks if one.ended - before >= mark * total) for mark in MARKS]
    return [((one.ended - before) / total, one.seconds_left, end_s - one.at_s) for one in at_marks]


def some_of(folder: Path) -> Path:
    """A folder with a few of the photos and videos, which the server has seen the like of then."""
    few = folder.with_name(f"{folder.name}-some")
    few.mkdir(exist_ok=True)
    photos, videos = sorted(folder.glob("*.jpg"))[:20], sorted(folder.glob("*.mp4"))[:2]
    for path in photos + videos:
        (few / path.name).unlink(missing_ok=True)
        (few / path.name).hardlink_to(path)
    return few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=int, default=320)
    parser.add_argument("--new", action="store_true", help="a server that has never measured anything")
    parser.add_argument("--sent", action="store_true", help="the work begins when all files have arrived")
    given = parser.parse_args()
    for share, forecast_s, took_s in measure(given.assets, warm=not given.new, sent=given.sent):
        said = "no forecast" if forecast_s is None else f"forecast {forecast_s:.0f} s ({forecast_s / took_s - 1:+.0%})"
        print(f"{share:.0%} of the jobs: {said}, it took {took_s:.0f} s")


if __name__ == "__main__":
    main()
