"""A folder goes in with Immich's command line interface and comes out as thumbnails, through a whole server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.photos import make_photos
from tests.e2e.real_stack import RealStack, describe
from tests.official_clients import immich

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


def test_what_the_cli_sends_gets_its_thumbnails(
    stack: RealStack, tmp_path: Path, report: Callable[[str], None]
) -> None:
    paths = make_photos(tmp_path / "Seaside", 12, seed=311, size=(1600, 1200))
    made = stack.client.call("POST", "/api-keys", json={"name": "cli", "permissions": ["all"]})
    assert immich(tmp_path, "login", stack.url, made["secret"]).code == 0
    first = immich(tmp_path, "upload", "--album", "--no-progress", tmp_path / "Seaside")
    assert "Successfully uploaded 12 new assets" in first.output, first.output
    stack.wait_until_idle(200)
    assert stack.failed() == {}, describe(stack)
    (album,) = [album for album in stack.client.call("GET", "/albums") if album["albumName"] == "Seaside"]
    found = stack.client.call("POST", "/search/metadata", json={"albumIds": [album["id"]]})["assets"]["items"]
    assert {asset["originalFileName"] for asset in found} == {path.name for path in paths}
    for asset in found:
        assert asset["thumbhash"]
        assert stack.client.bytes_of(f"/assets/{asset['id']}/thumbnail")[8:12] == b"WEBP"
    again = immich(tmp_path, "upload", "--no-progress", tmp_path / "Seaside")
    assert "Found 0 new files and 12 duplicates" in again.output
    for line in (first.output + again.output).splitlines():
        report(f"immich upload to a whole server: {line}")
