"""/server: what the server is and can do. Source: spec/api.md §2."""

from typing import Annotated

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import server_info, version_history
from serve_app.services.system_config import get_config
from serve_app.wire import server as wire
from tasks.media import formats

router = APIRouter(prefix="/server", tags=["server"])

PONG = wire.Ping()


@router.get("/ping")
async def ping_server() -> wire.Ping:
    """Answers while the server lives."""
    return PONG


@router.get("/version")
async def get_server_version() -> wire.Version:
    """The release of Immich whose API this is."""
    return wire.version()


@router.get("/features")
def get_server_features(services: ServicesOf) -> wire.Features:
    """What is switched on."""
    return wire.features(get_config(services), config_file=services.settings.config_file is not None)


@router.get("/config")
def get_server_config(services: ServicesOf) -> wire.ServerConfig:
    """What a client must know before anybody signs in."""
    initialized, onboarded = server_info.is_initialized(services)
    return wire.server_config(get_config(services), initialized=initialized, onboarded=onboarded)


@router.get("/media-types")
async def get_supported_media_types() -> wire.MediaTypes:
    """The extensions of files that may be uploaded."""
    return wire.MediaTypes(image=sorted(formats.IMAGES), video=sorted(formats.VIDEOS), sidecar=sorted(formats.SIDECARS))


@router.get("/about")
def get_about_info(caller: Annotated[Caller, Depends(allow("server.about"))]) -> wire.About:
    """Versions of the API and of the programs behind it."""
    return wire.about(server_info.programs())


@router.get("/version-check")
def get_version_check(
    caller: Annotated[Caller, Depends(allow("server.versionCheck"))], services: ServicesOf
) -> wire.VersionCheck:
    """What the last check for a newer release found."""
    return wire.version_check(server_info.version_check(services))


@router.get("/version-history")
def get_version_history(services: ServicesOf) -> list[wire.VersionSeen]:
    """The versions that this server has been, newest first."""
    return [wire.version_seen(one) for one in version_history.read_history(services)]


@router.get("/apk-links")
async def get_apk_links(caller: Annotated[Caller, Depends(allow("server.apkLinks"))]) -> wire.ApkLinks:
    """Where Immich's app for Android lies that speaks this version."""
    return wire.apk_links()


@router.get("/storage")
def get_storage(caller: Annotated[Caller, Depends(allow("server.storage"))], services: ServicesOf) -> wire.Storage:
    """The disk that holds the media folder."""
    return wire.storage(server_info.disk_usage(services))


@router.get("/statistics")
def get_server_statistics(
    caller: Annotated[Caller, Depends(allow("server.statistics", admin=True))], services: ServicesOf
) -> wire.Statistics:
    """Photos and videos of everybody, and the bytes they take."""
    return wire.statistics(server_info.usage_by_user(services))
