"""/server: what the server is and can do. Source: spec/api.md §2."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import server_info
from serve_app.services.system_config import get_config
from serve_app.wire.common import Wire
from tasks.media import formats

router = APIRouter(prefix="/server", tags=["server"])

PONG = {"res": "pong"}


class Storage(Wire):
    disk_size: str
    disk_use: str
    disk_available: str
    disk_size_raw: int
    disk_use_raw: int
    disk_available_raw: int
    disk_usage_percentage: float


class UserUsage(Wire):
    user_id: str
    user_name: str
    photos: int
    videos: int
    usage: int
    usage_photos: int
    usage_videos: int
    quota_size_in_bytes: int | None


class Statistics(Wire):
    photos: int
    videos: int
    usage: int
    usage_photos: int
    usage_videos: int
    usage_by_user: list[UserUsage]


@router.get("/ping")
async def ping_server() -> dict[str, str]:
    """Answers while the server lives."""
    return PONG


@router.get("/version")
async def get_server_version() -> dict[str, int | None]:
    major, minor, patch = server_info.VERSION
    return {"major": major, "minor": minor, "patch": patch, "prerelease": None}


@router.get("/features")
def get_server_features(services: ServicesOf) -> dict[str, bool]:
    """What is switched on. What this server does not do yet is off, whatever the config says."""
    config = get_config(services)
    learning = config.machine_learning
    return {
        "smartSearch": learning.enabled and learning.clip.enabled,
        "facialRecognition": learning.enabled and learning.facial_recognition.enabled,
        "duplicateDetection": learning.enabled and learning.duplicate_detection.enabled,
        "ocr": learning.enabled and learning.ocr.enabled,
        "map": config.map.enabled,
        "reverseGeocoding": config.reverse_geocoding.enabled,
        "importFaces": config.metadata.faces.import_,
        "sidecar": True,
        "search": True,
        "trash": config.trash.enabled,
        "oauth": False,
        "oauthAutoLaunch": False,
        "passwordLogin": config.password_login.enabled,
        "configFile": services.settings.config_file is not None,
        "email": False,
        "realtimeTranscoding": False,
    }


@router.get("/config")
def get_server_config(services: ServicesOf) -> dict[str, Any]:
    config = get_config(services)
    initialized, onboarded = server_info.is_initialized(services)
    return {
        "loginPageMessage": config.server.login_page_message,
        "trashDays": config.trash.days,
        "userDeleteDelay": config.user.delete_delay,
        "oauthButtonText": config.oauth.button_text,
        "isInitialized": initialized,
        "isOnboarded": onboarded,
        "externalDomain": config.server.external_domain,
        "publicUsers": config.server.public_users,
        "mapDarkStyleUrl": config.map.dark_style,
        "mapLightStyleUrl": config.map.light_style,
        "maintenanceMode": False,
        "minFaces": config.machine_learning.facial_recognition.min_faces,
    }


@router.get("/media-types")
async def get_supported_media_types() -> dict[str, list[str]]:
    return {
        "image": sorted(formats.IMAGES),
        "video": sorted(formats.VIDEOS),
        "sidecar": sorted(formats.SIDECARS),
    }


@router.get("/about")
def get_about_info(caller: Annotated[Caller, Depends(allow("server.about"))]) -> dict[str, Any]:
    version = "v" + ".".join(map(str, server_info.VERSION))
    programs = {
        "exiftool": server_info.program_version("exiftool", "-ver", 0),
        "ffmpeg": server_info.program_version("ffmpeg", "-version", 2),
    }
    about: dict[str, Any] = {"version": version, "versionUrl": "", "licensed": False}
    return about | {name: found for name, found in programs.items() if found is not None}


@router.get("/storage")
def get_storage(caller: Annotated[Caller, Depends(allow("server.storage"))], services: ServicesOf) -> Storage:
    total, used, free = server_info.disk(services)
    return Storage(
        disk_size=server_info.human_size(total),
        disk_use=server_info.human_size(used),
        disk_available=server_info.human_size(free),
        disk_size_raw=total,
        disk_use_raw=used,
        disk_available_raw=free,
        disk_usage_percentage=round(100 * used / total, 2),
    )


@router.get("/statistics")
def get_server_statistics(
    caller: Annotated[Caller, Depends(allow("server.statistics", admin=True))], services: ServicesOf
) -> Statistics:
    users = [
        UserUsage(
            user_id=one.user.id,
            user_name=one.user.name,
            photos=one.photos,
            videos=one.videos,
            usage=one.photo_bytes + one.video_bytes,
            usage_photos=one.photo_bytes,
            usage_videos=one.video_bytes,
            quota_size_in_bytes=one.user.quota_size_bytes,
        )
        for one in server_info.usage_by_user(services)
    ]
    return Statistics(
        photos=sum(one.photos for one in users),
        videos=sum(one.videos for one in users),
        usage=sum(one.usage for one in users),
        usage_photos=sum(one.usage_photos for one in users),
        usage_videos=sum(one.usage_videos for one in users),
        usage_by_user=users,
    )
