"""What each request gets: the services, and who asks. Source: spec/api.md §1."""

import hashlib
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from typing import Annotated, Any, cast

from anyio import to_thread
from fastapi import Depends
from pydantic_core import to_json
from sqlalchemy.orm import Session
from starlette.requests import HTTPConnection
from starlette.responses import Response

from cluster.clock import Clock
from cluster.db.engine import Database
from cluster.db.queries import shared_links, users
from cluster.db.queries.shared_links import KnownLink
from cluster.errors import Forbidden, NotAuthenticated
from cluster.metrics import Metrics, Unmeasured
from cluster.queue.store import QueueStore
from cluster.settings import Settings
from cluster.storage.layout import StorageLayout
from cluster.vectors.index import Vectors
from serve_app.cluster_nodes import ClusterNodes, NoCluster
from serve_app.permissions import ALL, ANY, covers
from serve_app.short_reads import HasToWait, ShortReads
from serve_app.text_points import LocalTexts, TextPoints
from serve_app.visitors import may_pass, plain_key

SESSION_COOKIE = "immich_access_token"
READING = ("GET", "HEAD", None)
"""Methods that change nothing; a web socket has none."""
ELEVATED_FOR = timedelta(minutes=15)
"""How long a PIN code unlocks a session."""
KEPT_ELEVATED_FOR = timedelta(minutes=5)
"""As long as that it stays so after a request. Source: Immich server, auth service."""
SEEN_EVERY = timedelta(hours=1)
"""A session's "last seen" is no more exact than this: a write for every request would be."""


@dataclass(frozen=True, slots=True)
class Services:
    """What the API works with, wired in `bootstrap`. `texts`: in this process unless somebody else has the model."""

    settings: Settings
    database: Database
    store: QueueStore
    layout: StorageLayout
    clock: Clock
    vectors: Vectors
    texts: TextPoints = field(default_factory=LocalTexts)
    metrics: Metrics = field(default_factory=Unmeasured)
    nodes: ClusterNodes = field(default_factory=NoCluster)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. A session may do everything; an API key what it was granted (`permissions`, None for a session).
    `elevated`: they have shown their PIN code in this session lately, and may see what is locked. `link`: a visitor has
    come by this link of the user, and is nobody beyond what it lets them do."""

    user_id: str
    is_admin: bool
    session_id: str | None = None
    api_key_id: str | None = None
    permissions: frozenset[str] | None = None
    elevated: bool = False
    link: KnownLink | None = None


class CredentialKind(Enum):
    """How somebody proves who they are."""

    SESSION = "session"
    API_KEY = "api key"
    SHARE_KEY = "share key"
    SHARE_SLUG = "share slug"


REFUSALS = {
    CredentialKind.SESSION: "Invalid user token",
    CredentialKind.API_KEY: "Invalid API key",
    CredentialKind.SHARE_KEY: "Invalid share key",
    CredentialKind.SHARE_SLUG: "Invalid share slug",
}


def hashed(secret: str) -> str:
    """How tokens and keys are stored. They are 32 random bytes, so no slow hash is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def find_credential(request: HTTPConnection) -> tuple[CredentialKind, str] | None:
    """The first that is given, in Immich's order."""
    headers, query = request.headers, request.query_params
    authorization = headers.get("authorization", "")
    bearer = authorization[7:].strip() if authorization[:7].lower() == "bearer " else ""
    candidates = (
        (CredentialKind.SHARE_KEY, headers.get("x-immich-share-key") or query.get("key")),
        (CredentialKind.SHARE_SLUG, headers.get("x-immich-share-slug") or query.get("slug")),
        (CredentialKind.SESSION, headers.get("x-immich-user-token")),
        (CredentialKind.SESSION, headers.get("x-immich-session-token")),
        (CredentialKind.SESSION, query.get("sessionKey")),
        (CredentialKind.SESSION, bearer),
        (CredentialKind.SESSION, request.cookies.get(SESSION_COOKIE)),
        (CredentialKind.API_KEY, headers.get("x-api-key") or query.get("apiKey")),
    )
    return next(((kind, value) for kind, value in candidates if value), None)


def authenticate(
    services: Services,
    request: HTTPConnection,
    *,
    shared: bool = False,
    with_password: bool = True,
    may_wait: bool = True,
) -> Caller:
    """Who asks. `shared`: visitors by a link may, too; `with_password`: those who have given its password. Blocks.
    Raises NotAuthenticated, Forbidden, and, unless it `may_wait`, HasToWait before it writes."""
    credential = find_credential(request)
    if credential is None:
        raise NotAuthenticated("Authentication required")
    kind, secret = credential
    if request.scope.get("method") not in READING and _from_another_site(request, secret):
        raise Forbidden("Another site asked for this in your name")
    with services.database.reader() as session:
        caller = _caller(services, session, kind, secret, may_wait)
    if caller is None:
        raise NotAuthenticated(REFUSALS[kind])
    if caller.link is not None:
        if not shared:
            raise Forbidden("Forbidden")
        if with_password and not may_pass(caller.link, request):
            raise NotAuthenticated("Password required")
    return caller


