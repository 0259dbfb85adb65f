"""People, sessions and keys in Immich's spelling. Source: spec/api.md §1, §3."""

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from cluster.db.tables.user import ApiKey, Session, User
from serve_app.wire.common import Wire, WireTime

Email = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]
NewPassword = Annotated[str, StringConstraints(min_length=8)]


class AvatarColor(StrEnum):
    """Colours of the round picture that stands for a person without one."""

    PRIMARY = "primary"
    PINK = "pink"
    RED = "red"
    YELLOW = "yellow"
    BLUE = "blue"
    GREEN = "green"
    PURPLE = "purple"
    ORANGE = "orange"
    GRAY = "gray"
    AMBER = "amber"


class SignUp(Wire):
    """The first account."""

    email: Email
    password: Annotated[str, StringConstraints(min_length=1)]
    name: Annotated[str, StringConstraints(min_length=1)]


class Login(Wire):
    email: str
    password: str


class LoginAnswer(Wire):
    access_token: str
    user_id: str
    user_email: str
    name: str
    profile_image_path: str
    is_admin: bool
    should_change_password: bool
    is_onboarded: bool


class LogoutAnswer(Wire):
    successful: bool = True
    redirect_uri: str = "/auth/login?autoLaunch=0"


class TokenAnswer(Wire):
    auth_status: bool = True


class AuthStatus(Wire):
    pin_code: bool
    password: bool
    is_elevated: bool
    expires_at: WireTime | None = None


class PasswordChange(Wire):
    password: str
    new_password: NewPassword
    invalidate_sessions: bool = False


class UserAdmin(Wire):
    """An account as its owner and admins see it."""

    id: str
    email: str
    name: str
    avatar_color: str
    profile_image_path: str
    profile_changed_at: WireTime
    storage_label: str | None
    should_change_password: bool
    is_admin: bool
    created_at: WireTime
    updated_at: WireTime
    deleted_at: WireTime | None
    oauth_id: str = ""
    quota_size_in_bytes: int | None
    quota_usage_in_bytes: int | None
    status: str
    license: None = None


class UserSeen(Wire):
    """An account as others see it."""

    id: str
    email: str
    name: str
    avatar_color: str
    profile_image_path: str
    profile_changed_at: WireTime


class MyUpdate(Wire):
    name: Annotated[str, StringConstraints(min_length=1)] | None = None
    email: Email | None = None
    avatar_color: AvatarColor | None = None
    password: NewPassword | None = None


class NewUser(Wire):
    email: Email
    name: Annotated[str, StringConstraints(min_length=1)]
    password: Annotated[str, StringConstraints(min_length=1)]
    is_admin: bool = False
    quota_size_in_bytes: Annotated[int, Field(ge=0)] | None = None
    storage_label: str | None = None
    should_change_password: bool = True
    avatar_color: AvatarColor | None = None


class NewApiKey(Wire):
    name: str = "API Key"
    permissions: Annotated[list[str], Field(min_length=1)]


class ApiKeyUpdate(Wire):
    name: str | None = None
    permissions: Annotated[list[str], Field(min_length=1)] | None = None


class ApiKeySeen(Wire):
    id: str
    name: str
    permissions: list[str]
    created_at: WireTime
    updated_at: WireTime


class ApiKeyMade(Wire):
    secret: str
    api_key: ApiKeySeen


class NewSession(Wire):
    duration: Annotated[int, Field(ge=1)] | None = None
    device_type: str = ""
    device_os: Annotated[str, Field(alias="deviceOS")] = ""


class SessionSeen(Wire):
    id: str
    created_at: WireTime
    updated_at: WireTime
    expires_at: WireTime | None = None
    current: bool
    device_type: str
    device_os: Annotated[str, Field(alias="deviceOS")]
    app_version: str | None
    is_pending_sync_reset: bool = False


class SessionMade(SessionSeen):
    token: str


class Onboarding(Wire):
    is_onboarded: bool


def user_admin(user: User) -> UserAdmin:
    return UserAdmin(
        id=user.id,
        email=user.email,
        name=user.name,
        avatar_color=user.avatar_color,
        profile_image_path=user.profile_image_path,
        profile_changed_at=user.profile_changed_at,
        storage_label=user.storage_label,
        should_change_password=user.should_change_password,
        is_admin=user.is_admin,
        created_at=user.created_at,
        updated_at=user.updated_at,
        deleted_at=user.deleted_at,
        quota_size_in_bytes=user.quota_size_bytes,
        quota_usage_in_bytes=user.quota_usage_bytes,
        status=user.status,
    )


def user_seen(user: User) -> UserSeen:
    return UserSeen(
        id=user.id,
        email=user.email,
        name=user.name,
        avatar_color=user.avatar_color,
        profile_image_path=user.profile_image_path,
        profile_changed_at=user.profile_changed_at,
    )


def api_key_seen(key: ApiKey) -> ApiKeySeen:
    return ApiKeySeen(
        id=key.id, name=key.name, permissions=key.permissions, created_at=key.created_at, updated_at=key.updated_at
    )


def session_fields(session: Session, current_id: str | None) -> dict[str, Any]:
    """What SessionSeen and SessionMade share."""
    return {
        "id": session.id,
        "created_at": session.created_at,
        "updated_at": session.updated_at,
        "expires_at": session.expires_at,
        "current": session.id == current_id,
        "device_type": session.device_type,
        "device_os": session.device_os,
        "app_version": session.app_version,
    }


PREFERENCES: dict[str, dict[str, Any]] = {
    "albums": {"defaultAssetOrder": "desc"},
    "folders": {"enabled": False, "sidebarWeb": False},
    "memories": {"enabled": True, "duration": 5},
    "people": {"enabled": True, "sidebarWeb": False, "minimumFaces": 3},
    "ratings": {"enabled": False},
    "sharedLinks": {"enabled": True, "sidebarWeb": False},
    "tags": {"enabled": False, "sidebarWeb": False},
    "emailNotifications": {"enabled": True, "albumInvite": True, "albumUpdate": True},
    "download": {"archiveSize": 4 * 1024**3, "includeEmbeddedVideos": False},
    "purchase": {"showSupportBadge": True, "hideBuyButtonUntil": "2022-02-12T00:00:00.000Z"},
    "cast": {"gCastEnabled": False},
    "recentlyAdded": {"sidebarWeb": False},
}
"""What a person may set for themselves, with its defaults."""


def preferences(stored: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The defaults with what this person changed."""
    return {group: {**values, **(stored.get(group) or {})} for group, values in PREFERENCES.items()}
