"""/auth: the first account, signing in and out. Source: spec/api.md §1."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response

from serve_app.client_address import client_address
from serve_app.deps import SESSION_COOKIE, AnyCaller, Caller, ServicesOf, SignedIn, allow
from serve_app.services import pin_codes
from serve_app.services.change_password import change_password
from serve_app.services.sessions import Device
from serve_app.services.sign_in import sign_in
from serve_app.services.sign_out import sign_out
from serve_app.services.sign_up import sign_up_admin
from serve_app.wire.auth import (
    AuthStatusSeen,
    Login,
    LoginAnswer,
    LogoutAnswer,
    PasswordChange,
    PinCodeChange,
    PinCodeProof,
    PinCodeSetup,
    SignUp,
    TokenAnswer,
    auth_status_seen,
    login_answer,
)
from serve_app.wire.user import UserAdmin, user_admin

router = APIRouter(prefix="/auth", tags=["auth"])

COOKIE_AGE_S = 400 * 24 * 3600
COOKIES = (SESSION_COOKIE, "immich_auth_type", "immich_is_authenticated")


@router.post("/admin-sign-up", status_code=201)
def sign_up_first_admin(body: SignUp, services: ServicesOf) -> UserAdmin:
    """Make the first account."""
    return user_admin(sign_up_admin(services, body.email, body.password, body.name))


@router.post("/login", status_code=201)
def login(body: Login, request: Request, response: Response, services: ServicesOf) -> LoginAnswer:
    """A session token, as body and as cookies."""
    address = client_address(request, services.settings.trusted_proxies)
    user, token = sign_in(services, body.email, body.password, _device(request), address)
    secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    for name, value, hidden in zip(COOKIES, (token, "password", "true"), (True, True, False), strict=True):
        response.set_cookie(name, value, max_age=COOKIE_AGE_S, path="/", samesite="lax", httponly=hidden, secure=secure)
    return login_answer(user, token)


@router.post("/logout")
def logout(response: Response, caller: SignedIn, services: ServicesOf) -> LogoutAnswer:
    """End this session."""
    sign_out(services, caller)
    for name in COOKIES:
        response.delete_cookie(name, path="/", samesite="lax")
    return LogoutAnswer()


@router.post("/validateToken")
async def validate_access_token(caller: AnyCaller) -> TokenAnswer:
    """Answers 200 when the credentials are good."""
    return TokenAnswer()


@router.post("/change-password")
def change_own_password(
    body: PasswordChange, services: ServicesOf, caller: Annotated[Caller, Depends(allow("auth.changePassword"))]
) -> UserAdmin:
    """Change one's own password."""
    return user_admin(
        change_password(services, caller, body.password, body.new_password, sign_out_others=body.invalidate_sessions)
    )


@router.get("/status")
def get_auth_status(caller: SignedIn, services: ServicesOf) -> AuthStatusSeen:
    """What the session may do beyond the usual."""
    return auth_status_seen(pin_codes.auth_status(services, caller))


@router.post("/pin-code", status_code=204)
def setup_pin_code(
    body: PinCodeSetup, services: ServicesOf, caller: Annotated[Caller, Depends(allow("pinCode.create"))]
) -> None:
    """The first PIN code of this account."""
    pin_codes.set_up_pin_code(services, caller, body.pin_code)


@router.put("/pin-code", status_code=204)
def change_pin_code(
    body: PinCodeChange, services: ServicesOf, caller: Annotated[Caller, Depends(allow("pinCode.update"))]
) -> None:
    """Another PIN code, for who knows the old one or the password."""
    pin_codes.change_pin_code(services, caller, body.new_pin_code, body.pin_code, body.password)


@router.delete("/pin-code", status_code=204)
def reset_pin_code(
    body: PinCodeProof, services: ServicesOf, caller: Annotated[Caller, Depends(allow("pinCode.delete"))]
) -> None:
    """No PIN code any more; every session is locked."""
    pin_codes.reset_pin_code(services, caller, body.pin_code, body.password)


@router.post("/session/unlock", status_code=204)
def unlock_auth_session(body: PinCodeProof, services: ServicesOf, caller: SignedIn) -> None:
    """This session sees for a while what is locked."""
    pin_codes.unlock_session(services, caller, body.pin_code)


@router.post("/session/lock", status_code=204)
def lock_auth_session(services: ServicesOf, caller: SignedIn) -> None:
    """This session sees no more what is locked."""
    pin_codes.lock_session(services, caller)


def _device(request: Request) -> Device:
    """What Immich's apps say of the phone; a browser says nothing."""
    return Device(request.headers.get("devicemodel", ""), request.headers.get("devicetype", ""))
