"""All, Missing and Refresh of every queue that needs no model, on a library of 300: how many jobs each adds.

Source: spec/queues.md §5. The queues that need models: `test_force_table_models.py`.
"""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from serve_app.client import ApiRefused, sha1_hex
from tests.e2e.force_table import DRAIN_S, Ended, Force, ended, press, tables
from tests.e2e.photos import make_photos
from tests.e2e.real_stack import RealStack, describe, real_stack
from tests.programs import program

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

PHOTOS, VIDEOS = 290, 10
EVERYTHING = PHOTOS + VIDEOS
Run = Callable[[str, Force], Ended]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealStack]:
    """A server of its own with 290 photos, three of them with a sidecar, and ten videos that need transcoding."""
    folder = tmp_path_factory.mktemp("force")
    with real_stack(3473, folder) as stack:
        stack.sign_in()
        photos = make_photos(folder / "photos", PHOTOS, seed=31, size=(160, 120))
        for photo in photos[:3]:
            photo.with_suffix(".jpg.xmp").write_text(SIDECAR)
        for path in photos + [make_video(folder / f"video_{number}.avi", number) for number in range(VIDEOS)]:
            stack.client.upload(path, sha1_hex(path))
        stack.wait_until_idle(DRAIN_S)
        assert stack.failed() == {}, describe(stack)
        yield stack


SIDECAR = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="4"/></rdf:RDF></x:xmpmeta>"""


def make_video(path: Path, number: int, seconds: int = 1) -> Path:
    """So many seconds of moving picture and sound in codecs that browsers do not play."""
    picture = ("-f", "lavfi", "-i", f"testsrc2=s=320x240:r=10:d={seconds},hue=h={number * 36}")
    sound = ("-f", "lavfi", "-i", f"sine=d={seconds}")
    codecs = ("-c:v", "mpeg4", "-c:a", "pcm_s16le", "-shortest")
    subprocess.run([program("ffmpeg"), "-v", "error", *picture, *sound, *codecs, str(path)], check=True)
    return path


@pytest.fixture(scope="module")
def run(library: RealStack) -> Run:
    return partial(press, library)


def test_a_finished_library_misses_nothing(run: Run, report: Callable[[str], None]) -> None:
    expected: list[tuple[str, str, Ended]] = [
        ("thumbnailGeneration", "AssetGenerateThumbnails", {}),
        ("metadataExtraction", "AssetExtractMetadata", {}),
        ("videoConversion", "AssetEncodeVideo", {}),
    ]
    for queue, name, nothing in expected:
        for force in (False, None):
            added = run(queue, force)
            assert added.pop(f"{name}QueueAll") == 1
            assert added == nothing, (queue, force)
            report(f"{queue} force={force} on a finished library: 0 jobs")


@pytest.mark.parametrize(
    ("queue", "name", "count"),
    [
        ("thumbnailGeneration", "AssetGenerateThumbnails", EVERYTHING),
        ("metadataExtraction", "AssetExtractMetadata", EVERYTHING),
        ("videoConversion", "AssetEncodeVideo", VIDEOS),
        ("sidecar", "SidecarCheck", EVERYTHING),
        ("migration", "AssetFileMigration", EVERYTHING),
    ],
)
def test_all_takes_every_asset_once(run: Run, report: Callable[[str], None], queue: str, name: str, count: int) -> None:
    added = run(queue, True)
    assert added[name] == count, added
    report(f"{queue} force=True: {added}")


def test_missing_takes_what_is_missing(library: RealStack, run: Run, report: Callable[[str], None]) -> None:
    with tables(library) as connection:
        three = "SELECT id FROM asset WHERE type = 'IMAGE' ORDER BY id LIMIT 3"
        connection.execute(f"DELETE FROM asset_file WHERE type = 'preview' AND asset_id IN ({three})")
        connection.execute(f"UPDATE asset_job_status SET metadata_extracted_at = NULL WHERE asset_id IN ({three})")
        two = "SELECT id FROM asset WHERE type = 'VIDEO' ORDER BY id LIMIT 2"
        connection.execute(f"DELETE FROM asset_file WHERE type = 'encoded_video' AND asset_id IN ({two})")
    for queue, name, count in (
        ("thumbnailGeneration", "AssetGenerateThumbnails", 3),
        ("metadataExtraction", "AssetExtractMetadata", 3),
        ("videoConversion", "AssetEncodeVideo", 2),
    ):
        added = run(queue, False)
        assert added[name] == count, added
        report(f"{queue} force=False with {count} missing: {added}")
        assert run(queue, False).get(name) is None


def test_discover_looks_at_those_without_a_sidecar(run: Run, report: Callable[[str], None]) -> None:
    for force in (False, None):
        added = run("sidecar", force)
        assert added["SidecarCheck"] == EVERYTHING - 3, added
        report(f"sidecar force={force}: {added}")


@pytest.mark.parametrize(
    ("queue", "name"),
    [
        ("library", "LibraryScanQueueAll"),
        ("storageTemplateMigration", "StorageTemplateMigration"),
        ("backupDatabase", "DatabaseBackup"),
        ("migration", "FileMigrationQueueAll"),
    ],
)
def test_where_the_flag_is_ignored_one_job_is_added(
    run: Run, report: Callable[[str], None], queue: str, name: str
) -> None:
    seen = [run(queue, force) for force in (True, False, None)]
    assert [added[name] for added in seen] == [1, 1, 1]
    assert seen[0] == seen[1] == seen[2]
    report(f"{queue} whatever the flag: {seen[0]}")


@pytest.mark.parametrize("queue", ["backgroundTask", "search", "notifications", "workflow", "integrityCheck", "editor"])
def test_queues_without_a_start_job_say_so(library: RealStack, queue: str) -> None:
    with pytest.raises(ApiRefused, match=f"Invalid job name: {queue}"):
        library.client.command(queue, "start")


def test_missing_pressed_ten_times_adds_nothing(library: RealStack, report: Callable[[str], None]) -> None:
    before = ended(library)
    for _ in range(10):
        for queue in ("thumbnailGeneration", "metadataExtraction", "videoConversion"):
            with contextlib.suppress(ApiRefused):  # it says that it runs already
                library.client.command(queue, "start", False)
    library.wait_until_idle(DRAIN_S)
    after = ended(library)
    for name in ("AssetGenerateThumbnails", "AssetExtractMetadata", "AssetEncodeVideo"):
        assert after[name] == before[name], name
    report("Missing pressed ten times on three queues: 0 jobs")
