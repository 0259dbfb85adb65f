"""People's own pictures over HTTP, on both databases: taken in, drawn small, shown, replaced, and what is refused."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from PIL import Image
from sqlalchemy import select

from cluster.db.tables.job import Job
from cluster.db.tables.user import User
from cluster.names import JobName
from serve_app.services import profile_image
from tasks.media import profile_picture
from tests.api_client import ApiClient, api_client
from tests.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def api(database_url: str, tmp_path: Path, clock: FakeClock) -> Iterator[ApiClient]:
    with api_client(database_url, tmp_path / "media", clock) as client:
        yield client.sign_up()


def picture(
    width: int, height: int, kind: str = "png", mode: str = "RGB", color: str = "red", **details: object
) -> bytes:
    written = io.BytesIO()
    Image.new(mode, (width, height), color).save(written, kind, **details)
    return written.getvalue()


def send(api: ApiClient, content: bytes, name: str = "me.png", field: str = "file") -> httpx.Response:
    return api.request("POST", "/users/profile-image", files={field: (name, content)})


def kept(api: ApiClient) -> list[Path]:
    return [path for path in (api.services.layout.media_root / "profile").rglob("*") if path.is_file()]


def test_a_picture_is_drawn_small_and_shown_to_everybody(api: ApiClient, clock: FakeClock) -> None:
    me = api.get("/users/me").json()
    clock.sleep(60)
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Secret Camera", 6
    answer = send(api, picture(1600, 1200, "jpeg", exif=exif), "Me at the sea.JPG")
    assert answer.status_code == 201
    path = answer.json()["profileImagePath"]
    assert answer.json() == {
        "userId": me["id"],
        "profileImagePath": path,
        "profileChangedAt": "2026-03-01T12:01:00.000Z",
    }
    assert kept(api) == [Path(path)]
    assert api.get("/users/me").json()["profileImagePath"] == path
    shown = api.other_user().get(f"/users/{me['id']}/profile-image")
    assert (shown.headers["content-type"], shown.headers["cache-control"]) == (
        "image/jpeg",
        "private, no-cache, no-transform",
    )
    drawn = Image.open(io.BytesIO(shown.content))
    assert (drawn.format, drawn.size) == ("JPEG", (500, 667)), "upright, and no larger than it is shown"
    assert not drawn.getexif()


def test_a_new_picture_takes_the_place_of_the_one_before(api: ApiClient) -> None:
    first = send(api, picture(40, 30)).json()["profileImagePath"]
    second = send(api, picture(40, 30, mode="RGBA", color="#00000000")).json()["profileImagePath"]
    assert first != second
    assert deletions(api) == [[first]]
    me = api.get("/users/me").json()["id"]
    drawn = Image.open(io.BytesIO(api.get(f"/users/{me}/profile-image").content))
    assert (drawn.size, drawn.getpixel((5, 5))) == ((40, 30), (255, 255, 255)), "what is transparent is white"
    assert api.delete("/users/profile-image").status_code == 204
    assert deletions(api) == [[first], [second]]
    assert api.get("/users/me").json()["profileImagePath"] == ""
    answer = api.get(f"/users/{me}/profile-image")
    assert (answer.status_code, answer.json()) == (404, {"message": "User does not have a profile image"})
    answer = api.delete("/users/profile-image")
    assert (answer.status_code, answer.json()) == (400, {"message": "Can't delete a missing profile Image"})


def deletions(api: ApiClient) -> list[list[str]]:
    with api.services.database.reader() as session:
        found = session.execute(select(Job.payload).where(Job.name == JobName.FILE_DELETE).order_by(Job.id))
        return [payload["files"] for (payload,) in found]


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"GIF89a", "me.gif", "Unsupported file type me.gif"),
        (b"MZ", "me.exe", "Unsupported file type me.exe"),
        (b"", "me.png", "The picture cannot be read"),
        (b"no picture at all", "me.jpg", "The picture cannot be read"),
        (picture(40, 30)[:60], "me.png", "The picture cannot be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'", "me.svg", "The picture cannot be read"),
    ],
)
def test_what_is_no_picture_leaves_nothing(api: ApiClient, content: bytes, name: str, message: str) -> None:
    answer = send(api, content, name)
    assert (answer.status_code, answer.json()) == (400, {"message": message})
    assert kept(api) == []
    assert api.get("/users/me").json()["profileImagePath"] == ""


def test_a_form_without_a_picture_is_refused(api: ApiClient) -> None:
    answer = send(api, picture(4, 3), field="other")
    assert (answer.status_code, answer.json()) == (400, {"message": "Field(s) file should not be empty"})
    assert send(api.with_headers(), picture(4, 3)).status_code == 401
    answer = send(api.with_key("asset.upload"), picture(4, 3))
    assert answer.json() == {"message": "Missing required permission: userProfileImage.update"}


def test_a_picture_that_unfolds_into_gigabytes_is_refused(api: ApiClient) -> None:
    """16,000 x 16,000 pixels in a file of some kilobytes."""
    bomb = io.BytesIO()
    Image.new("1", (16_000, 16_000)).save(bomb, "png")
    assert len(bomb.getvalue()) < 100_000
    answer = send(api, bomb.getvalue())
    assert (answer.status_code, answer.json()) == (400, {"message": "The picture cannot be read"})


def test_a_file_that_is_too_large_is_refused_while_it_comes(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_image, "LIMITS", replace(profile_picture.LIMITS, max_file_bytes=1 << 20))
    answer = send(api, bytes(3 << 20))
    assert (answer.status_code, answer.json()) == (400, {"message": "The picture is larger than 1 MiB"})
    assert kept(api) == []


def test_a_row_that_points_elsewhere_is_not_followed(api: ApiClient, tmp_path: Path) -> None:
    secret = tmp_path / "secret.jpeg"
    secret.write_bytes(b"secret")
    me = api.get("/users/me").json()["id"]
    with api.services.database.session() as session:
        session.get_one(User, me).profile_image_path = str(secret)
    assert api.get(f"/users/{me}/profile-image").status_code == 404
