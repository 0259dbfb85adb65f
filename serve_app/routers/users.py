"""/users. Source: spec/api.md §3."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services import server_info
from serve_app.services.calendar_heatmap import calendar_heatmap
from serve_app.services.users import (
    check_new_password,
    get_user,
    set_onboarded,
    update_preferences,
    update_user,
    visible_users,
)
from serve_app.wire.common import WireId
from serve_app.wire.heatmap import CalendarHeatmap, HeatmapQuery, heatmap_seen
from serve_app.wire.preferences import Preferences, PreferencesUpdate, changes, preferences
from serve_app.wire.server import ReverseGeocodingState, VersionCheck, reverse_geocoding_state, version_check
from serve_app.wire.user import (
    MyUpdate,
    Onboarding,
    UserAdmin,
    UserSeen,
    user_admin,
    user_seen,
)

router = APIRouter(tags=["users"])

Reader = Annotated[Caller, Depends(allow("user.read"))]
Updater = Annotated[Caller, Depends(allow("user.update"))]


@router.get("/users")
def search_users(caller: Reader, services: ServicesOf) -> list[UserSeen]:
    """Everybody, where users may see each other."""
    return [user_seen(user) for user in visible_users(services, caller)]


@router.get("/users/me")
def get_my_user(caller: Reader, services: ServicesOf) -> UserAdmin:
    """The caller's account."""
    return user_admin(get_user(services, caller.user_id))


@router.put("/users/me")
@router.patch("/users/me", include_in_schema=False)
def update_my_user(body: MyUpdate, caller: Updater, services: ServicesOf) -> UserAdmin:
    """Change one's own account."""
    if body.password is not None:
        check_new_password(services, caller)
    user = update_user(
        services,
        caller.user_id,
        name=body.name,
        email=body.email,
        avatar_color=body.avatar_color,
        password=body.password,
    )
    return user_admin(user)


@router.get("/users/me/preferences")
def get_my_preferences(
    caller: Annotated[Caller, Depends(allow("userPreference.read"))], services: ServicesOf
) -> Preferences:
    """What the caller chose, over the defaults."""
    return preferences(get_user(services, caller.user_id).preferences)


@router.put("/users/me/preferences")
@router.patch("/users/me/preferences", include_in_schema=False)
def update_my_preferences(
    body: PreferencesUpdate,
    caller: Annotated[Caller, Depends(allow("userPreference.update"))],
    services: ServicesOf,
) -> Preferences:
    """Change what is given, and nothing else."""
    color = body.avatar.color if body.avatar is not None else None
    return preferences(update_preferences(services, caller.user_id, changes(body), avatar_color=color))


@router.get("/users/me/onboarding")
def get_user_onboarding(
    caller: Annotated[Caller, Depends(allow("userOnboarding.read"))], services: ServicesOf
) -> Onboarding:
    """Whether the first steps were shown."""
    return Onboarding(is_onboarded=get_user(services, caller.user_id).is_onboarded)


@router.put("/users/me/onboarding")
def set_user_onboarding(
    body: Onboarding, caller: Annotated[Caller, Depends(allow("userOnboarding.update"))], services: ServicesOf
) -> Onboarding:
    """Remember that the first steps were shown."""
    set_onboarded(services, caller.user_id, body.is_onboarded)
    return body


@router.delete("/users/me/onboarding", status_code=204)
def delete_user_onboarding(
    caller: Annotated[Caller, Depends(allow("userOnboarding.delete"))], services: ServicesOf
) -> None:
    """The first steps are shown once more."""
    set_onboarded(services, caller.user_id, False)


@router.get("/users/me/calendar-heatmap")
def get_my_calendar_heatmap(
    asked: Annotated[HeatmapQuery, Query()], caller: Reader, services: ServicesOf
) -> CalendarHeatmap:
    """How much the caller took or uploaded, day by day."""
    return heatmap_seen(calendar_heatmap(services, caller.user_id, asked.type, asked.first, asked.last))


@router.get("/users/{id}")
def get_one_user(id: WireId, caller: Reader, services: ServicesOf) -> UserSeen:
    """One account as others see it."""
    return user_seen(get_user(services, id))


@router.get("/system-metadata/admin-onboarding")
def get_admin_onboarding(
    caller: Annotated[Caller, Depends(allow("systemMetadata.read", admin=True))], services: ServicesOf
) -> Onboarding:
    """Whether the first steps were shown."""
    return Onboarding(is_onboarded=get_user(services, caller.user_id).is_onboarded)


@router.get("/system-metadata/reverse-geocoding-state")
async def get_reverse_geocoding_state(
    caller: Annotated[Caller, Depends(allow("systemMetadata.read", admin=True))],
) -> ReverseGeocodingState:
    """The gazetteer, which comes with the installation."""
    return reverse_geocoding_state()


@router.get("/system-metadata/version-check-state")
def get_version_check_state(
    caller: Annotated[Caller, Depends(allow("systemMetadata.read", admin=True))], services: ServicesOf
) -> VersionCheck:
    """What the last check for a newer release found."""
    return version_check(server_info.version_check(services))


@router.post("/system-metadata/admin-onboarding", status_code=204)
def update_admin_onboarding(
    body: Onboarding,
    caller: Annotated[Caller, Depends(allow("systemMetadata.update", admin=True))],
    services: ServicesOf,
) -> None:
    """Remember that the server's first steps were taken."""
    set_onboarded(services, caller.user_id, body.is_onboarded)
