"""Sidecars on both databases: found, lost, written with what a person said, and read back. exiftool is the judge."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cluster.db.tables.asset import AssetExif
from cluster.db.tables.move import MoveHistory
from cluster.names import JobName
from cluster.queue.job import NewJob, Skipped, asset_job
from cluster.storage.files import sha1_of
from tasks.jobs import write_sidecar
from tasks.jobs.write_sidecar import WriteInput
from tasks.tools import Tools
from tests.camera import exiftool, photo
from tests.inline_stack import Stack, names_seen

XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="{make}" rdf:about=""/>'
    "</rdf:RDF></x:xmpmeta>"
)
WRITE = JobName.SIDECAR_WRITE


def original(stack: Stack, asset_id: str) -> Path:
    return Path(stack.asset(asset_id).original_path)


def set_by_hand(stack: Stack, asset_id: str, *more_locked: str, **columns: Any) -> None:
    """As PUT /assets does it."""
    locked = {"locked_properties": sorted({*columns, *more_locked})}
    with stack.database.session() as session:
        session.execute(update(AssetExif).where(AssetExif.asset_id == asset_id).values(**columns, **locked))


def check(stack: Stack, force: bool) -> None:
    stack.seen.clear()
    stack.enqueue(NewJob(JobName.SIDECAR_QUEUE_ALL, {"force": force}))
    stack.drain()


def test_sidecars_are_found_replaced_and_lost(stack: Stack) -> None:
    both, short, none = (stack.upload(f"{name}.jpg", photo(64, 48)) for name in ("both", "short", "none"))
    stack.drain()
    long_name = Path(f"{original(stack, both)}.xmp")
    long_name.write_text(XMP.format(make="Long"))
    original(stack, both).with_suffix(".xmp").write_text(XMP.format(make="Short"))
    original(stack, short).with_suffix(".xmp").write_text(XMP.format(make="Short"))

    check(stack, force=False)

    assert [stack.exif(one).make for one in (both, short, none)] == ["Long", "Short", "Helio"]
    assert stack.files(both)["sidecar"] == long_name
    assert "sidecar" not in stack.files(none)
    assert names_seen(stack, none) == [
        JobName.SIDECAR_CHECK,
        JobName.ASSET_EXTRACT_METADATA,
        JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE,
    ]

    long_name.unlink()
    original(stack, short).with_suffix(".xmp").unlink()
    check(stack, force=False)
    assert names_seen(stack, both) == names_seen(stack, short) == []  # both have one, as far as the rows know

    check(stack, force=True)

    assert [stack.exif(one).make for one in (both, short, none)] == ["Short", "Helio", "Helio"]
    assert "sidecar" not in stack.files(short)
    assert stack.failed() == {}


def test_an_original_that_is_away_keeps_its_sidecar(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    beside = Path(f"{original(stack, asset_id)}.xmp")
    beside.write_text(XMP.format(make="Beside"))
    check(stack, force=True)
    original(stack, asset_id).unlink()
    beside.unlink()

    check(stack, force=True)

    assert stack.files(asset_id)["sidecar"] == beside


def test_a_sidecar_that_leads_out_of_the_library_is_none(stack: Stack, tmp_path: Path) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    (tmp_path / "secret.xmp").write_text(XMP.format(make="Secret"))
    Path(f"{original(stack, asset_id)}.xmp").symlink_to(tmp_path / "secret.xmp")

    check(stack, force=True)

    assert stack.exif(asset_id).make == "Helio"
    assert "sidecar" not in stack.files(asset_id)


def test_what_a_person_said_goes_to_the_sidecar_and_comes_back_from_it(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    before = sha1_of(original(stack, asset_id))
    taken = datetime(1999, 12, 31, 22, 30, 0, 250_000, tzinfo=UTC)
    said = {"description": 'Grandma & "co"\n2nd line', "rating": 4, "tags": ["People/Grandma", "a, b"]}
    where = {"latitude": 18.92191234, "longitude": 72.83465678}
    set_by_hand(stack, asset_id, date_time_original=taken, time_zone="Asia/Kolkata", **said, **where)

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    exif, asset, sidecar = stack.exif(asset_id), stack.asset(asset_id), stack.files(asset_id)["sidecar"]
    assert sidecar == Path(f"{original(stack, asset_id)}.xmp")
    assert exif.locked_properties == []
    written = exiftool(sidecar)
    assert (written["Description"], written["ImageDescription"]) == (said["description"], said["description"])
    assert written["DateTimeOriginal"] == "2000:01:01 04:00:00.250+05:30"
    assert (written["GPSLatitude"], written["GPSLongitude"]) == pytest.approx(tuple(where.values()), abs=1e-8)
    assert (written["Rating"], written["TagsList"]) == (4, said["tags"])
    assert (exif.description, exif.rating, exif.tags) == tuple(said.values())
    assert (exif.latitude, exif.longitude) == pytest.approx(tuple(where.values()), abs=1e-8)
    assert exif.country == "India"
    assert exif.date_time_original == asset.file_created_at == taken
    assert exif.time_zone == "Asia/Kolkata"
    assert asset.local_date_time == datetime(2000, 1, 1, 4, 0, 0, 250_000, tzinfo=UTC)
    assert exif.make == "Helio"  # the rest is still read from the photo
    assert sha1_of(original(stack, asset_id)) == before
    assert stack.events()[-1] == ("asset_update", {"asset_id": asset_id})
    assert sorted(path.name for path in sidecar.parent.iterdir()) == [sidecar.name[:-4], sidecar.name]


def test_a_zone_without_a_position_comes_back_as_its_offset(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    set_by_hand(stack, asset_id, time_zone="America/New_York")

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    exif, asset = stack.exif(asset_id), stack.asset(asset_id)
    assert (exif.time_zone, exif.locked_properties) == ("UTC-4", [])
    assert exif.date_time_original == datetime(2021, 7, 14, 16, 30, 5, tzinfo=UTC)
    assert asset.local_date_time == datetime(2021, 7, 14, 12, 30, 5, tzinfo=UTC)


def test_a_sidecar_keeps_what_else_it_says(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    beside = Path(f"{original(stack, asset_id)}.xmp")
    beside.write_text(XMP.format(make="Beside"))
    beside.chmod(0o640)
    stack.drain()
    set_by_hand(stack, asset_id, rating=2)

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    assert (stack.exif(asset_id).make, stack.exif(asset_id).rating) == ("Beside", 2)
    assert beside.stat().st_mode & 0o777 == 0o640


def test_what_was_emptied_stays_empty(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    assert stack.exif(asset_id).description == "By the river"
    set_by_hand(stack, asset_id, description="", rating=None, tags=[])

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    exif = stack.exif(asset_id)
    assert (exif.description, exif.rating, exif.tags) == ("", None, [])
    assert exif.locked_properties == ["tags"]  # no sidecar can say that there are none


def test_without_anything_locked_nothing_is_written_but_metadata_is_read(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    stack.seen.clear()

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    assert "sidecar" not in stack.files(asset_id)
    assert names_seen(stack, asset_id)[:2] == [WRITE, JobName.ASSET_EXTRACT_METADATA]


def test_a_change_during_the_write_stays_locked(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    set_by_hand(stack, asset_id, rating=2, description="first")
    stack.enqueue(asset_job(WRITE, asset_id))
    stack.dispatcher.tick()  # leased and loaded
    set_by_hand(stack, asset_id, "rating", description="second")
    stack.settle_one()

    assert (stack.exif(asset_id).description, stack.exif(asset_id).locked_properties) == ("second", ["description"])

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    assert (stack.exif(asset_id).description, stack.exif(asset_id).locked_properties) == ("second", [])
    assert exiftool(stack.files(asset_id)["sidecar"])["Description"] == "second"


def test_a_move_meanwhile_makes_it_write_again_where_the_files_are_then(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    set_by_hand(stack, asset_id, rating=2)
    old = original(stack, asset_id)
    new = old.with_name("moved.jpg")
    stack.enqueue(asset_job(WRITE, asset_id))
    stack.dispatcher.tick()  # leased and loaded
    new.hardlink_to(old)  # the old name goes when no job needs it any more
    stack.change(asset_id, original_path=str(new))
    stack.settle_one()

    assert stack.exif(asset_id).locked_properties == ["rating"]
    stack.drain(leave_delayed=True)
    stack.end_delays()
    stack.drain()

    assert stack.files(asset_id)["sidecar"] == Path(f"{new}.xmp")
    assert (stack.exif(asset_id).rating, stack.exif(asset_id).locked_properties) == (2, [])
    assert {path.name for path in new.parent.iterdir()} == {old.name, "moved.jpg", "moved.jpg.xmp"}


def test_files_that_are_being_moved_are_waited_for(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    set_by_hand(stack, asset_id, rating=2)
    move = {"entity_id": asset_id, "path_type": "original", "old_path": "/a", "new_path": "/b"}
    with stack.database.session() as session:
        times = {"created_at": stack.clock.now(), "updated_at": stack.clock.now()}
        session.add(MoveHistory(id="move", **move, **times))
    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain(leave_delayed=True)
    assert stack.exif(asset_id).locked_properties == ["rating"]
    assert "sidecar" not in stack.files(asset_id)

    with stack.database.session() as session:
        session.delete(session.get_one(MoveHistory, "move"))
    stack.end_delays()
    stack.drain()

    assert stack.exif(asset_id).locked_properties == []


def test_a_sidecar_that_cannot_be_written_loses_nothing(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    beside = Path(f"{original(stack, asset_id)}.xmp")
    beside.write_bytes(b"<this is no XMP")
    set_by_hand(stack, asset_id, rating=5)

    stack.enqueue(asset_job(WRITE, asset_id))
    stack.drain()

    assert beside.read_bytes() == b"<this is no XMP"
    assert (stack.exif(asset_id).rating, stack.exif(asset_id).locked_properties) == (5, ["rating"])
    assert stack.failed() == {}


def test_a_folder_that_may_not_be_written_is_no_failure(tmp_path: Path) -> None:
    original = tmp_path / "readonly" / "a.jpg"
    original.parent.mkdir()
    original.touch()
    original.parent.chmod(0o500)
    if os.geteuid() == 0:  # root may write everywhere but there
        original = Path("/sys/kernel/mm")
    given = WriteInput(str(original), "a.jpg", None, (str(tmp_path),), {"rating": 3})
    tools = Tools()
    tools.token = "token"

    outcome = write_sidecar.work(given, tools)

    tools.close()
    assert isinstance(outcome, Skipped)
    assert "cannot be written" in outcome.reason
