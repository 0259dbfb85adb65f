"""What a person says of an asset over the API, all the way into its sidecar and back, on both databases."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from cluster.db.tables.person import Person
from cluster.settings import read_settings
from cluster.storage.layout import StorageLayout
from cluster.vectors.exact import ExactVectors
from serve_app.app import create_app
from serve_app.deps import Caller, Services
from serve_app.services.tag_assets import tag_many
from serve_app.services.tags import delete_tag, upsert_tags
from serve_app.services.update_asset import AssetChanges, update_asset, update_assets
from tests.api_stack import ApiStack, AppClient, in_process
from tests.api_stack import Person as KeyOwner
from tests.camera import exiftool, photo
from tests.inline_stack import Stack


@pytest.fixture
def services(stack: Stack, tmp_path: Path) -> Services:
    settings = read_settings({"IMMICH_MEDIA_LOCATION": str(stack.media), "HOME": str(tmp_path)})
    return Services(settings, stack.database, stack.store, StorageLayout(stack.media), stack.clock, ExactVectors())


@pytest.fixture
def client(services: Services) -> Iterator[AppClient]:
    with in_process(create_app(services)) as client:
        yield client


def test_one_photo(stack: Stack, services: Services) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    taken = datetime.fromisoformat("2001-02-03T04:05:06+09:00")

    update_asset(
        services,
        Caller(stack.owner, is_admin=False),
        asset_id,
        AssetChanges(description="At sea", rating=3, taken_at=taken),
    )

    assert stack.asset(asset_id).local_date_time == taken.replace(tzinfo=UTC)  # at once
    stack.drain()

    exif, written = stack.exif(asset_id), exiftool(stack.files(asset_id)["sidecar"])
    assert (exif.description, exif.rating, exif.locked_properties) == ("At sea", 3, [])
    assert (exif.date_time_original, exif.time_zone) == (taken.astimezone(UTC), "UTC+9")
    assert stack.asset(asset_id).local_date_time == taken.replace(tzinfo=UTC)
    assert (written["Description"], written["Rating"]) == ("At sea", 3)
    assert written["DateTimeOriginal"] == "2001:02:03 04:05:06+09:00"


def test_many_photos(stack: Stack, services: Services) -> None:
    ids = [stack.upload(f"{number}.jpg", photo(64, 48)) for number in range(3)]
    stack.drain()

    update_assets(
        services,
        Caller(stack.owner, is_admin=False),
        ids,
        AssetChanges(latitude=-33.8568, longitude=151.2153, lens_model="Own"),
    )
    stack.drain()

    for asset_id in ids:
        exif, written = stack.exif(asset_id), exiftool(stack.files(asset_id)["sidecar"])
        assert (exif.country, exif.time_zone) == ("Australia", "Australia/Sydney")
        assert exif.date_time_original == datetime(2021, 7, 14, 16, 30, 5, tzinfo=UTC)  # the same moment as before
        assert (written["GPSLatitude"], written["GPSLongitude"]) == pytest.approx((-33.8568, 151.2153), abs=1e-6)
        assert (exif.lens_model, exif.locked_properties) == ("Own", ["lens_model"])  # no sidecar says it


def test_tags_go_to_the_sidecar_and_stay_when_metadata_is_read_again(stack: Stack, services: Services) -> None:
    asset_id = stack.upload("a.jpg", photo(64, 48))
    stack.drain()
    sea, rome = (seen.tag.id for seen in upsert_tags(services, stack.owner, ["Sea", "Places/Rome"]))

    tag_many(services, Caller(stack.owner, is_admin=False), [sea, rome], [asset_id])
    stack.drain()

    assert exiftool(stack.files(asset_id)["sidecar"])["TagsList"] == ["Places/Rome", "Sea"]
    assert (stack.exif(asset_id).tags, stack.exif(asset_id).locked_properties) == (["Places/Rome", "Sea"], [])

    delete_tag(services, stack.owner, sea)
    stack.drain()

    assert exiftool(stack.files(asset_id)["sidecar"])["TagsList"] == "Places/Rome"
    assert stack.exif(asset_id).tags == ["Places/Rome"]


def test_the_picture_of_a_person_is_shown_to_their_owner(stack: Stack, services: Services, client: AppClient) -> None:
    people = ApiStack(services, None)
    ann, bob = people.add_person("ann"), people.add_person("bob")
    person = "5b0f9a3c-1d2e-4f5a-8b6c-7d8e9f0a1b2c"
    path = services.layout.person_thumbnail_path(ann.user_id, person)
    now = datetime.now(UTC)
    with stack.database.session() as session:
        session.add(Person(id=person, owner_id=ann.user_id, created_at=now, updated_at=now))

    def ask(caller: KeyOwner) -> int:
        return client.get(f"/people/{person}/thumbnail", headers=caller.headers).status_code

    assert (ask(ann), ask(bob)) == (404, 400)
    path.parent.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(path)
    with stack.database.session() as session:
        session.get_one(Person, person).thumbnail_path = str(path)
    answer = client.get(f"/people/{person}/thumbnail", headers=ann.headers)
    assert (answer.status_code, answer.content) == (200, path.read_bytes())
    assert answer.headers["cache-control"] == "private, no-cache, no-transform"
    assert (answer.headers["content-type"], ask(bob)) == ("image/jpeg", 400)
    with stack.database.session() as session:
        session.get_one(Person, person).thumbnail_path = "/etc/passwd"
    assert ask(ann) == 404
