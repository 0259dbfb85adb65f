"""Signing up, in and out, in Immich's spelling. Source: spec/api.md §1."""

from pydantic import StrictBool, StrictStr

from cluster.db.tables.user import User
from serve_app.wire.common import WhenKnown, Wire, WireTime
from serve_app.wire.user import Email, NewPassword, NotEmpty


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
