"""The whole chain, from an accepted upload to its thumbnails, on both databases, without Ray.

Loops, store, photos and programs are real; only the runner is the inline one.
"""

import uuid
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import select, update

from cluster.db.tables.asset import Asset, AssetAudio, AssetExif, AssetFile, AssetJobStatus, AssetVideo
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from tasks import queue_all
from tasks.jobs import generate_thumbnails
from tasks.jobs.delete_files import delete_files
from tasks.media.formats import is_image
from tasks.pipeline import after_upload
from tests.camera import PARIS, clip, exiftool, photo
from tests.inline_stack import Stack, names_seen
from tests.shared_media import media_dir


def test_an_uploaded_photo_goes_through_the_whole_chain(stack: Stack) -> None:
    asset_id = stack.upload("IMG_1.JPG", photo(orientation=6))

    stack.drain()

    asset, exif, files = stack.asset(asset_id), stack.exif(asset_id), stack.files(asset_id)
    assert stack.failed() == {}
    assert (exif.make, exif.model, exif.orientation, exif.iso, exif.f_number) == ("Helio", "Stat 1", "6", 200, 2.8)
    assert (exif.exposure_time, exif.description) == ("1/250", "By the river")
    assert (exif.image_width_px, exif.image_height_px) == (1600, 1200)
    assert (asset.width_px, asset.height_px) == (1200, 1600)
    assert exif.date_time_original == asset.file_created_at == datetime(2021, 7, 14, 16, 30, 5, tzinfo=UTC)
    assert asset.local_date_time == datetime(2021, 7, 14, 18, 30, 5, tzinfo=UTC)
    assert exif.latitude == pytest.approx(PARIS[0], abs=1e-4)
    assert exif.longitude == pytest.approx(PARIS[1], abs=1e-4)
    assert (exif.city, exif.country) == ("Paris", "France")
    assert asset.thumbhash is not None
    assert set(files) == {"thumbnail", "preview"}
    with Image.open(files["preview"]) as preview, Image.open(files["thumbnail"]) as thumbnail:
        assert (preview.format, preview.size) == ("JPEG", (1200, 1600))  # upright, never enlarged
        assert (thumbnail.format, thumbnail.size) == ("WEBP", (250, 333))
    on_disk = {path for path in (stack.media / "thumbs").rglob("*") if path.is_file()}
    assert on_disk == set(files.values())  # nothing half-written stays


def test_the_chain_ends_where_the_specification_says(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))

    stack.drain()

    seen = names_seen(stack, asset_id)
    assert seen[:3] == [
        JobName.ASSET_EXTRACT_METADATA,
        JobName.STORAGE_TEMPLATE_MIGRATION_SINGLE,
        JobName.ASSET_GENERATE_THUMBNAILS,
    ]
    assert set(seen[3:]) == {
        JobName.SMART_SEARCH,
        JobName.ASSET_DETECT_FACES,
        JobName.OCR,
        JobName.ASSET_DETECT_DUPLICATES,
    }
    assert len(seen) == len(set(seen))
    assert stack.events() == [("upload_success", {"asset_id": asset_id})]


