"""Input that nobody sends by mistake: it is refused or taken as it is, breaks nothing and leaves its place never."""

import json
import time
from typing import Any

import pytest

from tests.api_stack import WHEN, ApiStack, AppClient, Person
from tests.library_rows import add_asset, add_tag

HALF, NUL, MANY_LEVELS = "\\ud800", "\\u0000", 50_000
NOBODY = "00000000-0000-4000-8000-000000000000"
SOON_S = 20.0
TIMES = {"fileCreatedAt": WHEN, "fileModifiedAt": WHEN}


def send(client: AppClient, caller: Person, method: str, path: str, body: bytes) -> Any:
    headers = caller.headers | {"content-type": "application/json"}
    return client.request(method, path, content=body, headers=headers)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * MANY_LEVELS + b"]" * MANY_LEVELS,
        b'{"a":' * MANY_LEVELS + b"1" + b"}" * MANY_LEVELS,
        b'{"albumName": "a", "description": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"albumName": "\xff\xfe"}',
        b'{"albumName": NaN}',
        b'{"albumName": ' + b"9" * 5000 + b"}",
        b'{"albumName": 7}',
        b"{",
        b"",
        b'"text"',
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_json_that_is_none_or_of_another_kind_is_refused(client: AppClient, ann: Person, body: bytes) -> None:
    assert send(client, ann, "POST", "/albums", body).status_code == 400


def test_a_body_that_is_too_large_is_refused(client: AppClient, ann: Person) -> None:
    large = json.dumps({"albumName": "x" * 11_000_000}).encode()
    answer = send(client, ann, "POST", "/albums", large)
    assert (answer.status_code, answer.json()) == (413, {"message": "The request is larger than 10 MB"})
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded"], ids=["text that is not called JSON", "form"]
)
def test_a_body_that_is_not_called_json_is_told_so(client: AppClient, ann: Person, kind: str) -> None:
    headers = {**ann.headers, "content-type": kind}
    answer = client.request("POST", "/albums", headers=headers, content=b'{"albumName": "a"}')
    (issue,) = answer.json()["errors"]
    assert issue["message"] == "Invalid input: expected JSON, and Content-Type: application/json with it"


TEXTS = (
    ("POST", "/albums", '{"albumName": "%s"}'),
    ("PUT", "/users/me", '{"name": "%s"}'),
    ("POST", "/tags", '{"name": "%s"}'),
    ("POST", "/api-keys", '{"name": "%s", "permissions": ["all"]}'),
    ("POST", "/auth/login", '{"email": "ann@example.org", "password": "%s"}'),
    ("POST", "/assets/bulk-upload-check", '{"assets": [{"id": "%s", "checksum": "%s"}]}'),
    ("POST", "/search/metadata", '{"originalFileName": "%s"}'),
    ("POST", "/search/metadata", '{"description": "%s"}'),
    ("POST", "/people", '{"name": "%s"}'),
)


@pytest.mark.parametrize("text", [HALF, NUL, "a" + HALF + "b"])
@pytest.mark.parametrize(("method", "path", "body"), TEXTS)
def test_text_that_no_database_can_hold_is_refused(
    client: AppClient, ann: Person, method: str, path: str, body: str, text: str
) -> None:
    answer = send(client, ann, method, path, body.replace("%s", text).encode())
    assert answer.status_code in (400, 401), answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/search/places?name=%00",
        "/search/places?name=%ff%fe",
        "/search/suggestions?type=country&country=%00",
        "/search/person?name=%00",
        "/view/folder?path=%00",
        "/view/folder?path=../../etc",
        "/assets/..%2f..%2fetc",
        "/assets/a%00b/original",
        f"/assets/{NOBODY}/thumbnail?size=%00",
        "/people?size=99999999999999999999",
        "/timeline/bucket?timeBucket=0000-00-00",
        "/timeline/bucket?timeBucket=%00",
    ],
)
def test_a_path_or_query_breaks_nothing_and_tells_nothing(client: AppClient, ann: Person, path: str) -> None:
    answer = client.get(path, headers=ann.headers)
    assert answer.status_code in (400, 404) or answer.json() in ([], {}), answer.text


@pytest.mark.parametrize(
    "name",
    ["../../../etc/passwd.jpg", "a\u202egpj.exe.jpg", "x" * 4096 + ".jpg", "a\0b.jpg", "é😀.jpg", "C:\\con\\aux.jpg"],
    ids=["traversal", "right-to-left", "4 KB", "nul", "wide", "windows"],
)
def test_a_file_keeps_a_name_of_any_kind_and_lies_in_its_place(
    client: AppClient, stack: ApiStack, ann: Person, name: str
) -> None:
    files = {"assetData": ("a.jpg", name.encode())}
    answer = client.post("/assets", data=TIMES | {"filename": name}, files=files, headers=ann.headers)
    assert answer.status_code in (201, 400), answer.text
    stored = [path for path in stack.uploaded_files() if path.suffix == ".jpg"]
    assert len(stored) == (answer.status_code == 201)
    assert all(path.is_relative_to(stack.uploads) for path in stored)
    if answer.status_code == 201:
        seen = client.get(f"/assets/{answer.json()['id']}", headers=ann.headers).json()
        assert "/" not in seen["originalFileName"]
        download = client.get(f"/assets/{answer.json()['id']}/original", headers=ann.headers)
        assert download.content == name.encode()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"abc"),
        ("multipart/form-data; boundary=b", b"--b\r\nabc"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"X: y\r\n" * 10_000 + b"\r\n--b--\r\n"),
        ("application/json", b"{}"),
    ],
)
def test_a_malformed_upload_is_refused_and_leaves_nothing(
    client: AppClient, stack: ApiStack, ann: Person, content_type: str, body: bytes
) -> None:
    headers = ann.headers | {"content-type": content_type}
    assert client.request("POST", "/assets", content=body, headers=headers).status_code == 400
    assert stack.uploaded_files() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/search/metadata", {"albumIds": [NOBODY] * 501}, "array to have <=500 items"),
        ("POST", "/search/metadata", {"personIds": [NOBODY] * 501}, "array to have <=500 items"),
        ("POST", "/search/statistics", {"tagIds": [NOBODY] * 501}, "array to have <=500 items"),
        (
            "POST",
            "/shared-links",
            {"type": "INDIVIDUAL", "assetIds": [], "slug": "x" * 256},
            "string to have <=255 characters",
        ),
        ("POST", "/tags", {"name": ""}, "string to have >=1 characters"),
        (
            "PUT",
            "/assets/metadata",
            {"items": [{"assetId": NOBODY, "key": "k" * 256, "value": {}}]},
            "string to have <=255 characters",
        ),
    ],
)
def test_what_is_too_long_is_told_in_its_own_words(
    client: AppClient, ann: Person, method: str, path: str, body: Any, message: str
) -> None:
    answer = client.request(method, path, json=body, headers=ann.headers)
    assert answer.status_code == 400
    assert message in str(answer.json()), answer.text


def test_as_many_ids_as_may_be_asked_for_are_looked_for(client: AppClient, ann: Person, stack: ApiStack) -> None:
    has_all, lacks_one = add_asset(stack, ann), add_asset(stack, ann)
    ids = [add_tag(stack, ann, str(number), has_all, *([lacks_one] if number != 250 else [])) for number in range(500)]
    began = time.monotonic()
    answer = client.post("/search/metadata", json={"tagIds": ids}, headers=ann.headers)
    assert [one["id"] for one in answer.json()["assets"]["items"]] == [has_all]
    assert time.monotonic() - began < SOON_S
