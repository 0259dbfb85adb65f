"""Signing up, in and out, in Immich's spelling. Source: spec/api.md §1."""

from pydantic import StrictBool

from cluster.db.tables.user import User
from serve_app.services.pin_codes import AuthStatus
from serve_app.wire.common import PlainText, WhenKnown, Wire, WireTime
from serve_app.wire.user import Email, NewPassword, NotEmpty, PinCode


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


class AuthStatusSeen(Wire):
    """What the session may do beyond the usual. `pinCode`, `password`: there is one."""

    pin_code: bool
    password: bool
    is_elevated: bool
    expires_at: WhenKnown[WireTime] = None
    pin_expires_at: WhenKnown[WireTime] = None


class PinCodeSetup(Wire):
    """The first code."""

    pin_code: PinCode


class PinCodeProof(Wire):
    """What shows that it is the account's owner who asks; a password outweighs a code."""

    pin_code: PinCode | None = None
    password: PlainText | None = None


class PinCodeChange(PinCodeProof):
    """Another code."""

    new_pin_code: PinCode


class PasswordChange(Wire):
    """The old password proves that it is their owner who asks."""

    password: PlainText
    new_password: NewPassword
    invalidate_sessions: StrictBool = False


def auth_status_seen(status: AuthStatus) -> AuthStatusSeen:
    return AuthStatusSeen(
        pin_code=status.has_pin_code,
        password=status.has_password,
        is_elevated=status.elevated,
        expires_at=status.expires_at,
        pin_expires_at=status.pin_expires_at,
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
