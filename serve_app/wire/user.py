"""Accounts in Immich's spelling. Source: spec/api.md §1, §3."""

import re
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, StrictBool, StrictInt, StrictStr, StringConstraints
from pydantic_core import PydanticCustomError

from cluster.db.tables.user import User
from serve_app.wire.common import LARGEST, STORABLE, PlainText, Wire, WireTime, like

# Where HTML has it from: what a browser's e-mail field takes.
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_EMAIL = re.compile(rf"[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{_LABEL}(?:\.{_LABEL})*")


def _email(text: str) -> str:
    if not _EMAIL.fullmatch(text):
        raise PydanticCustomError("email", "Invalid email address")
    return text.lower()


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
    return re.sub(r"[/\\?<>:*|\"\x00-\x1f\x7f.\ud800-\udfff]", "", label).strip() or None


Email = Annotated[StrictStr, StringConstraints(max_length=320), STORABLE, AfterValidator(_email)]
"""In lower case from here on."""
StorageLabel = Annotated[StrictStr, AfterValidator(_folder_name)]
NotEmpty = Annotated[StrictStr, Field(min_length=1), STORABLE]
NewPassword = Annotated[StrictStr, Field(min_length=8), STORABLE]
PinCode = Annotated[PlainText, AfterValidator(like(r"^\d{6}$"))]
Quota = Annotated[StrictInt, Field(ge=0, le=LARGEST)]


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


class ProfileImage(Wire):
    """A new picture of somebody."""

    user_id: str
    profile_image_path: str
    profile_changed_at: WireTime


class MyUpdate(Wire):
    """What people change about themselves."""

    name: PlainText | None = None
    email: Email | None = None
    avatar_color: AvatarColor | None = None
    password: NewPassword | None = None


class NewUser(Wire):
    """An account that an admin makes."""

    email: Email
    name: PlainText
    password: NotEmpty
    is_admin: StrictBool = False
    quota_size_in_bytes: Quota | None = None
    storage_label: StorageLabel | None = None
    should_change_password: StrictBool = True
    pin_code: PinCode | None = None
    avatar_color: AvatarColor | None = None


class AccountUpdate(Wire):
    """What an admin changes of an account. Null: no limit, no label, no PIN code, no colour of its own."""

    email: Email | None = None
    name: PlainText | None = None
    password: NotEmpty | None = None
    is_admin: StrictBool | None = None
    quota_size_in_bytes: Quota | None = None
    storage_label: StorageLabel | None = None
    should_change_password: StrictBool | None = None
    pin_code: PinCode | None = None
    avatar_color: AvatarColor | None = None

    def changes(self) -> dict[str, Any]:
        """What the request named, by column."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        changes = {name: value for name, value in given.items() if value is not None or name in NULLABLE}
        if "quota_size_in_bytes" in changes:
            changes["quota_size_bytes"] = changes.pop("quota_size_in_bytes")
        if "avatar_color" in changes:
            changes["avatar_color"] = changes["avatar_color"] or AvatarColor.PRIMARY
        return changes


NULLABLE = frozenset({"quota_size_in_bytes", "storage_label", "pin_code", "avatar_color"})


class DeleteUser(Wire):
    """`force`: at once and for good."""

    force: StrictBool = False


class Onboarding(Wire):
    """Whether the first steps were shown."""

    is_onboarded: StrictBool


def profile_image_seen(user: User) -> ProfileImage:
    return ProfileImage(
        user_id=user.id, profile_image_path=user.profile_image_path, profile_changed_at=user.profile_changed_at
    )


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
