"""What the server says of itself, in Immich's spelling. Source: spec/api.md §2."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from cluster.system_config import SystemConfig
from serve_app.services.server_info import VERSION, DiskUsage, Programs, Usage
from serve_app.services.version_history import VersionSeen as Seen
from serve_app.wire.common import WhenKnown, Wire, WireTime
from tasks.media.places import DATA_FILE

VERSION_TEXT = ".".join(map(str, VERSION))
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


class Ping(Wire):
    res: str = "pong"


class Version(Wire):
    major: int
    minor: int
    patch: int
    prerelease: int | None = None


class MediaTypes(Wire):
    """Extensions, each with its dot."""

    image: list[str]
    video: list[str]
    sidecar: list[str]


class Features(Wire):
    """What is switched on."""

    smart_search: bool
    facial_recognition: bool
    duplicate_detection: bool
    ocr: bool
    map: bool
    reverse_geocoding: bool
    import_faces: bool
    sidecar: bool = True
    search: bool = True
    trash: bool
    oauth: bool = False
    oauth_auto_launch: bool = False
    password_login: bool
    config_file: bool
    email: bool = False
    realtime_transcoding: bool = False


class ServerConfig(Wire):
    """What a client must know before anybody signs in."""

    login_page_message: str
    trash_days: int
    user_delete_delay: int
    oauth_button_text: str
    is_initialized: bool
    is_onboarded: bool
    external_domain: str
    public_users: bool
    map_dark_style_url: str
    map_light_style_url: str
    maintenance_mode: bool = False
    min_faces: int


class About(Wire):
    """Versions: Immich's, whose API this is, and those of the programs that do the work."""

    version: str
    version_url: str = ""
    licensed: bool = False
    exiftool: WhenKnown[str] = None
    ffmpeg: WhenKnown[str] = None


class Storage(Wire):
    """The disk of the media folder, in words and in bytes."""

    disk_size: str
    disk_use: str
    disk_available: str
    disk_size_raw: int
    disk_use_raw: int
    disk_available_raw: int
    disk_usage_percentage: float


class UserUsage(Wire):
    """What one person's originals take, in bytes."""

    user_id: str
    user_name: str
    photos: int
    videos: int
    usage: int
    usage_photos: int
    usage_videos: int
    quota_size_in_bytes: int | None


class Statistics(Wire):
    """What everybody's originals take, in bytes."""

    photos: int
    videos: int
    usage: int
    usage_photos: int
    usage_videos: int
    usage_by_user: list[UserUsage]


def version() -> Version:
    major, minor, patch = VERSION
    return Version(major=major, minor=minor, patch=patch)


def features(config: SystemConfig, *, config_file: bool) -> Features:
    """What is out of scope is off, whatever the config says."""
    learning = config.machine_learning
    return Features(
        smart_search=learning.enabled and learning.clip.enabled,
        facial_recognition=learning.enabled and learning.facial_recognition.enabled,
        duplicate_detection=learning.enabled and learning.clip.enabled and learning.duplicate_detection.enabled,
        ocr=learning.enabled and learning.ocr.enabled,
        map=config.map.enabled,
        reverse_geocoding=config.reverse_geocoding.enabled,
        import_faces=config.metadata.faces.import_faces,
        trash=config.trash.enabled,
        password_login=config.password_login.enabled,
        config_file=config_file,
    )


def server_config(config: SystemConfig, *, initialized: bool, onboarded: bool) -> ServerConfig:
    return ServerConfig(
        login_page_message=config.server.login_page_message,
        trash_days=config.trash.days,
        user_delete_delay=config.user.delete_delay,
        oauth_button_text=config.oauth.button_text,
        is_initialized=initialized,
        is_onboarded=onboarded,
        external_domain=config.server.external_domain,
        public_users=config.server.public_users,
        map_dark_style_url=config.map.dark_style,
        map_light_style_url=config.map.light_style,
        min_faces=config.machine_learning.facial_recognition.min_faces,
    )


def about(programs: Programs) -> About:
    return About(version=f"v{VERSION_TEXT}", exiftool=programs.exiftool, ffmpeg=programs.ffmpeg)


def storage(disk: DiskUsage) -> Storage:
    return Storage(
        disk_size=human_size(disk.size_bytes),
        disk_use=human_size(disk.used_bytes),
        disk_available=human_size(disk.free_bytes),
        disk_size_raw=disk.size_bytes,
        disk_use_raw=disk.used_bytes,
        disk_available_raw=disk.free_bytes,
        disk_usage_percentage=round(100 * disk.used_bytes / disk.size_bytes, 2) if disk.size_bytes else 0.0,
    )


def statistics(usages: list[Usage]) -> Statistics:
    return Statistics(
        photos=sum(one.photos for one in usages),
        videos=sum(one.videos for one in usages),
        usage=sum(one.photo_bytes + one.video_bytes for one in usages),
        usage_photos=sum(one.photo_bytes for one in usages),
        usage_videos=sum(one.video_bytes for one in usages),
        usage_by_user=[_user_usage(one) for one in usages],
    )


def _user_usage(usage: Usage) -> UserUsage:
    return UserUsage(
        user_id=usage.user.id,
        user_name=usage.user.name,
        photos=usage.photos,
        videos=usage.videos,
        usage=usage.photo_bytes + usage.video_bytes,
        usage_photos=usage.photo_bytes,
        usage_videos=usage.video_bytes,
        quota_size_in_bytes=usage.user.quota_size_bytes,
    )


def human_size(size_bytes: int) -> str:
    """`1.2 TiB`."""
    value, unit = float(size_bytes), UNITS[0]
    for unit in UNITS:
        if value < 1024 or unit == UNITS[-1]:
            break
        value /= 1024
    return f"{value:.0f} {unit}" if unit == UNITS[0] else f"{value:.1f} {unit}"


class VersionCheck(Wire):
    """When somebody asked for the newest release, and what it was."""

    checked_at: str | None
    release_version: str | None


def version_check(note: Mapping[str, str]) -> VersionCheck:
    return VersionCheck(checked_at=note.get("checkedAt"), release_version=note.get("releaseVersion"))


class VersionSeen(Wire):
    """A version that this server has been, and since when."""

    id: str
    version: str
    created_at: WireTime


def version_seen(seen: Seen) -> VersionSeen:
    return VersionSeen(id=seen.id, version=seen.version, created_at=seen.created_at)


class ApkLinks(Wire):
    """Immich's app for Android, by processor."""

    arm64v8a: Annotated[str, Field(alias="arm64v8a")]
    armeabiv7a: Annotated[str, Field(alias="armeabiv7a")]
    universal: str
    x86_64: Annotated[str, Field(alias="x86_64")]


def apk_links() -> ApkLinks:
    release = f"https://github.com/immich-app/immich/releases/download/v{VERSION_TEXT}"
    return ApkLinks(
        arm64v8a=f"{release}/app-arm64-v8a-release.apk",
        armeabiv7a=f"{release}/app-armeabi-v7a-release.apk",
        universal=f"{release}/app-release.apk",
        x86_64=f"{release}/app-x86_64-release.apk",
    )


class ReverseGeocodingState(Wire):
    """Which gazetteer there is. It came with the installation, so that it was imported at no time."""

    last_update: str | None = None
    last_import_file_name: str | None


def reverse_geocoding_state() -> ReverseGeocodingState:
    return ReverseGeocodingState(last_import_file_name=DATA_FILE.name)
