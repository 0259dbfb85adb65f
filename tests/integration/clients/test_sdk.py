"""A walk through the whole API with Immich's own SDK, while the jobs that it causes run beside it."""

from collections.abc import Callable
from pathlib import Path

from tests.camera import clip, photo
from tests.integration.clients.working_server import working_server
from tests.official_clients import run_script


def test_every_area_answers_the_sdk(
    database_url: str, tmp_path: Path, photos: Path, report: Callable[[str], None]
) -> None:
    library = tmp_path / "library"
    (library / "no").mkdir(parents=True)
    for name in ("d.jpg", "no/e.jpg"):
        (library / name).write_bytes(photo(800, 600))
    clip(photos / "c.mp4")
    with working_server(database_url, tmp_path / "media") as url:
        ran = run_script("walk.mjs", tmp_path, SERVER=url, PHOTOS=str(photos), LIBRARY=str(library))
    assert ran.code == 0, ran.output
    for line in ran.output.splitlines():
        report(f"@immich/sdk: {line}")
