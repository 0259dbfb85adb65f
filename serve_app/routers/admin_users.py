"""/admin/users: accounts as admins manage them. Source: spec/api.md §3."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query

from serve_app.deps import Caller, ServicesOf, allow
from serve_app.services.admin_users import delete_account, restore_account, update_account
from serve_app.services.asset_statistics import count_assets
from serve_app.services.calendar_heatmap import calendar_heatmap
from serve_app.services.sessions import list_sessions
from serve_app.services.sign_up import NewAccount, create_user
from serve_app.services.users import get_user, list_users, update_preferences
from serve_app.wire.asset import AssetStatistics, Visibility, statistics_response
from serve_app.wire.common import WireId
from serve_app.wire.heatmap import CalendarHeatmap, HeatmapQuery, heatmap_seen
from serve_app.wire.preferences import Preferences, PreferencesUpdate, changes, preferences
from serve_app.wire.session import SessionSeen, session_seen
from serve_app.wire.user import AccountUpdate, DeleteUser, NewUser, UserAdmin, user_admin

router = APIRouter(prefix="/admin/users", tags=["users"])

Reader = Annotated[Caller, Depends(allow("adminUser.read", admin=True))]
Creator = Annotated[Caller, Depends(allow("adminUser.create", admin=True))]
Updater = Annotated[Caller, Depends(allow("adminUser.update", admin=True))]
Deleter = Annotated[Caller, Depends(allow("adminUser.delete", admin=True))]


@router.get("")
def search_users_admin(
    caller: Reader,
    services: ServicesOf,
    with_deleted: Annotated[bool, Query(alias="withDeleted")] = False,
    id: WireId | None = None,
) -> list[UserAdmin]:
    """Every account, or one."""
    everyone = list_users(services, with_deleted=with_deleted)
    return [user_admin(user) for user in everyone if id is None or user.id == id]


@router.post("", status_code=201)
def create_user_admin(body: NewUser, caller: Creator, services: ServicesOf) -> UserAdmin:
    """Make an account."""
    account = NewAccount(
        email=body.email,
        password=body.password,
        name=body.name,
        is_admin=body.is_admin,
        quota_size_bytes=body.quota_size_in_bytes,
        storage_label=body.storage_label,
        should_change_password=body.should_change_password,
        avatar_color=body.avatar_color or "primary",
        pin_code=body.pin_code,
    )
    return user_admin(create_user(services, account))


@router.get("/{id}")
def get_user_admin(id: WireId, caller: Reader, services: ServicesOf) -> UserAdmin:
    """One account."""
    return user_admin(get_user(services, id))


@router.put("/{id}")
@router.patch("/{id}", include_in_schema=False)
def update_user_admin(id: WireId, body: AccountUpdate, caller: Updater, services: ServicesOf) -> UserAdmin:
    """Change what is given."""
    return user_admin(update_account(services, caller, id, body.changes()))


@router.delete("/{id}")
def delete_user_admin(id: WireId, body: DeleteUser, caller: Deleter, services: ServicesOf) -> UserAdmin:
    """Shut an account out; it goes for good after some days, or at once."""
    return user_admin(delete_account(services, caller, id, force=body.force))


@router.post("/{id}/restore")
def restore_user_admin(id: WireId, caller: Deleter, services: ServicesOf) -> UserAdmin:
    """Let an account in again that was deleted lately."""
    return user_admin(restore_account(services, id))


@router.get("/{id}/preferences")
def get_user_preferences_admin(id: WireId, caller: Reader, services: ServicesOf) -> Preferences:
    """What the user chose, over the defaults."""
    return preferences(get_user(services, id).preferences)


@router.put("/{id}/preferences")
@router.patch("/{id}/preferences", include_in_schema=False)
def update_user_preferences_admin(
    id: WireId, body: PreferencesUpdate, caller: Updater, services: ServicesOf
) -> Preferences:
    """Change what is given, and nothing else."""
    get_user(services, id)
    color = body.avatar.color if body.avatar is not None else None
    return preferences(update_preferences(services, id, changes(body), avatar_color=color))


@router.get("/{id}/sessions")
def get_user_sessions_admin(
    id: WireId, caller: Annotated[Caller, Depends(allow("adminSession.read", admin=True))], services: ServicesOf
) -> list[SessionSeen]:
    """The user's devices, last used first."""
    get_user(services, id)
    return [session_seen(one, caller.session_id) for one in list_sessions(services, id)]


@router.get("/{id}/calendar-heatmap")
def get_user_calendar_heatmap_admin(
    id: WireId, asked: Annotated[HeatmapQuery, Query()], caller: Reader, services: ServicesOf
) -> CalendarHeatmap:
    """How much the user took or uploaded, day by day."""
    get_user(services, id)
    return heatmap_seen(calendar_heatmap(services, id, asked.type, asked.first, asked.last))


@router.get("/{id}/statistics")
def get_user_statistics_admin(
    id: WireId,
    caller: Reader,
    services: ServicesOf,
    is_favorite: Annotated[bool | None, Query(alias="isFavorite")] = None,
    is_trashed: Annotated[bool | None, Query(alias="isTrashed")] = None,
    visibility: Visibility | None = None,
) -> AssetStatistics:
    """How many photos and videos the user has."""
    get_user(services, id)
    counts = count_assets(services, caller, id, favorite=is_favorite, trashed=is_trashed, visibility=visibility)
    return statistics_response(counts)