def test_bad_files_are_failed_by_name_and_good_ones_finish(stack: Stack) -> None:
    whole = photo(400, 300)
    good = [stack.upload(f"good{number}.jpg", photo(400, 300)) for number in range(4)]
    bad = {
        stack.upload("empty.jpg", b""): "empty.jpg",
        stack.upload("cut.jpg", whole[: len(whole) // 2]): "cut.jpg",
        stack.upload("text.png", b"this is no picture"): "text.png",
        stack.upload("words.heic", b"\0" * 64): "words.heic",
    }

    stack.drain()

    failed = stack.failed()
    assert set(failed) == set(bad)
    for asset_id, name in bad.items():
        assert failed[asset_id].name is JobName.ASSET_GENERATE_THUMBNAILS
        assert name in failed[asset_id].error
        assert failed[asset_id].attempts == 1  # a second look would see the same bytes
        assert stack.files(asset_id) == {}
    for asset_id in good:
        assert set(stack.files(asset_id)) == {"thumbnail", "preview"}
    on_disk = {path for path in (stack.media / "thumbs").rglob("*") if path.is_file()}
    assert on_disk == {path for asset_id in good for path in stack.files(asset_id).values()}


def test_a_missing_original_fails_and_writes_nothing(stack: Stack) -> None:
    asset_id = stack.upload("lost.jpg", photo(64, 48))
    Path(stack.asset(asset_id).original_path).unlink()

    stack.drain()

    failure = stack.failed()[asset_id]
    assert failure.name is JobName.ASSET_EXTRACT_METADATA
    assert "lost.jpg" in failure.error
    assert stack.exif(asset_id).make is None
    assert names_seen(stack, asset_id) == []
    assert stack.events() == []


def test_a_hidden_asset_gets_no_thumbnail_but_its_chain_goes_on(stack: Stack) -> None:
    asset_id = stack.upload("motion.jpg", photo(64, 48), visibility="hidden")

    stack.drain()

    assert stack.failed() == {}
    assert stack.files(asset_id) == {}
    assert stack.exif(asset_id).make == "Helio"
    assert JobName.SMART_SEARCH in names_seen(stack, asset_id)
    assert stack.events() == []


def test_nothing_follows_for_an_asset_that_was_deleted_meanwhile(stack: Stack) -> None:
    asset_id = stack.upload("gone.jpg", photo(64, 48))
    with stack.database.session() as session:
        session.delete(session.get_one(Asset, asset_id))

    stack.drain()

    assert stack.failed() == {}
    assert names_seen(stack, asset_id) == [JobName.ASSET_EXTRACT_METADATA]
    assert stack.events() == []


def test_files_of_an_asset_that_was_deleted_during_the_work_are_deleted(stack: Stack) -> None:
    asset_id = stack.upload("gone.jpg", photo(400, 300))
    stack.drain()
    again = asset_job(JobName.ASSET_GENERATE_THUMBNAILS, asset_id)
    stack.enqueue(again)
    stack.dispatcher.tick()  # leased, loaded and under way
    files = stack.files(asset_id).values()
    with stack.database.session() as session:
        session.delete(session.get_one(Asset, asset_id))

    stack.drain()

    assert stack.failed() == {}
    assert len(files) == 2
    assert not any(path.exists() for path in files)


def test_a_video_keeps_its_stream_facts_and_is_sent_to_transcoding(stack: Stack, tmp_path: Path) -> None:
    asset_id = stack.upload("clip.mp4", clip(tmp_path / "clip.mp4"), type="VIDEO")

    stack.drain()

    assert stack.failed() == {}
    asset = stack.asset(asset_id)
    assert (asset.width_px, asset.height_px) == (320, 240)
    assert asset.duration_ms == pytest.approx(2000, abs=100)
    assert asset.thumbhash is not None
    assert set(stack.files(asset_id)) == {"thumbnail", "preview"}
    with stack.database.reader() as session:
        video, audio = session.get_one(AssetVideo, asset_id), session.get_one(AssetAudio, asset_id)
    assert video.facts["codec"] == "h264"
    assert audio.facts["codec"] == "aac"
    assert JobName.ASSET_ENCODE_VIDEO in names_seen(stack, asset_id)


def test_a_moving_gif_is_pictured_like_a_video_and_not_transcoded(stack: Stack, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (120, 80), (60 * number, 90, 200)) for number in range(4)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:], duration=200)
    asset_id = stack.upload("moving.gif", tmp_path / "moving.gif")

    stack.drain()

    assert stack.failed() == {}
    assert set(stack.files(asset_id)) == {"thumbnail", "preview"}
    assert stack.asset(asset_id).duration_ms == pytest.approx(800, abs=50)
    assert JobName.ASSET_ENCODE_VIDEO not in names_seen(stack, asset_id)


def test_a_broken_video_fails_by_name(stack: Stack) -> None:
    asset_id = stack.upload("broken.mp4", b"\0\0\0\x18ftypmp42" + b"x" * 500, type="VIDEO")

    stack.drain()

    assert "broken.mp4" in stack.failed()[asset_id].error


