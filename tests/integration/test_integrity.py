"""Where database and disk disagree: found, looked at again, done away with; on both databases."""

import csv
import io
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, event, select, update

from cluster.db.queries import integrity, notes
from cluster.db.tables.asset import Asset, AssetFile, Library
from cluster.db.tables.integrity import IntegrityReport
from cluster.db.tables.move import MoveHistory
from cluster.db.tables.person import Person
from cluster.names import JobName
from cluster.queue.job import NewJob
from cluster.storage.layout import Folder
from serve_app.services.start_queue import MANUAL, ManualJob, run_manual_job
from tasks.jobs import check_checksums, check_missing_files, check_untracked_files, delete_integrity_reports
from tests.api_client import api_client
from tests.inline_server import InlineServer, inline_server

TYPES = {"missing": "missing_file", "untracked": "untracked_file", "checksum": "checksum_mismatch"}


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[InlineServer]:
    (tmp_path / "media").mkdir()
    with inline_server(database_url, tmp_path / "media") as running:
        yield running


def run(server: InlineServer, manual: ManualJob) -> None:
    run_manual_job(server.services, manual)
    server.drain()
    assert server.jobs() == []


def reported(server: InlineServer) -> dict[str, set[str]]:
    """Type → paths."""
    with server.database.reader() as session:
        found: dict[str, set[str]] = {}
        for row in session.scalars(select(IntegrityReport)):
            found.setdefault(row.type, set()).add(row.path)
        return found


def original(server: InlineServer, asset_id: str) -> Path:
    with server.database.reader() as session:
        return Path(session.get_one(Asset, asset_id).original_path)


def add_file(server: InlineServer, asset_id: str, kind: str, content: bytes = b"x") -> Path:
    path = server.services.layout.thumbnail_path(server.owner, asset_id, "preview", "jpeg")
    path = path.with_name(f"{asset_id}_{kind}.jpeg")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    now = server.clock.now()
    row = AssetFile(id=str(uuid.uuid4()), asset_id=asset_id, type=kind, path=str(path), created_at=now, updated_at=now)
    with server.database.session() as session:
        session.add(row)
    return path


def stray(server: InlineServer, folder: Folder, name: str) -> Path:
    path = server.services.layout.folder(folder) / server.owner / "aa" / "bb" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nobody's")
    return path


def pass_time(server: InlineServer) -> None:
    """So long that a new file is no longer new."""
    server.clock.ahead += check_untracked_files.SETTLED + timedelta(minutes=1)


# missing


def test_files_that_are_gone_are_reported_and_no_longer_when_they_are_back(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_missing_files, "RANGE", 3)
    monkeypatch.setattr(check_missing_files, "RANGES_AT_ONCE", 2)
    assets = [server.add_asset(f"{number}.jpg", str(number).encode()) for number in range(20)]
    previews = [add_file(server, asset_id, "preview") for asset_id in assets]
    lost = [original(server, assets[3]), original(server, assets[19]), previews[0], previews[19]]
    for path in lost:
        path.rename(path.with_name(path.name + ".away"))

    run(server, ManualJob.MISSING_FILES)
    assert reported(server) == {"missing_file": set(map(str, lost))}
    run(server, ManualJob.MISSING_FILES)
    assert reported(server) == {"missing_file": set(map(str, lost))}

    for path in (lost[0], lost[2]):
        path.with_name(path.name + ".away").rename(path)
    run(server, ManualJob.MISSING_FILES)
    assert reported(server) == {"missing_file": {str(lost[1]), str(lost[3])}}
    for path in (lost[1], lost[3]):
        path.with_name(path.name + ".away").rename(path)
    run(server, ManualJob.MISSING_FILES_REFRESH)
    assert reported(server) == {}


