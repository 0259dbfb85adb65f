"""Immich's command line interface against a running server."""

import json
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.db.tables.album import Album, AlbumAsset
from cluster.db.tables.asset import Asset, AssetFile
from tests.api_stack import ApiStack, Person
from tests.e2e.real_stack import wait_until
from tests.official_clients import Ran, immich, immich_at_work

WATCHED_S = 60.0
"""The client waits ten seconds for more before it sends what has come."""
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><!-- {} --></x:xmpmeta>'


@dataclass(frozen=True)
class Desk:
    """Somebody with a key, signed in with the CLI on a machine of their own, and a folder of photos there."""

    stack: ApiStack
    url: str
    person: Person
    home: Path

    @property
    def photos(self) -> Path:
        return self.home / "photos"

    def run(self, *arguments: str | Path) -> Ran:
        return immich(self.home, *arguments)

    def upload(self, *arguments: str | Path) -> str:
        """What `immich upload` says when it ends well; of the photos unless the arguments name others."""
        ran = self.run("upload", "--recursive", "--no-progress", *(arguments or (self.photos,)))
        assert ran.code == 0, ran.output
        return ran.output

    def write(self, *names: str) -> dict[str, bytes]:
        """Files of random bytes; the server looks into them only in its jobs, of which none run here."""
        contents = {name: os.urandom(3000) for name in names}
        for name, content in contents.items():
            (self.photos / name).parent.mkdir(parents=True, exist_ok=True)
            (self.photos / name).write_bytes(content)
        return contents

    def kept(self) -> dict[str, bytes]:
        """What the server has of this person, by file name."""
        with self.stack.services.database.reader() as session:
            rows = session.scalars(select(Asset).where(Asset.owner_id == self.person.user_id))
            return {row.original_file_name: Path(row.original_path).read_bytes() for row in rows}

    def albums(self) -> dict[str, set[str]]:
        with self.stack.services.database.reader() as session:
            rows = session.execute(
                select(Album.name, Asset.original_file_name)
                .join(AlbumAsset, AlbumAsset.album_id == Album.id)
                .join(Asset, Asset.id == AlbumAsset.asset_id)
                .where(Asset.owner_id == self.person.user_id)
            ).all()
        return {album: {name for other, name in rows if other == album} for album, _ in rows}


@pytest.fixture
def desk(stack: ApiStack, url: str, join: Callable[..., Person], tmp_path: Path) -> Desk:
    made = Desk(stack, url, join(), tmp_path)
    ran = made.run("login", url, made.person.key)
    assert ran.code == 0, ran.output
    return made


def test_it_signs_in_once_and_shows_the_server(desk: Desk, report: Callable[[str], None]) -> None:
    remembered = desk.home / ".config" / "immich" / "auth.yml"
    assert desk.person.key in remembered.read_text()
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600
    desk.write("a.jpg", "b.mp4")
    desk.upload()
    shown = desk.run("server-info")
    assert shown.code == 0, shown.output
    lines = [line.strip() for line in shown.output.splitlines()]
    assert {"Version: 3.1.0", "Images: 1", "Videos: 1", "Total: 2"} <= set(lines)
    for line in lines:
        report(f"immich server-info: {line[:100]}")
    assert desk.run("logout").code == 0
    assert not remembered.exists()
    assert "Please login first" in desk.run("server-info").output


def test_who_may_not_is_told_why(url: str, join: Callable[..., Person], tmp_path: Path) -> None:
    wrong = immich(tmp_path, "login", url, "wrong")
    assert wrong.code == 1
    assert "Failed to connect to server" in wrong.output
    assert "Invalid API key" in wrong.output
    reader = join(permissions=("user.read", "asset.read"))
    assert immich(tmp_path, "login", url, reader.key).code == 0
    (tmp_path / "a.jpg").write_bytes(b"photo")
    refused = immich(tmp_path, "upload", tmp_path / "a.jpg")
    assert refused.code == 1
    assert 'Missing required permission: "asset.upload"' in refused.output


def test_a_folder_arrives_byte_for_byte_and_the_second_run_sends_nothing(
    desk: Desk, report: Callable[[str], None]
) -> None:
    seen = desk.write("a.jpg", "Ferien 写真.HEIC", "2024/b.mp4", "2024/07/it's [new] (1).png")
    hidden = desk.write(".hidden/c.jpg", "notes.txt")
    first, second = desk.upload(), desk.upload()
    assert "Successfully uploaded 4 new assets" in first
    assert "Found 0 new files and 4 duplicates" in second
    assert "All assets were already uploaded, nothing to do." in second
    assert desk.kept() == {Path(name).name: content for name, content in seen.items()}
    assert "Successfully uploaded 1 new asset" in desk.upload("--include-hidden", desk.photos)
    assert desk.kept()["c.jpg"] == hidden[".hidden/c.jpg"]
    for line in (first + second).splitlines():
        report(f"immich upload: {line}")


def test_what_is_ignored_and_what_lies_deeper_stays_at_home(desk: Desk) -> None:
    desk.write("a.jpg", "a-edited.jpg", "deeper/b.jpg")
    desk.upload("--ignore", "*-edited.jpg", desk.photos)
    assert desk.kept().keys() == {"a.jpg", "b.jpg"}
    desk.write("c.jpg", "deeper/d.jpg")
    assert desk.run("upload", "--no-progress", desk.photos).code == 0
    assert desk.kept().keys() == {"a.jpg", "a-edited.jpg", "b.jpg", "c.jpg"}


