"""What extraction links an asset with, on both databases: the other half of a live photo, the video inside a motion
photo, tags, and people."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pillow_heif
import pytest
from PIL import Image
from sqlalchemy import select

from cluster.db.queries.tags import tags_of
from cluster.db.tables.album import Album, AlbumAsset
from cluster.db.tables.asset import Asset, AssetExif, AssetVideo
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.tag import Tag, TagAsset
from cluster.db.tables.user import User
from cluster.names import JobName
from cluster.queue.job import NewJob, asset_job
from cluster.storage.files import sha1_of
from tests.camera import clip, photo
from tests.inline_stack import Stack, names_seen
from tests.motion_photos import (
    google_micro_video,
    google_motion_photo,
    samsung_heic,
    samsung_motion_photo,
    with_xmp,
    xmp,
)
from tests.programs import program
from tests.shared_media import media_dir

CID = "4E5BD3A1-4F5C-4C5E-9F4C-000000000001"
EXTRACT = JobName.ASSET_EXTRACT_METADATA


def live_photo() -> bytes:
    return with_xmp(photo(64, 48), xmp(f'GCamera:ContentIdentifier="{CID}"'))


@pytest.fixture(scope="module")
def plain_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture(scope="module")
def live_video(plain_video: Path) -> Path:
    said = ["-movflags", "use_metadata_tags", "-metadata", f"com.apple.quicktime.content.identifier={CID}"]
    path = plain_video.with_name("live.mov")
    subprocess.run([program("ffmpeg"), "-v", "error", "-i", plain_video, "-c", "copy", *said, path], check=True)
    return path


def rows(stack: Stack, table: Any, *conditions: Any) -> list[Any]:
    with stack.database.reader() as session:
        return list(session.scalars(select(table).where(*conditions)))


def extract_again(stack: Stack, *asset_ids: str) -> None:
    stack.seen.clear()
    stack.enqueue(*(asset_job(EXTRACT, asset_id) for asset_id in asset_ids))
    stack.drain()


@pytest.mark.parametrize("photo_first", [True, False])
def test_the_halves_of_a_live_photo_find_each_other(stack: Stack, live_video: Path, photo_first: bool) -> None:
    halves: list[Callable[[], str]] = [
        lambda: stack.upload("IMG_1.jpg", live_photo()),
        lambda: stack.upload("IMG_1.mov", live_video, type="VIDEO"),
    ]
    ids = {}
    for index in (0, 1) if photo_first else (1, 0):
        ids[index] = halves[index]()
        stack.drain()
    still, moving = ids[0], ids[1]

    assert stack.asset(still).live_photo_video_id == moving
    assert (stack.asset(still).visibility, stack.asset(moving).visibility) == ("timeline", "hidden")
    assert ("asset_hidden", {"asset_id": moving}) in stack.events()
    assert stack.failed() == {}


def test_a_video_that_becomes_half_of_a_photo_leaves_its_albums(stack: Stack, live_video: Path) -> None:
    moving = stack.upload("IMG_1.mov", live_video, type="VIDEO")
    stack.drain()
    asset = stack.asset(moving)
    times = {"created_at": asset.created_at, "updated_at": asset.updated_at}
    with stack.database.session() as session:
        session.add(Album(id="album", owner_id=stack.owner, name="Summer", **times))
        session.flush()
        session.add(AlbumAsset(album_id="album", asset_id=moving, created_at=asset.created_at))

    still = stack.upload("IMG_1.jpg", live_photo())
    stack.drain()
    hidden = [event for event in stack.events() if event[0] == "asset_hidden"]
    extract_again(stack, still, moving)

    assert rows(stack, AlbumAsset) == []
    assert [event for event in stack.events() if event[0] == "asset_hidden"] == hidden  # told once


def test_one_half_alone_or_in_the_trash_links_nothing(stack: Stack, live_video: Path) -> None:
    moving = stack.upload("IMG_1.mov", live_video, type="VIDEO")
    stack.drain()
    stack.change(moving, deleted_at=stack.clock.now(), status="trashed")
    still = stack.upload("IMG_1.jpg", live_photo())
    stack.drain()

    assert stack.asset(still).live_photo_video_id is None
    assert stack.asset(moving).visibility == "timeline"


def heic(folder: Path, video: bytes) -> bytes:
    pillow_heif.register_heif_opener()
    still = folder / "still.heic"
    Image.new("RGB", (64, 48), "red").save(still, xmp=xmp('GCamera:MotionPhoto="1"'))
    return samsung_heic(still, video)


@pytest.mark.parametrize("form", ["micro.jpg", "motion.jpg", "samsung.jpg", "samsung.heic"])
def test_the_video_in_a_motion_photo_becomes_a_hidden_asset(
    stack: Stack, tmp_path: Path, plain_video: Path, form: str
) -> None:
    content = plain_video.read_bytes()
    made = {
        "micro.jpg": lambda: google_micro_video(photo(400, 300), content),
        "motion.jpg": lambda: google_motion_photo(photo(400, 300), content, padding=b"\0" * 24),
        "samsung.jpg": lambda: samsung_motion_photo(photo(400, 300), content),
        "samsung.heic": lambda: heic(tmp_path, content),
    }
    asset_id = stack.upload(form, made[form]())

    stack.drain()

    assert stack.failed() == {}
    moving = stack.asset(str(stack.asset(asset_id).live_photo_video_id))
    path = Path(moving.original_path)
    assert path.read_bytes() == content
    assert path.relative_to(stack.media / "encoded-video" / stack.owner).name == f"{moving.id}-MP.mp4"
    assert (moving.type, moving.visibility) == ("VIDEO", "hidden")
    assert moving.original_file_name == f"{Path(form).stem}.mp4"
    assert moving.checksum == sha1_of(plain_video)
    assert (moving.width_px, moving.height_px) == (320, 240)
    assert moving.duration_ms == pytest.approx(2000, abs=100)
    assert rows(stack, AssetVideo)[0].facts["codec"] == "h264"
    assert rows(stack, User)[0].quota_usage_bytes == len(content)
    assert names_seen(stack, moving.id) == [JobName.ASSET_ENCODE_VIDEO]
    assert [file for file in path.parent.iterdir() if file.is_file()] == [path]

    extract_again(stack, asset_id)

    assert stack.asset(asset_id).live_photo_video_id == moving.id
    assert len(rows(stack, Asset)) == 2
    assert names_seen(stack, moving.id) == []


def test_a_motion_part_that_is_lost_from_disk_is_written_again(stack: Stack, plain_video: Path) -> None:
    content = plain_video.read_bytes()
    asset_id = stack.upload("a.jpg", google_micro_video(photo(64, 48), content))
    stack.drain()
    moving = stack.asset(str(stack.asset(asset_id).live_photo_video_id))
    Path(moving.original_path).unlink()

    extract_again(stack, asset_id)

    assert Path(moving.original_path).read_bytes() == content
    assert stack.asset(asset_id).live_photo_video_id == moving.id
    assert names_seen(stack, moving.id) == [JobName.ASSET_ENCODE_VIDEO]
    assert len(rows(stack, Asset)) == 2


def test_a_video_that_the_owner_has_already_is_used(stack: Stack, plain_video: Path) -> None:
    known = stack.upload("clip.mp4", plain_video, type="VIDEO")
    stack.change(known, checksum=sha1_of(plain_video))
    asset_id = stack.upload("a.jpg", google_micro_video(photo(64, 48), plain_video.read_bytes()))

    stack.drain()

    assert stack.asset(asset_id).live_photo_video_id == known
    assert stack.asset(known).visibility == "hidden"
    assert list((stack.media / "encoded-video").rglob("*.mp4")) == []  # what was taken out is not kept twice


def test_another_video_in_the_photo_takes_the_place_of_the_old_one(stack: Stack, plain_video: Path) -> None:
    first = plain_video.read_bytes()
    asset_id = stack.upload("a.jpg", google_micro_video(photo(64, 48), first))
    own = stack.upload("own.mp4", plain_video, type="VIDEO")
    stack.drain()
    old = str(stack.asset(asset_id).live_photo_video_id)
    second = first + b"\0\0\0\x08free"
    Path(stack.asset(asset_id).original_path).write_bytes(google_micro_video(photo(64, 48), second))

    extract_again(stack, asset_id)

    new = str(stack.asset(asset_id).live_photo_video_id)
    assert new != old
    assert Path(stack.asset(new).original_path).read_bytes() == second
    assert (JobName.ASSET_DELETE, old) in stack.seen

    stack.change(asset_id, live_photo_video_id=own)  # a person's choice
    stack.change(own, visibility="hidden")
    extract_again(stack, asset_id)

    assert stack.asset(asset_id).live_photo_video_id == new
    assert stack.asset(own).visibility == "timeline"  # what a person sent is not deleted
    assert (JobName.ASSET_DELETE, own) not in stack.seen


def test_a_broken_motion_part_leaves_the_photo_alone(stack: Stack) -> None:
    too_long = xmp('GCamera:MicroVideo="1" GCamera:MicroVideoOffset="999999999"')
    broken = [
        google_micro_video(photo(64, 48), b"no video at all, but long enough"),
        with_xmp(photo(64, 48), too_long),
        google_micro_video(photo(64, 48), b"\0\0\0\x18ftypmp42" + b"junk" * 99),
    ]
    ids = [stack.upload(f"{number}.jpg", content) for number, content in enumerate(broken)]

    stack.drain()

    assert stack.failed() == {}
    for asset_id in ids:
        assert stack.asset(asset_id).live_photo_video_id is None
        assert stack.exif(asset_id).make == "Helio"
        assert set(stack.files(asset_id)) == {"thumbnail", "preview"}
    assert [file for file in (stack.media / "encoded-video").rglob("*") if file.is_file()] == []


def tagged(*tags: str) -> bytes:
    items = "".join(f"<rdf:li>{tag}</rdf:li>" for tag in tags)
    names = 'xmlns:digiKam="http://www.digikam.org/ns/1.0/"'
    return with_xmp(photo(64, 48), xmp(names, f"<digiKam:TagsList><rdf:Seq>{items}</rdf:Seq></digiKam:TagsList>"))


def tags_on(stack: Stack, asset_id: str) -> list[str]:
    with stack.database.reader() as session:
        linked = select(Tag.value).join(TagAsset, TagAsset.tag_id == Tag.id).where(TagAsset.asset_id == asset_id)
        return sorted(session.scalars(linked))


def test_tags_are_a_tree_and_the_asset_hangs_on_its_leaves(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", tagged("Places/Italy/Rome", "Places/Italy", "Summer"))
    other = stack.upload("b.jpg", tagged("Places/Spain", "Summer", "x" * 2000))

    stack.drain()

    assert stack.failed() == {}
    with stack.database.reader() as session:
        tags = {tag.value: tag for tag in tags_of(session, stack.owner)}
    assert set(tags) == {"Places", "Places/Italy", "Places/Italy/Rome", "Places/Spain", "Summer"}
    assert tags["Places/Italy/Rome"].parent_id == tags["Places/Italy"].id
    assert tags["Places/Italy"].parent_id == tags["Places"].id
    assert tags["Places"].parent_id is tags["Summer"].parent_id is None
    assert tags_on(stack, asset_id) == ["Places/Italy", "Places/Italy/Rome", "Summer"]
    assert tags_on(stack, other) == ["Places/Spain", "Summer"]
    assert len(stack.exif(other).tags or ()) == 3  # too long for a tag, not for what the file says

    Path(stack.asset(asset_id).original_path).write_bytes(tagged("Summer", "Winter"))
    extract_again(stack, asset_id)

    assert tags_on(stack, asset_id) == ["Summer", "Winter"]
    assert tags_on(stack, other) == ["Places/Spain", "Summer"]


def test_tags_that_a_person_chose_stay(stack: Stack) -> None:
    asset_id = stack.upload("a.jpg", tagged("Summer"))
    with stack.database.session() as session:
        exif = session.get_one(AssetExif, asset_id)
        exif.tags, exif.locked_properties = ["Mine/Own"], ["tags"]

    stack.drain()

    assert tags_on(stack, asset_id) == ["Mine/Own"]
    assert stack.exif(asset_id).tags == ["Mine/Own"]


REGION = (
    '<rdf:li rdf:parseType="Resource"><mwg-rs:Name>{name}</mwg-rs:Name><mwg-rs:Type>Face</mwg-rs:Type>'
    '<mwg-rs:Area stArea:x="{x}" stArea:y="0.5" stArea:w="0.2" stArea:h="0.4" stArea:unit="normalized"/></rdf:li>'
)


def portrait(*names: str) -> bytes:
    """A picture with a named face for each, side by side."""
    listed = "".join(REGION.format(name=name, x=0.2 + 0.3 * index) for index, name in enumerate(names))
    regions = (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:AppliedToDimensions stDim:w="1600" stDim:h="1200" '
        f'stDim:unit="pixel"/><mwg-rs:RegionList><rdf:Bag>{listed}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>'
    )
    names_of_regions = (
        'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
        'xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"'
    )
    return with_xmp(photo(), xmp(names_of_regions, regions))


def people(stack: Stack) -> dict[str, Person]:
    return {person.name: person for person in rows(stack, Person)}


def test_named_faces_become_people_with_pictures(stack: Stack) -> None:
    stack.set_config(metadata={"faces": {"import": True}})
    both = stack.upload("both.jpg", portrait("Marie", "Émile"))
    one = stack.upload("one.jpg", portrait("émile"))

    stack.drain()

    assert stack.failed() == {}
    found = people(stack)
    assert set(found) == {"Marie", "Émile"}
    faces = rows(stack, AssetFace, AssetFace.asset_id == both)
    marie = next(face for face in faces if face.person_id == found["Marie"].id)
    assert (marie.image_width_px, marie.image_height_px, marie.source_type) == (1600, 1200, "exif")
    box = (marie.box_x1_px, marie.box_y1_px, marie.box_x2_px, marie.box_y2_px)
    assert box == pytest.approx((160, 360, 480, 840), abs=1)
    assert rows(stack, AssetFace, AssetFace.asset_id == one)[0].person_id == found["Émile"].id
    for person in found.values():
        with Image.open(person.thumbnail_path) as picture:
            assert (picture.format, picture.size) == ("JPEG", (250, 250))
        assert Path(person.thumbnail_path).name == f"{person.id}.jpeg"
        assert ("person_thumbnail", {"person_id": person.id}) in stack.events()


def test_faces_that_are_still_named_stay_and_others_go(stack: Stack) -> None:
    stack.set_config(metadata={"faces": {"import": True}})
    asset_id = stack.upload("a.jpg", portrait("Marie", "Pierre"))
    stack.drain()
    marie = people(stack)["Marie"]
    Path(stack.asset(asset_id).original_path).write_bytes(portrait("Marie"))

    extract_again(stack, asset_id)

    (face,) = rows(stack, AssetFace)
    assert (face.id, face.person_id) == (marie.face_asset_id, marie.id)
    assert people(stack)["Pierre"].face_asset_id is None  # people go in a clean-up, not here


def test_nobody_is_made_of_names_unless_that_is_on(stack: Stack) -> None:
    stack.upload("a.jpg", portrait("Marie"))
    stack.drain()
    assert rows(stack, Person) == rows(stack, AssetFace) == []


def test_a_run_for_missing_pictures_takes_people_without_one(stack: Stack) -> None:
    stack.set_config(metadata={"faces": {"import": True}})
    stack.upload("a.jpg", portrait("Marie", "Pierre"))
    stack.drain()
    marie, pierre = people(stack)["Marie"], people(stack)["Pierre"]
    with stack.database.session() as session:
        lost = session.get_one(Person, marie.id)
        lost.thumbnail_path, lost.face_asset_id = "", None
        session.add(Person(id="nobody", owner_id=stack.owner, created_at=lost.created_at, updated_at=lost.updated_at))

    def pictured(force: bool) -> list[Any]:
        before = len([event for event in stack.events() if event[0] == "person_thumbnail"])
        stack.enqueue(NewJob(JobName.ASSET_GENERATE_THUMBNAILS_QUEUE_ALL, {"force": force}))
        stack.drain()
        told = [event for event in stack.events() if event[0] == "person_thumbnail"]
        return sorted(event[1]["person_id"] for event in told[before:])

    assert pictured(force=False) == [marie.id]
    assert people(stack)["Marie"].face_asset_id is not None
    assert pictured(force=False) == []
    assert pictured(force=True) == sorted([marie.id, pierre.id])


def test_the_shared_portrait_names_the_curies(stack: Stack) -> None:
    path = media_dir() / "metadata" / "faces" / "portrait.jpg"
    stack.set_config(metadata={"faces": {"import": True}})
    asset_id = stack.upload(path.name, path)

    stack.drain()

    assert set(people(stack)) == {"Marie Curie", "Pierre Curie"}
    assert tags_on(stack, asset_id) == ["People/Marie Curie", "People/Pierre Curie"]
    with Image.open(people(stack)["Marie Curie"].thumbnail_path) as picture:
        # a face of 94 x 138 whole pixels: the square is 2 x floor(1.1 x 69) wide, and not enlarged
        assert picture.size == (150, 150)


def test_a_locked_video_is_not_shown_by_what_extraction_links(
    stack: Stack, live_video: Path, plain_video: Path
) -> None:
    moving = stack.upload("IMG_1.mov", live_video, type="VIDEO")
    stack.drain()
    stack.change(moving, visibility="locked")
    still = stack.upload("IMG_1.jpg", live_photo())
    stack.drain()
    assert stack.asset(still).live_photo_video_id == moving
    assert stack.asset(moving).visibility == "locked"

    Path(stack.asset(still).original_path).write_bytes(google_micro_video(photo(64, 48), plain_video.read_bytes()))
    extract_again(stack, still)
    assert stack.asset(still).live_photo_video_id not in (None, moving)
    assert stack.asset(moving).visibility == "locked"
