"""The pages. They only show: whatever a button does goes through the API, with the API's permissions.

Nobody signed in is sent to sign in, and comes back to where they wanted to go.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from cluster.db.queries import users
from cluster.errors import NotAuthenticated
from cluster.settings import RayPort
from serve_app.deps import Caller, Services, authenticate, services_of
from serve_app.services import server_info
from serve_app.services.asset_jobs import STEPS
from serve_app.services.nodes import list_nodes
from serve_app.services.quiet_hours import quiet_hours
from serve_app.services.schedule import list_schedule
from serve_app.services.system_config import default_config, get_config
from serve_app.web.rendering import HEADERS, render, static_file
from serve_app.web.settings_form import settings_form
from serve_app.web.words import (
    BY_SLUG,
    CARDS,
    MANUAL_JOBS,
    OTHERS,
    SCHEDULE_TITLES,
    STEP_TITLES,
    TEMPLATE_TOKENS,
    WORDS,
    slug,
)
from serve_app.wire.node import node_seen
from serve_app.wire.queue_activity import QueueActivity, all_activity, each_activity
from serve_app.wire.schedule import scheduled_seen
from serve_app.wire.server import features
from tasks.media import formats

router = APIRouter(include_in_schema=False)

SIGN_IN, SIGN_UP = "/auth/login", "/auth/register"
"""Immich's own addresses: its sign-out sends browsers there."""
PHOTOS, JOBS, WORKERS, SCHEDULE, SETTINGS, ACTIONS = (
    "/photos",
    "/admin/jobs",
    "/admin/workers",
    "/admin/schedule",
    "/admin/settings",
    "/admin/audit",
)
FOR_ALL = ((PHOTOS, "Photos"),)
FOR_ADMINS = (
    *FOR_ALL,
    (JOBS, "Jobs"),
    (WORKERS, "Workers"),
    (SCHEDULE, "Schedule"),
    (SETTINGS, "Settings"),
    (ACTIONS, "Audit"),
)
"""Address and name of what stands in the bar, in order."""


@router.get("/static/{mark}/{name}")
async def get_static_file(mark: str, name: str) -> Response:
    """A style sheet, a script, an icon."""
    return static_file(name)


@router.get("/")
def show_start(request: Request) -> Response:
    """Where to go first."""
    return _send(PHOTOS)


@router.get(PHOTOS)
def show_photos(request: Request) -> Response:
    """One's own photos and videos, by month; more come in by drag and drop."""
    kinds = sorted(formats.IMAGES) + sorted(formats.VIDEOS)
    query = request.query_params.get("q", "")
    return _page(request, "photos.html", lambda _: {"accept": ",".join(kinds), "query": query})


@router.get(f"{PHOTOS}/{{asset_id}}")
def show_photo(request: Request, asset_id: UUID) -> Response:
    """One photo or video, what is known of it, and where its jobs stand."""
    titles = {name: STEP_TITLES.get(name, name) for name in STEPS}
    return _page(request, "photo.html", lambda _: {"state": {"id": str(asset_id), "titles": titles}})


@router.get(SIGN_IN)
def show_sign_in(request: Request) -> Response:
    """E-mail and password; the first visitor of a new server makes its admin."""
    services = services_of(request)
    initialized, _ = server_info.is_initialized(services)
    if not initialized and services.settings.allow_setup:
        return _send(SIGN_UP)
    config = get_config(services)
    return render(
        "sign_in.html",
        next=_own_path(request.query_params.get("next", "")),
        message=config.server.login_page_message,
        enabled=config.password_login.enabled,
    )


@router.get(SIGN_UP)
def show_sign_up(request: Request) -> Response:
    """The first account of this server."""
    services = services_of(request)
    initialized, _ = server_info.is_initialized(services)
    if initialized or not services.settings.allow_setup:
        return _send(SIGN_IN)
    return render("sign_up.html")


@router.get("/admin/queues")
@router.get("/admin/jobs-status")
@router.get("/admin")
def show_jobs_elsewhere() -> Response:
    """Immich's own addresses of the jobs page."""
    return _send(JOBS)


@router.get("/admin/queues/{name}")
def show_queue_elsewhere(name: str) -> Response:
    """Immich's own address of a queue's page."""
    return _send(f"{JOBS}/{quote(name)}" if name in BY_SLUG else JOBS)