def test_a_dry_run_changes_nothing(desk: Desk) -> None:
    desk.write("a.jpg", "b.jpg")
    said = desk.upload("--dry-run", "--album", "--delete", desk.photos)
    assert "Would have uploaded 2 assets" in said
    assert "Would have created 1 new album" in said
    assert "Would have deleted 2 local assets" in said
    assert desk.kept() == {}
    assert desk.albums() == {}
    assert len(list(desk.photos.iterdir())) == 2


def test_folders_become_albums_which_are_found_again(desk: Desk) -> None:
    desk.write("Sea/a.jpg", "Sea/b.jpg", "Hills/c.jpg")
    assert "Successfully created 2 new albums" in desk.upload("--album", desk.photos)
    assert desk.albums() == {"Sea": {"a.jpg", "b.jpg"}, "Hills": {"c.jpg"}}
    desk.write("Sea/d.jpg")
    assert "Successfully created 0 new albums" in desk.upload("--album", desk.photos)
    assert desk.albums()["Sea"] == {"a.jpg", "b.jpg", "d.jpg"}
    # what was there before goes to the album too
    desk.upload("--album-name", "Best of", desk.photos / "Hills", desk.photos / "Sea" / "d.jpg")
    assert desk.albums()["Best of"] == {"c.jpg", "d.jpg"}


def test_what_has_arrived_is_deleted_at_home_with_its_sidecar(desk: Desk) -> None:
    desk.write("known.jpg")
    desk.upload()
    desk.write("new.jpg", "new.jpg.xmp")
    desk.upload("--delete", desk.photos)
    assert [path.name for path in desk.photos.iterdir()] == ["known.jpg"]
    desk.upload("--delete-duplicates", desk.photos)
    assert list(desk.photos.iterdir()) == []
    assert desk.kept().keys() == {"known.jpg", "new.jpg"}


def test_without_hashing_the_server_tells_the_duplicates(desk: Desk) -> None:
    desk.write("a.jpg")
    desk.upload()
    desk.write("b.jpg")
    said = desk.upload("--skip-hash", desk.photos)
    assert "Successfully uploaded 1 new asset" in said
    assert "Skipped 1 duplicate asset" in said
    assert desk.kept().keys() == {"a.jpg", "b.jpg"}


def test_sidecars_of_both_names_come_along(desk: Desk) -> None:
    desk.write("a.jpg", "b.jpg", "c.jpg")
    for name in ("a.xmp", "b.jpg.xmp"):
        (desk.photos / name).write_text(XMP.format(name))
    desk.upload()
    with desk.stack.services.database.reader() as session:
        rows = session.execute(
            select(Asset.original_file_name, AssetFile.path)
            .join(AssetFile, AssetFile.asset_id == Asset.id)
            .where(Asset.owner_id == desk.person.user_id)
        )
        kept = {name: Path(path).read_text() for name, path in rows}
    assert kept == {"a.jpg": XMP.format("a.xmp"), "b.jpg": XMP.format("b.jpg.xmp")}


def test_what_comes_into_a_watched_folder_is_uploaded(desk: Desk, report: Callable[[str], None]) -> None:
    first = desk.write("first.jpg")
    said = desk.home / "said.txt"
    with immich_at_work(desk.home, said, "upload", "--watch", "--recursive", "--no-progress", desk.photos):
        wait_until(lambda: desk.kept() == first, WATCHED_S, "what was there before")
        began = time.monotonic()
        written = desk.write("dropped.jpg", "new folder/deeper.png")
        dropped = {Path(name).name: content for name, content in written.items()}
        desk.write("notes.txt")
        wait_until(lambda: desk.kept() == first | dropped, WATCHED_S, "what was dropped")
    assert "Watching for changes..." in said.read_text()
    report(f"immich upload --watch: two files {time.monotonic() - began:.0f} s after they were dropped")


def test_many_at_once_arrive_each_once(desk: Desk, report: Callable[[str], None]) -> None:
    sent = desk.write(*(f"{number}.jpg" for number in range(64)))
    ran = desk.run("upload", "--concurrency", "16", "--json-output", "--no-progress", desk.photos)
    assert ran.code == 0, ran.output
    assert "Successfully uploaded 64 new assets" in ran.output
    told: dict[str, Any] = json.loads(ran.output[ran.output.index("{") :])
    assert {Path(asset["filepath"]).name for asset in told["newAssets"]} == sent.keys()
    assert len({asset["id"] for asset in told["newAssets"]}) == 64
    assert desk.kept() == sent
    report(f"immich upload --concurrency 16: 64 small files in {ran.took_s:.1f} s, Node's start included")


@pytest.mark.parametrize("visibility", ["archive", "locked"])
def test_photos_may_be_kept_out_of_the_timeline(desk: Desk, visibility: str) -> None:
    desk.write("a.jpg")
    desk.upload("--visibility", visibility, desk.photos)
    with desk.stack.services.database.reader() as session:
        stored = session.scalars(select(Asset.visibility).where(Asset.owner_id == desk.person.user_id)).all()
    assert stored == [visibility]


def test_a_full_quota_is_told_and_the_rest_arrives(
    stack: ApiStack, url: str, join: Callable[..., Person], tmp_path: Path
) -> None:
    desk = Desk(stack, url, join(quota_size_bytes=5000), tmp_path)
    assert desk.run("login", url, desk.person.key).code == 0
    desk.write("a.jpg", "b.jpg")
    said = desk.upload()
    assert "Successfully uploaded 1 new asset" in said
    assert "Failed to upload 1 asset" in said
    assert "Quota has been exceeded!" in said
    assert len(desk.kept()) == 1