def _from_another_site(request: HTTPConnection, secret: str) -> bool:
    """Whether a page that is not ours made the browser ask with the cookie that it keeps for us."""
    is_cookie = request.cookies.get(SESSION_COOKIE) == secret
    return is_cookie and request.headers.get("sec-fetch-site") in ("cross-site", "same-site")


def _caller(services: Services, session: Session, kind: CredentialKind, secret: str, may_wait: bool) -> Caller | None:
    now = services.clock.now()
    if kind is CredentialKind.SESSION:
        found = users.session_by_token(session, hashed(secret))
        if found is None or (found.expires_at is not None and found.expires_at <= now):
            return None
        locked_at = found.pin_expires_at or now
        is_old, is_short = now - found.seen_at > SEEN_EVERY, now < locked_at < now + KEPT_ELEVATED_FOR
        if (is_old or is_short) and not may_wait:
            raise HasToWait
        if is_old:
            _note_seen(services, found.session_id)
        if is_short:
            _keep_elevated(services, found.session_id)
        return Caller(found.user_id, found.is_admin, session_id=found.session_id, elevated=locked_at > now)
    if kind is CredentialKind.API_KEY:
        key = users.api_key_by_digest(session, hashed(secret))
        if key is None:
            return None
        return Caller(key.user_id, key.is_admin, api_key_id=key.key_id, permissions=key.permissions)
    if "\0" in secret:  # no database holds such a key
        return None
    if kind is CredentialKind.SHARE_KEY:
        link = shared_links.link_by_key(session, plain_key(secret), now)
    else:
        link = shared_links.link_by_slug(session, secret, now)
    return None if link is None else Caller(link.user_id, is_admin=False, link=link)


def _note_seen(services: Services, session_id: str) -> None:
    with services.database.session() as session:
        users.touch_session(session, session_id, services.clock.now())


def _keep_elevated(services: Services, session_id: str) -> None:
    now = services.clock.now()
    with services.database.session() as session:
        users.keep_elevated(session, session_id, now, now + KEPT_ELEVATED_FOR)


def services_of(request: HTTPConnection) -> Services:
    """The services of the app that got this request."""
    return cast(Services, request.app.state.services)


def short_reads_of(request: HTTPConnection) -> ShortReads:
    """Those of the app that got this request."""
    return cast(ShortReads, request.app.state.short_reads)


def check_permission(caller: Caller, permission: str, *, admin: bool) -> None:
    """Raises Forbidden when the caller may not do this."""
    if admin and not caller.is_admin:
        raise Forbidden("Forbidden")
    if caller.link is not None and permission in _refused_by(caller.link):
        raise Forbidden("Forbidden")
    if caller.permissions is not None and not covers(caller.permissions, permission):
        raise Forbidden(f"Missing required permission: {permission}")


def _refused_by(link: KnownLink) -> set[str]:
    return {name for name, given in (("asset.upload", link.upload), ("asset.download", link.download)) if not given}


def allow(
    permission: str = ALL, *, admin: bool = False, shared: bool = False, with_password: bool = True
) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, when they may do `permission` (and are an admin, where it takes one). `shared`: or come
    by a link; what it shows them is asked later."""

    async def caller(request: HTTPConnection) -> Caller:
        def ask(may_wait: bool) -> Caller:
            services = services_of(request)
            return authenticate(services, request, shared=shared, with_password=with_password, may_wait=may_wait)

        found = await short_reads_of(request).run("who asks", ask)
        check_permission(found, permission, admin=admin)
        return found

    return caller


async def in_one_turn(
    request: HTTPConnection,
    permission: str,
    do: Callable[[Services, Caller], Any],
    *,
    admin: bool = False,
    shared: bool = False,
    short: bool = False,
) -> Response:
    """Ask who calls, check, do, and write the answer down, in one turn of one thread: for routes that clients call
    again and again. What `do` returns is as the route's `response_model` says; nobody checks it again. `short`: it only
    reads the database, mostly a few rows, and locks nothing.
    """

    def turn(may_wait: bool) -> Response:
        services = services_of(request)
        caller = authenticate(services, request, shared=shared, may_wait=may_wait)
        check_permission(caller, permission, admin=admin)
        return Response(to_json(do(services, caller), by_alias=True), media_type="application/json")

    if short:
        return await short_reads_of(request).run(request.scope["route"].path, turn)
    return await to_thread.run_sync(turn, True)


async def _services(request: HTTPConnection) -> Services:
    # async, because a plain function would cost every request a hop to a thread
    return services_of(request)


ServicesOf = Annotated[Services, Depends(_services)]
AnyCaller = Annotated[Caller, Depends(allow(ANY))]
SignedIn = Annotated[Caller, Depends(allow())]