def test_a_file_that_was_moved_meanwhile_is_not_missing(server: InlineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    asset_id = server.add_asset("a.jpg", b"a")
    path = original(server, asset_id)
    real = check_missing_files.Presence.of

    def move_first(presence: Any, looked_at: str, import_paths: Any) -> bool | None:
        if path.exists():
            path.rename(path.with_name("moved.jpg"))
            with server.database.session() as session:
                session.execute(update(Asset).values(original_path=str(path.with_name("moved.jpg"))))
        return real(presence, looked_at, import_paths)

    monkeypatch.setattr(check_missing_files.Presence, "of", move_first)
    run(server, ManualJob.MISSING_FILES)

    assert not path.exists()
    assert reported(server) == {}


def test_a_media_folder_that_goes_away_midway_is_not_a_loss(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.add_asset("a.jpg", b"a")
    away = server.media.with_name("elsewhere")
    real = check_missing_files.Presence

    def unmount_first() -> Any:
        if server.media.exists():
            server.media.rename(away)
        return real()

    monkeypatch.setattr(check_missing_files, "Presence", unmount_first)
    server.enqueue(MANUAL[ManualJob.MISSING_FILES])
    for _ in range(12):
        server.dispatcher.tick()
        server.settler.tick()

    assert reported(server) == {}
    assert {job.state for job in server.jobs()} == {"delayed"}
    away.rename(server.media)


@pytest.mark.parametrize("disk", ["there", "empty", "gone"])
def test_files_of_an_absent_disk_are_not_missing(server: InlineServer, tmp_path: Path, disk: str) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    (root / "other.jpg").write_bytes(b"1")
    library_id, now = str(uuid.uuid4()), server.clock.now()
    library = Library(
        id=library_id,
        owner_id=server.owner,
        name="",
        import_paths=[f"{root}/"],
        exclusion_patterns=[],
        created_at=now,
        updated_at=now,
    )
    with server.database.session() as session:
        session.add(library)
    columns = {"library_id": library_id, "is_external": True, "checksum_algorithm": "sha1-path"}
    server.add_asset("a.jpg", b"a", original_path=str(root / "a.jpg"), **columns)
    server.add_asset("b.jpg", b"b", original_path=str(root / "b.jpg"), is_offline=True, **columns)
    if disk != "there":
        (root / "other.jpg").unlink()
    if disk == "gone":
        root.rmdir()

    run(server, ManualJob.MISSING_FILES)

    assert reported(server) == ({"missing_file": {str(root / "a.jpg")}} if disk == "there" else {})


def test_doing_away_with_missing_files_trashes_assets_and_forgets_derived_files(server: InlineServer) -> None:
    whole, lost = server.add_asset("whole.jpg", b"w"), server.add_asset("lost.jpg", b"l")
    preview = add_file(server, whole, "preview")
    preview.unlink()
    original(server, lost).unlink()
    run(server, ManualJob.MISSING_FILES)

    run(server, ManualJob.MISSING_FILES_DELETE)

    assert reported(server) == {}
    with server.database.reader() as session:
        statuses = {row.id: row.status for row in session.scalars(select(Asset))}
        files = list(session.scalars(select(AssetFile.path)))
    assert statuses == {whole: "active", lost: "trashed"}
    assert files == []
    assert ("asset_trash", {"asset_ids": [lost]}) in server.events()


# untracked


def test_files_that_no_row_names_are_reported_and_deleted(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_untracked_files, "PAGE", 3)
    assets = [server.add_asset(f"{number}.jpg", str(number).encode()) for number in range(8)]
    previews = [add_file(server, asset_id, "preview") for asset_id in assets]
    strays = [stray(server, folder, f"{letter}.jpg") for folder in check_untracked_files.WALKED for letter in "abcd"]
    stray(server, Folder.PROFILE, "face.jpg")
    stray(server, Folder.UPLOAD, ".hidden.jpg")
    stray(server, Folder.THUMBS, f"{uuid.uuid4()}.jpeg")  # a person's
    stray(server, Folder.THUMBS, f"{uuid.uuid4()}_preview.jpeg.{'0a' * 16}")  # a broken attempt's
    (server.services.layout.folder(Folder.UPLOAD) / "link.jpg").symlink_to(original(server, assets[0]))
    run(server, ManualJob.UNTRACKED_FILES)
    assert reported(server) == {}, "a file that has just appeared may get its row any moment"
    pass_time(server)

    run(server, ManualJob.UNTRACKED_FILES)
    assert reported(server) == {"untracked_file": set(map(str, strays))}

    adopted, kept, gone = strays[0], strays[1], strays[2]
    now = server.clock.now()
    with server.database.session() as session:
        values = {"id": str(uuid.uuid4()), "entity_id": assets[0], "path_type": "original", "new_path": str(adopted)}
        session.add(MoveHistory(old_path="", created_at=now, updated_at=now, **values))
        times = {"created_at": now, "updated_at": now}
        session.add(Person(id=str(uuid.uuid4()), owner_id=server.owner, thumbnail_path=str(kept), **times))
    gone.unlink()
    run(server, ManualJob.UNTRACKED_FILES_REFRESH)
    assert reported(server) == {"untracked_file": set(map(str, strays[3:]))}

    run(server, ManualJob.UNTRACKED_FILES_DELETE)
    assert reported(server) == {}
    assert [path for path in strays if path.exists()] == [adopted, kept]
    assert all(path.exists() for path in previews)
    assert all(original(server, asset_id).exists() for asset_id in assets)


def test_an_untracked_file_that_got_its_row_is_never_deleted(server: InlineServer) -> None:
    path = stray(server, Folder.UPLOAD, "a.jpg")
    pass_time(server)
    run(server, ManualJob.UNTRACKED_FILES)
    assert reported(server) == {"untracked_file": {str(path)}}
    server.add_asset("a.jpg", b"a", original_path=str(path))

    run(server, ManualJob.UNTRACKED_FILES_DELETE)

    assert path.exists()
    assert reported(server) == {}


def test_a_report_that_names_a_file_elsewhere_deletes_nothing(server: InlineServer, tmp_path: Path) -> None:
    victim = tmp_path / "victim.jpg"
    victim.write_bytes(b"1")
    paths = [str(victim), f"{server.services.layout.folder(Folder.UPLOAD)}/../../victim.jpg"]
    with server.database.session() as session:
        integrity.report(
            session, integrity.ReportType.UNTRACKED, [(path, None) for path in paths], None, server.clock.now()
        )

    run(server, ManualJob.UNTRACKED_FILES_DELETE)

    assert victim.exists()
    assert reported(server) == {}


# checksums


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[::-1] + b"!")


def test_changed_files_are_reported_until_they_are_right_again(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check_checksums, "PAGE", 4)
    assets = [server.add_asset(f"{number}.jpg", f"photo {number}".encode()) for number in range(11)]
    changed = [original(server, assets[number]) for number in (0, 5, 10)]
    whole = {path: path.read_bytes() for path in changed}
    for path in changed:
        damage(path)
    original(server, assets[3]).unlink()  # missing is another check's business
    server.add_asset("external.jpg", b"e", checksum=b"x" * 20, checksum_algorithm="sha1-path")

    run(server, ManualJob.CHECKSUM_MISMATCH)
    assert reported(server) == {"checksum_mismatch": set(map(str, changed))}

    changed[0].write_bytes(whole[changed[0]])
    run(server, ManualJob.CHECKSUM_MISMATCH_REFRESH)
    assert reported(server) == {"checksum_mismatch": set(map(str, changed[1:]))}
    changed[1].write_bytes(whole[changed[1]])
    run(server, ManualJob.CHECKSUM_MISMATCH)
    assert reported(server) == {"checksum_mismatch": {str(changed[2])}}
    with server.database.reader() as session:
        assert not notes.read(session, check_checksums.CHECKPOINT)  # everything was covered


def test_a_run_stops_at_its_share_and_the_next_goes_on_there(server: InlineServer) -> None:
    assets = [server.add_asset(f"{number}.jpg", str(number).encode()) for number in range(10)]
    with server.database.session() as session:  # several that came in one moment
        session.execute(update(Asset).where(Asset.id.in_(assets[:6])).values(created_at=server.clock.now()))
    order = sorted(assets, key=lambda asset_id: arrival(server, asset_id))
    for asset_id in assets:
        damage(original(server, asset_id))
    server.configure(integrityChecks={"checksumFiles": {"percentageLimit": 0.4}})

    for reached in (4, 8, 10):
        run(server, ManualJob.CHECKSUM_MISMATCH)
        expected = {str(original(server, asset_id)) for asset_id in order[:reached]}
        assert reported(server) == {"checksum_mismatch": expected}
    with server.database.session() as session:
        session.execute(delete(IntegrityReport))
    run(server, ManualJob.CHECKSUM_MISMATCH)
    assert len(reported(server)["checksum_mismatch"]) == 4  # from the beginning


def arrival(server: InlineServer, asset_id: str) -> tuple[Any, str]:
    with server.database.reader() as session:
        return session.get_one(Asset, asset_id).created_at, asset_id


def test_a_run_stops_when_its_time_is_up(server: InlineServer) -> None:
    damage(original(server, server.add_asset("a.jpg", b"a")))
    server.configure(integrityChecks={"checksumFiles": {"timeLimit": 0}})
    run(server, ManualJob.CHECKSUM_MISMATCH)
    assert reported(server) == {}
    server.configure(integrityChecks={"checksumFiles": {"timeLimit": 60_000}})
    run(server, ManualJob.CHECKSUM_MISMATCH)
    assert len(reported(server)["checksum_mismatch"]) == 1


def test_a_run_whose_time_is_up_before_it_reads_anything_forgets_nothing(server: InlineServer) -> None:
    assets = [server.add_asset(f"{number}.jpg", str(number).encode()) for number in range(4)]
    server.configure(integrityChecks={"checksumFiles": {"percentageLimit": 0.5}})
    run(server, ManualJob.CHECKSUM_MISMATCH)
    for asset_id in assets:
        damage(original(server, asset_id))
    server.configure(integrityChecks={"checksumFiles": {"timeLimit": 0}})
    run(server, ManualJob.CHECKSUM_MISMATCH)
    server.configure(integrityChecks={"checksumFiles": {"percentageLimit": 0.5}})
    run(server, ManualJob.CHECKSUM_MISMATCH)
    second_half = sorted(assets, key=lambda asset_id: arrival(server, asset_id))[2:]
    assert reported(server) == {"checksum_mismatch": {str(original(server, asset_id)) for asset_id in second_half}}


def test_the_library_is_counted_once_in_a_run(server: InlineServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_checksums, "PAGE", 2)
    for number in range(7):
        server.add_asset(f"{number}.jpg", str(number).encode())
    counted = []

    def note(connection: Any, cursor: Any, statement: str, *others: Any) -> None:
        if "count(*)" in statement and "checksum_algorithm" in statement:
            counted.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        run(server, ManualJob.CHECKSUM_MISMATCH)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert len(counted) == 1


def test_a_file_that_does_not_answer_keeps_its_report_and_holds_up_no_other(server: InlineServer) -> None:
    unreadable, sound = (original(server, server.add_asset(name, b"a" + name.encode())) for name in ("a.jpg", "b.jpg"))
    for path in (unreadable, sound):
        damage(path)
    run(server, ManualJob.CHECKSUM_MISMATCH)
    unreadable.unlink()
    unreadable.symlink_to("/proc/self/mem")  # a regular file whose beginning cannot be read
    sound.write_bytes(b"ab.jpg")

    run(server, ManualJob.CHECKSUM_MISMATCH_REFRESH)

    assert reported(server) == {"checksum_mismatch": {str(unreadable)}}


def test_doing_away_with_a_changed_file_trashes_its_asset(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delete_integrity_reports, "PAGE", 2)
    assets = [server.add_asset(f"{number}.jpg", str(number).encode()) for number in range(5)]
    for asset_id in assets:
        damage(original(server, asset_id))
    run(server, ManualJob.CHECKSUM_MISMATCH)
    server.enqueue(NewJob(JobName.INTEGRITY_DELETE_REPORT_TYPE, {}))
    server.drain()

    assert reported(server) == {}
    with server.database.reader() as session:
        assert set(session.scalars(select(Asset.status))) == {"trashed"}
    assert all(original(server, asset_id).exists() for asset_id in assets)


# the API


def published(rows: str) -> list[Mapping[str, str]]:
    return list(csv.DictReader(io.StringIO(rows)))


def test_reports_are_counted_listed_and_downloaded(database_url: str, tmp_path: Path) -> None:
    media = tmp_path / "media"
    with api_client(database_url, media) as anyone:
        api = anyone.sign_up()
        path = media / "upload" / 'a "b", c.jpg'
        path.parent.mkdir(parents=True)
        path.write_bytes(b"content")
        outside = tmp_path / "outside.jpg"
        outside.write_bytes(b"secret")
        (media / "upload" / "link.jpg").symlink_to(outside)
        names = [str(path), str(media / "upload" / "gone.jpg"), str(outside), str(media / "upload" / "link.jpg")]
        with api.services.database.session() as session:
            rows: list[tuple[str, str | None]] = [(name, None) for name in names]
            integrity.report(session, integrity.ReportType.UNTRACKED, rows, None, api.services.clock.now())

        summary = api.get("/admin/integrity/summary").json()
        assert summary == {"checksum_mismatch": 0, "missing_file": 0, "untracked_file": 4}
        assert api.get("/admin/integrity/report?type=missing_file").json() == {"items": []}
        seen, cursor = list[dict[str, str]](), ""
        while True:
            page = api.get(f"/admin/integrity/report?type=untracked_file&limit=3{cursor}").json()
            seen += page["items"]
            if "nextCursor" not in page:
                break
            cursor = f"&cursor={page['nextCursor']}"
        assert [item["path"] for item in seen] == sorted(names)
        ids = {item["path"]: item["id"] for item in seen}

        table = api.get("/admin/integrity/report/untracked_file/csv")
        assert table.headers["content-type"].startswith("application/octet-stream")
        assert [row["path"] for row in published(table.text)] == sorted(names)

        file = api.get(f"/admin/integrity/report/{ids[str(path)]}/file")
        assert (file.status_code, file.content) == (200, b"content")
        for name in names[1:]:  # gone, outside, a link that leads out
            assert api.get(f"/admin/integrity/report/{ids[name]}/file").status_code == 404

        assert api.delete(f"/admin/integrity/report/{ids[str(path)]}").status_code == 200
        assert api.delete(f"/admin/integrity/report/{ids[str(path)]}").status_code == 404
        assert api.get("/admin/integrity/summary").json()["untracked_file"] == 3
        for wrong in ("type=nothing", "type=missing_file&limit=0", "type=missing_file&cursor=*", "limit=3"):
            assert api.get(f"/admin/integrity/report?{wrong}").status_code == 400


def test_reports_are_for_admins_and_keys_with_the_permission(database_url: str, tmp_path: Path) -> None:
    some_id = str(uuid.uuid4())
    with api_client(database_url, tmp_path / "media") as anyone:
        admin = anyone.sign_up()
        bob = admin.other_user()
        for path in ("summary", "report?type=missing_file", "report/missing_file/csv", f"report/{some_id}/file"):
            assert anyone.get(f"/admin/integrity/{path}").status_code == 401
            assert bob.get(f"/admin/integrity/{path}").status_code == 403
            assert admin.with_key("asset.read").get(f"/admin/integrity/{path}").status_code == 403
        assert bob.delete(f"/admin/integrity/report/{some_id}").status_code == 403
        assert admin.with_key("maintenance").get("/admin/integrity/summary").status_code == 200


def test_rows_are_cut_into_ranges_whose_jobs_hold_no_paths(
    server: InlineServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(7):
        server.add_asset(f"{number}.jpg", b"a%d" % number)
    monkeypatch.setattr(check_missing_files, "RANGE", 3)
    server.enqueue(MANUAL[ManualJob.MISSING_FILES])
    for _ in range(20):
        server.dispatcher.tick()
        server.settler.tick()
        payloads = [job.payload for job in server.jobs() if job.name is JobName.INTEGRITY_MISSING_FILES]
        if payloads:
            break

    assert len(payloads) == 4  # 3 + 3 + 1 assets, no derived files
    assert max(len(str(payload)) for payload in payloads) < 200
