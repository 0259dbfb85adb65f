"""Our own client of Immich's API, for the commands: what they do, any other client could do."""

import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from cluster.errors import HeliostatError

CHUNK_BYTES = 1024 * 1024
CHECK_AT_ONCE = 5000
TRIES = 4
ADDRESS_HELP = "set IMMICH_INSTANCE_URL or --url to the address that `heliostat up` prints"


class ApiRefused(HeliostatError):
    """The server said no; the message is the server's."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(f"the server answered {status}: {message}")


class ServerUnreachable(HeliostatError):
    """No server answers at this address."""


@dataclass(frozen=True, slots=True)
class Queue:
    """One queue as `GET /queues` tells it. `wait_reason`: why nothing of it can start, or why jobs were put off."""

    name: str
    paused: bool
    active: int
    waiting: int
    delayed: int
    failed: int
    wait_reason: str = ""

    @property
    def is_held(self) -> bool:
        """Jobs wait, and none can start until somebody does something."""
        return bool(self.waiting and not self.active and (self.paused or self.wait_reason))

    @property
    def to_do(self) -> int:
        return self.active + self.waiting + self.delayed


class ApiClient:
    """Speaks to one server. Raises ApiRefused, ServerUnreachable."""

    def __init__(self, url: str, api_key: str | None = None) -> None:
        self.url = url.rstrip("/").removesuffix("/api")
        headers = {"x-api-key": api_key} if api_key else {}
        self._http = httpx.Client(base_url=f"{self.url}/api", headers=headers, timeout=httpx.Timeout(60, read=600))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def call(self, method: str, path: str, **given: Any) -> Any:
        """One request; the decoded body, or None."""
        try:
            answer = self._http.request(method, path, **given)
        except httpx.HTTPError as error:
            raise ServerUnreachable(f"no server answers at {self.url} ({error}): {ADDRESS_HELP}") from error
        if answer.status_code >= 400:
            raise ApiRefused(answer.status_code, _message(answer))
        return answer.json() if answer.content else None

    def bytes_of(self, path: str, **given: Any) -> bytes:
        """A file."""
        answer = self._http.get(path, **given)
        if answer.status_code != 200:
            raise ApiRefused(answer.status_code, _message(answer))
        return answer.content

    def login(self, email: str, password: str) -> None:
        """Sign in; every later call is this person's."""
        token = self.call("POST", "/auth/login", json={"email": email, "password": password})["accessToken"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def sign_up_admin(self, email: str, password: str, name: str) -> None:
        """Make the first account."""
        self.call("POST", "/auth/admin-sign-up", json={"email": email, "password": password, "name": name})

    def extensions(self) -> frozenset[str]:
        """Extensions of photos and videos that this server takes, with their dot."""
        types = self.call("GET", "/server/media-types")
        return frozenset(types["image"]) | frozenset(types["video"])

    def queues(self) -> list[Queue]:
        """Every queue, in the server's order. Paused ones count what they hold back as waiting."""
        listed = []
        for queue in self.call("GET", "/queues"):
            counts = queue["statistics"]
            listed.append(
                Queue(
                    queue["name"],
                    queue["isPaused"],
                    counts["active"],
                    counts["waiting"] + counts["paused"],
                    counts["delayed"],
                    counts["failed"],
                    queue.get("waitReason", ""),
                )
            )
        return listed

    def command(self, queue: str, command: str, force: bool | None = None) -> None:
        """start, pause, resume, empty, clear-failed."""
        body: dict[str, Any] = {"command": command}
        if force is not None:
            body["force"] = force
        self.call("PUT", f"/jobs/{queue}", json=body)

    def known_files(self, hashes: Sequence[tuple[Path, str]]) -> dict[Path, str]:
        """Of these (file, SHA-1 hex), those that the server has already, with their asset's id."""
        known: dict[Path, str] = {}
        for at in range(0, len(hashes), CHECK_AT_ONCE):
            page = hashes[at : at + CHECK_AT_ONCE]
            assets = [{"id": str(index), "checksum": checksum} for index, (_, checksum) in enumerate(page)]
            for result in self.call("POST", "/assets/bulk-upload-check", json={"assets": assets})["results"]:
                if result["action"] == "reject":
                    known[page[int(result["id"])][0]] = result["assetId"]
        return known

    def upload(self, path: Path, checksum: str) -> tuple[str, str]:
        """Send one file; (`created` or `duplicate`, asset id). A lost connection is tried again: the
        checksum makes that safe."""
        modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat().replace("+00:00", "Z")
        fields = {"fileCreatedAt": modified, "fileModifiedAt": modified, "isFavorite": "false"}
        sidecar = sidecar_of(path)
        for attempt in range(1, TRIES + 1):
            try:
                with path.open("rb") as file:
                    files: dict[str, Any] = {"assetData": (path.name, file, "application/octet-stream")}
                    if sidecar is not None:
                        files["sidecarData"] = (sidecar.name, sidecar.read_bytes(), "application/xml")
                    answer = self.call(
                        "POST", "/assets", data=fields, files=files, headers={"x-immich-checksum": checksum}
                    )
                return str(answer["status"]), str(answer["id"])
            except (ServerUnreachable, ApiRefused) as error:
                if attempt == TRIES or (isinstance(error, ApiRefused) and error.status < 500):
                    raise
                time.sleep(2.0**attempt)
        raise AssertionError("unreachable")


def media_files(folder: Path, extensions: frozenset[str]) -> Iterator[Path]:
    """Photos and videos below `folder`, hidden ones left out, in order. A file is itself."""
    if folder.is_file():
        yield folder
        return
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in extensions:
                yield Path(root, name)


def sha1_hex(path: Path) -> str:
    """The checksum that Immich's clients send."""
    digest = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def sidecar_of(path: Path) -> Path | None:
    """`photo.jpg.xmp` or `photo.xmp` beside the photo."""
    for candidate in (path.with_name(path.name + ".xmp"), path.with_suffix(".xmp")):
        if candidate.is_file():
            return candidate
    return None


def _message(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200]
    issues = "; ".join(f"{'.'.join(map(str, one['path']))}: {one['message']}" for one in body.get("errors", []))
    return f"{body.get('message', '')} {issues}".strip()
