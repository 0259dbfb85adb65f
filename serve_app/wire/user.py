"""People, sessions and keys in Immich's spelling. Source: spec/api.md §1, §3."""

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from cluster.db.tables.user import ApiKey, Session, User
from serve_app.permissions import PERMISSIONS
from serve_app.wire.common import LARGEST, WhenKnown, Wire, WireTime

# Where HTML has it from: what a browser's e-mail field takes.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise PydanticCustomError("email", "Invalid email address")
    return text.lower()


def _permission(name: str) -> str:
    if name not in PERMISSIONS:
        options = "|".join(f'"{one}"' for one in PERMISSIONS)
        raise PydanticCustomError("option", "Invalid option: expected one of {options}", {"options": options})
    return name


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


def _folder_name(label: str) -> str | None:
    # It becomes a folder's name, so it may not climb or hide.
    return re.sub(r"[/\\?<>:*|\"\x00-\x1f\x7f.]", "", label).strip() or None


Email = Annotated[StrictStr, StringConstraints(max_length=320), AfterValidator(_email)]
"""In lower case from here on."""
StorageLabel = Annotated[StrictStr, AfterValidator(_folder_name)]
NotEmpty = Annotated[StrictStr, Field(min_length=1)]
NewPassword = Annotated[StrictStr, Field(min_length=8)]
Quota = Annotated[StrictInt, Field(ge=0, le=LARGEST)]
Permission = Annotated[
    StrictStr, AfterValidator(_permission), WithJsonSchema({"type": "string", "enum": list(PERMISSIONS)})
]


class SignUp(Wire):
    """The first account."""

    email: Email
    password: NotEmpty
    name: NotEmpty


class Login(Wire):
    """Who, and the proof."""

    email: Email
    password: NotEmpty


class LoginAnswer(Wire):
    """The token of a new session, and whose it is."""

    access_token: str
    user_id: str
    user_email: str
    name: str
    profile_image_path: str
    is_admin: bool
    should_change_password: bool
    is_onboarded: bool


class LogoutAnswer(Wire):
    """Where a browser goes next."""

    successful: bool = True
    redirect_uri: str = "/auth/login?autoLaunch=0"


class TokenAnswer(Wire):
    """The credentials are good."""

    auth_status: bool = True


class AuthStatus(Wire):
    """What the session may do beyond the usual. There are no PIN codes here, so none is elevated."""

    pin_code: bool = False
    password: bool = True
    is_elevated: bool = False
    expires_at: WhenKnown[WireTime] = None


class PasswordChange(Wire):
    """The old password proves that it is their owner who asks."""

    password: StrictStr
    new_password: NewPassword
    invalidate_sessions: StrictBool = False


class UserAdmin(Wire):
    """An account as its owner and admins see it."""

    id: str
    email: str
    name: str
    avatar_color: AvatarColor
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
    status: Literal["active", "removing", "deleted"]
    license: None = None


class UserSeen(Wire):
    """An account as others see it."""

    id: str
    email: str
    name: str
    avatar_color: AvatarColor
    profile_image_path: str
    profile_changed_at: WireTime


class MyUpdate(Wire):
    """What people change about themselves."""

    name: StrictStr | None = None
    email: Email | None = None
    avatar_color: AvatarColor | None = None
    password: NewPassword | None = None


class NewUser(Wire):
    """An account that an admin makes."""

    email: Email
    name: StrictStr
    password: NotEmpty
    is_admin: StrictBool = False
    quota_size_in_bytes: Quota | None = None
    storage_label: StorageLabel | None = None
    should_change_password: StrictBool = True
    avatar_color: AvatarColor | None = None


class NewApiKey(Wire):
    """A key to be made."""

    name: StrictStr = "API Key"
    permissions: Annotated[list[Permission], Field(min_length=1)]


class ApiKeyUpdate(Wire):
    """What is to be changed of a key."""

    name: StrictStr | None = None
    permissions: Annotated[list[Permission], Field(min_length=1)] | None = None


class ApiKeySeen(Wire):
    """A key without its secret."""

    id: str
    name: str
    permissions: list[str]
    created_at: WireTime
    updated_at: WireTime


class ApiKeyMade(Wire):
    """The one time that the secret is shown."""

    secret: str
    api_key: ApiKeySeen


class NewSession(Wire):
    """A session for another device. `duration`: seconds; without it, it does not end by itself."""

    duration: Annotated[StrictInt, Field(ge=1, le=LARGEST)] | None = None
    device_type: StrictStr = ""
    device_os: Annotated[StrictStr, Field(alias="deviceOS")] = ""


class SessionSeen(Wire):
    """A device that is signed in. `current`: it is the one that asks."""

    id: str
    created_at: WireTime
    updated_at: WireTime
    expires_at: WhenKnown[WireTime] = None
    current: bool
    device_type: str
    device_os: Annotated[str, Field(alias="deviceOS")]
    app_version: str | None
    is_pending_sync_reset: bool = False


class SessionMade(SessionSeen):
    """With its token, which is shown once."""

    token: str


class Onboarding(Wire):
    """Whether the first steps were shown."""

    is_onboarded: StrictBool


def user_admin(user: User) -> UserAdmin:
    return UserAdmin(
        id=user.id,
        email=user.email,
        name=user.name,
        avatar_color=AvatarColor(user.avatar_color),
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
        status=user.status,  # type: ignore[arg-type]  # the column knows these words alone
    )


def user_seen(user: User) -> UserSeen:
    return UserSeen(
        id=user.id,
        email=user.email,
        name=user.name,
        avatar_color=AvatarColor(user.avatar_color),
        profile_image_path=user.profile_image_path,
        profile_changed_at=user.profile_changed_at,
    )


def login_answer(user: User, token: str) -> LoginAnswer:
    return LoginAnswer(
        access_token=token,
        user_id=user.id,
        user_email=user.email,
        name=user.name,
        profile_image_path=user.profile_image_path,
        is_admin=user.is_admin,
        should_change_password=user.should_change_password,
        is_onboarded=user.is_onboarded,
    )


def api_key_seen(key: ApiKey) -> ApiKeySeen:
    return ApiKeySeen(
        id=key.id, name=key.name, permissions=key.permissions, created_at=key.created_at, updated_at=key.updated_at
    )


def session_seen(session: Session, current_id: str | None) -> SessionSeen:
    return SessionSeen(
        id=session.id,
        created_at=session.created_at,
        updated_at=session.updated_at,
        expires_at=session.expires_at,
        current=session.id == current_id,
        device_type=session.device_type,
        device_os=session.device_os,
        app_version=session.app_version,
    )


def session_made(session: Session, token: str) -> SessionMade:
    return SessionMade(**session_seen(session, None).model_dump(by_alias=False), token=token)