@router.get(JOBS)
def show_jobs(request: Request) -> Response:
    """A card for each queue, live."""

    def build(services: Services) -> dict[str, Any]:
        look = request.app.state.observer.look()
        seen = {queue.name: queue for queue in each_activity(look)}
        config = get_config(services)
        switches = features(config, config_file=services.settings.config_file is not None).model_dump(by_alias=True)
        return {
            "cards": [
                {
                    "words": words,
                    "slug": slug(words.queue),
                    "seen": seen[words.queue],
                    "disabled": bool(words.feature) and not switches[words.feature],
                }
                for words in CARDS
            ],
            "others": [{"words": words, "slug": slug(words.queue), "seen": seen[words.queue]} for words in OTHERS],
            "manual_jobs": MANUAL_JOBS,
            "state": {
                "queues": _json(list(seen.values())),
                "secondsLeft": all_activity(look).seconds_left,
                "starts": {
                    words.queue: [
                        {"label": start.label, "force": start.force, "question": start.question}
                        for start in words.starts
                    ]
                    for words in CARDS
                },
                "titles": {queue: words.title for queue, words in WORDS.items()},
            },
        }

    return _admin_page(request, "jobs.html", build)


@router.get("/admin/jobs/{name}")
def show_queue(request: Request, name: str) -> Response:
    """One queue: what it does, what it did, what failed and why."""
    queue = BY_SLUG.get(name)
    if queue is None:
        return _send(JOBS)

    def build(services: Services) -> dict[str, Any]:
        words = WORDS[queue]
        (seen,) = (one for one in each_activity(request.app.state.observer.look()) if one.name is queue)
        return {
            "words": words,
            "quiet": quiet_hours(services).get(queue, ""),
            "state": {"queue": seen.model_dump(mode="json", by_alias=True), "title": words.title},
        }

    return _admin_page(request, "queue.html", build)


@router.get(WORKERS)
def show_workers(request: Request) -> Response:
    """The machines of the cluster, and which queue runs where."""

    def build(services: Services) -> dict[str, Any]:
        seen = [node_seen(one).model_dump(mode="json", by_alias=True) for one in list_nodes(services)]
        titles = [(words.queue, words.title) for words in CARDS + OTHERS]
        settings = services.settings
        port = settings.ray_port(RayPort.DASHBOARD) if settings.dashboard else None
        return {"dashboard_port": port, "state": {"nodes": seen, "queues": titles}}

    return _admin_page(request, "workers.html", build)


@router.get(SCHEDULE)
def show_schedule(request: Request) -> Response:
    """What runs at its times."""

    def build(services: Services) -> dict[str, Any]:
        seen = [scheduled_seen(entry).model_dump(mode="json", by_alias=True) for entry in list_schedule(services)]
        return {"state": {"entries": seen, "titles": SCHEDULE_TITLES}}

    return _admin_page(request, "schedule.html", build)


@router.get(SETTINGS)
def show_settings(request: Request) -> Response:
    """What an admin sets that has to do with jobs."""

    def build(services: Services) -> dict[str, Any]:
        sections = settings_form(get_config(services), default_config(services))
        return {
            "sections": sections,
            "locked": services.settings.config_file is not None,
            "tokens": TEMPLATE_TOKENS,
            "state": {"values": {one.path: one.value for section in sections for one in section.fields}},
        }

    return _admin_page(request, "settings.html", build)


@router.get(ACTIONS)
def show_actions(request: Request) -> Response:
    """Who did what."""
    titles = {queue: words.title for queue, words in WORDS.items()}
    return _admin_page(request, "actions.html", lambda _: {"state": {"titles": titles}})


def _json(models: list[QueueActivity]) -> list[dict[str, Any]]:
    return [model.model_dump(mode="json", by_alias=True) for model in models]


def _admin_page(request: Request, template: str, build: Callable[[Services], dict[str, Any]]) -> Response:
    """The page for an admin; a word for anybody else who is signed in."""

    def checked(services: Services, caller: Caller) -> Response:
        person = _person(services, caller)
        if not caller.is_admin:
            return render("forbidden.html", 403, person=person)
        return render(template, person=person, path=request.url.path, navigation=FOR_ADMINS, **build(services))

    return _signed_in(request, checked)


def _page(request: Request, template: str, build: Callable[[Services], dict[str, Any]]) -> Response:
    """The page for anybody who is signed in."""

    def shown(services: Services, caller: Caller) -> Response:
        navigation = FOR_ADMINS if caller.is_admin else FOR_ALL
        person = _person(services, caller)
        return render(template, person=person, path=request.url.path, navigation=navigation, **build(services))

    return _signed_in(request, shown)


def _signed_in(request: Request, show: Callable[[Services, Caller], Response]) -> Response:
    services = services_of(request)
    try:
        caller = authenticate(services, request)
    except NotAuthenticated:
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _send(f"{SIGN_IN}?next={quote(wanted, safe='')}")
    return show(services, caller)


def _person(services: Services, caller: Caller) -> dict[str, Any]:
    with services.database.reader() as session:
        user = users.by_id(session, caller.user_id)
        assert user is not None
        return {"name": user.name or user.email, "email": user.email, "is_admin": user.is_admin}


def _own_path(path: str) -> str:
    """Where to go after signing in: a page of ours and nothing else."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\", "/api/", "/auth/")) else "/"


def _send(where: str) -> Response:
    return RedirectResponse(where, 307, HEADERS)