def test_what_a_person_set_is_not_overwritten(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    by_hand = datetime(1999, 12, 31, 23, 0, tzinfo=UTC)
    stack.change(asset_id, local_date_time=by_hand, file_created_at=by_hand)
    locked = ["date_time_original", "time_zone", "description", "latitude", "longitude", "rating"]
    set_by_hand = {"date_time_original": by_hand, "description": "Grandma", "latitude": 52.5, "longitude": 13.4}
    with stack.database.session() as session:
        place = {"city": "Berlin", "rating": 4, "locked_properties": locked}
        session.execute(update(AssetExif).where(AssetExif.asset_id == asset_id).values(**set_by_hand, **place))

    stack.drain()

    exif, asset = stack.exif(asset_id), stack.asset(asset_id)
    assert (exif.description, exif.latitude, exif.longitude) == ("Grandma", 52.5, 13.4)
    assert (exif.city, exif.rating, exif.locked_properties) == ("Berlin", 4, locked)
    assert exif.date_time_original == asset.local_date_time == asset.file_created_at == by_hand
    assert exif.make == "Helio"  # the rest is read


def test_a_sidecar_wins_over_the_photo(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    sidecar = Path(stack.asset(asset_id).original_path + ".xmp")
    sidecar.write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Make="Beside" rdf:about=""/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    now = datetime.now(UTC)
    with stack.database.session() as session:
        row = {"id": str(uuid.uuid4()), "asset_id": asset_id, "type": "sidecar", "path": str(sidecar)}
        session.add(AssetFile(**row, created_at=now, updated_at=now))

    stack.drain()

    assert (stack.exif(asset_id).make, stack.exif(asset_id).model) == ("Beside", "Stat 1")
    assert set(stack.files(asset_id)) == {"sidecar", "thumbnail", "preview"}


def test_places_are_not_looked_up_when_that_is_off(stack: Stack) -> None:
    stack.set_config(reverseGeocoding={"enabled": False})
    asset_id = stack.upload("a.jpg", photo(64, 48))

    stack.drain()

    assert (stack.exif(asset_id).city, stack.exif(asset_id).country) == (None, None)
    assert stack.exif(asset_id).latitude is not None


def test_the_chain_goes_through_the_storage_template_when_it_is_on(stack: Stack) -> None:
    stack.set_config(storageTemplate={"enabled": True})
    asset_id = stack.upload("a.jpg", photo(64, 48))

    stack.drain(leave_delayed=True)

    assert stack.failed() == {}
    path = Path(stack.asset(asset_id).original_path)
    assert path == stack.media / "library" / stack.owner / "2021/2021-07-14/a.jpg"
    assert path.is_file()
    assert set(stack.files(asset_id)) == {"thumbnail", "preview"}


def test_a_run_for_all_replaces_files_and_the_old_ones_are_deleted(stack: Stack) -> None:
    assets = [stack.upload(f"{number}.jpg", photo(400, 300)) for number in range(3)]
    stack.drain()
    old = [path for asset_id in assets for path in stack.files(asset_id).values()]
    events = stack.events()
    stack.set_config(image={"thumbnail": {"format": "jpeg"}, "preview": {"format": "webp", "size": 100}})

    stack.enqueue(NewJob(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL, {"force": True}))
    stack.drain()

    assert stack.failed() == {}
    for asset_id in assets:
        files = stack.files(asset_id)
        assert {kind: path.suffix for kind, path in files.items()} == {"thumbnail": ".jpeg", "preview": ".webp"}
        with Image.open(files["preview"]) as preview:
            assert min(preview.size) == 100
    assert len(old) == 6
    assert not any(path.exists() for path in old)
    assert stack.events() == events  # nobody waits for a whole run


def test_a_full_size_copy_comes_and_goes_with_its_setting(stack: Stack, tmp_path: Path) -> None:
    Image.new("RGB", (300, 200), "teal").save(tmp_path / "scan.tif")
    asset_id = stack.upload("scan.tif", tmp_path / "scan.tif")
    stack.set_config(image={"fullsize": {"enabled": True}})
    stack.drain()
    copy = stack.files(asset_id)["fullsize"]
    assert copy.exists()
    stack.set_config()

    stack.enqueue(asset_job(JobName.ASSET_GENERATE_THUMBNAILS, asset_id))
    stack.drain()

    assert set(stack.files(asset_id)) == {"thumbnail", "preview"}
    assert not copy.exists()


def test_a_run_for_missing_ones_takes_those_alone_and_revives_failures(stack: Stack) -> None:
    whole = stack.upload("whole.jpg", photo(400, 300))
    mended = stack.upload("mended.jpg", b"broken")
    hidden = stack.upload("hidden.jpg", photo(64, 48), visibility="hidden")
    deleted = stack.upload("deleted.jpg", b"broken", deleted_at=datetime.now(UTC))
    stack.drain()
    assert set(stack.failed()) == {mended, deleted}
    Path(stack.asset(mended).original_path).write_bytes(photo(400, 300))
    stack.seen.clear()

    stack.enqueue(NewJob(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL, {"force": False}))
    stack.drain()

    assert set(stack.failed()) == {deleted}
    assert set(stack.files(mended)) == {"thumbnail", "preview"}
    assert names_seen(stack, mended)[0] is JobName.ASSET_GENERATE_THUMBNAILS
    assert names_seen(stack, whole) == names_seen(stack, hidden) == []


def test_missing_metadata_is_what_was_never_extracted(stack: Stack) -> None:
    known, lost = stack.upload("known.jpg", photo(64, 48)), stack.upload("lost.jpg", photo(64, 48))
    path = Path(stack.asset(lost).original_path)
    content = path.read_bytes()
    path.unlink()
    stack.drain()
    path.write_bytes(content)
    stack.seen.clear()

    stack.enqueue(NewJob(JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL))
    stack.drain()
    assert names_seen(stack, known) == []
    assert stack.exif(lost).make == "Helio"
    assert stack.failed() == {}

    stack.enqueue(NewJob(JobName.ASSET_EXTRACT_METADATA_QUEUE_ALL, {"force": True}))
    stack.drain()
    assert JobName.ASSET_EXTRACT_METADATA in names_seen(stack, known)


def test_a_whole_run_walks_page_by_page(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_all, "PAGE", 2)
    monkeypatch.setattr(generate_thumbnails, "PAGE", 2)
    assets = [stack.upload(f"{number}.jpg", photo(64, 48)) for number in range(5)]
    stack.drain()
    stack.seen.clear()

    stack.enqueue(NewJob(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL, {"force": True}))
    stack.drain()

    made = [asset_id for name, asset_id in stack.seen if name is JobName.ASSET_GENERATE_THUMBNAILS]
    assert sorted(made, key=str) == sorted(assets)


def test_a_path_that_a_row_names_again_is_not_deleted(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    stray = stack.media / "stray.jpg"
    stray.write_bytes(b"x")
    original, kept = stack.asset(asset_id).original_path, stack.files(asset_id)["preview"]

    stack.enqueue(delete_files([str(kept), original, str(stray), str(stack.media / "never.jpg")]))
    stack.enqueue(NewJob(JobName.FILE_DELETE, {"files": [None, str(stack.media)]}))  # a folder cannot be unlinked
    stack.drain()

    assert kept.exists()
    assert Path(original).exists()
    assert not stray.exists()
    assert stack.failed() == {}


def test_running_a_job_twice_leaves_the_rows_of_once(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", photo(400, 300))
    stack.drain()
    before, asset = stack.files(asset_id), stack.asset(asset_id)

    stack.enqueue(after_upload(asset_id))
    stack.drain()

    assert stack.files(asset_id) == before
    assert stack.asset(asset_id).thumbhash == asset.thumbhash
    with stack.database.reader() as session:
        assert len(session.scalars(select(AssetFile)).all()) == 2
        status = session.get_one(AssetJobStatus, asset_id)
    assert status.metadata_extracted_at is not None


def test_every_shared_photo_is_complete_and_agrees_with_exiftool(stack: Stack) -> None:
    photos = {
        stack.upload(path.name, path): path
        for path in sorted(media_dir().rglob("*"))
        if path.is_file() and is_image(path.name)
    }
    assert len(photos) > 10

    stack.drain(timeout_s=110)

    assert stack.failed() == {}
    for asset_id, path in photos.items():
        asset, exif, files = stack.asset(asset_id), stack.exif(asset_id), stack.files(asset_id)
        assert asset.thumbhash, path
        with Image.open(files["preview"]) as preview, Image.open(files["thumbnail"]) as thumbnail:
            assert (preview.width > preview.height) is (asset.width_px > asset.height_px), path  # type: ignore[operator]
            assert min(preview.size) == min(1440, asset.width_px, asset.height_px), path  # type: ignore[type-var]
            assert min(thumbnail.size) == min(250, *preview.size), path
        said = exiftool(path)
        assert exif.file_size_bytes == path.stat().st_size
        if "Make" in said:
            assert (exif.make, exif.model) == (said["Make"].strip(), said["Model"].strip()), path
        assert f"{exif.image_width_px} {exif.image_height_px}" == said["ImageSize"].replace("x", " "), path
        assert exif.iso == said.get("ISO"), path
        if said.get("GPSLatitude"):  # an empty one is none
            assert exif.latitude == pytest.approx(said["GPSLatitude"], abs=1e-6), path
            assert exif.longitude == pytest.approx(said["GPSLongitude"], abs=1e-6), path
        if "DateTimeOriginal" in said:
            assert f"{asset.local_date_time:%Y:%m:%d %H:%M:%S}" == said["DateTimeOriginal"][:19], path
