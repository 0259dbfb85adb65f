"""What people set for themselves, in Immich's spelling. Each field's default is Immich's. Source: spec/api.md §3."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt

from serve_app.wire.common import LARGEST, PlainText, Wire
from serve_app.wire.user import AvatarColor

AtLeastOne = Annotated[StrictInt, Field(ge=1, le=LARGEST)]
SUPPORT_BADGE_HIDDEN_UNTIL = datetime(2022, 2, 12).isoformat(timespec="milliseconds") + "Z"


class Albums(Wire):
    default_asset_order: Literal["asc", "desc"] = "desc"


class Shown(Wire):
    """A part of the app that can be switched on, and into the side bar."""

    enabled: StrictBool = False
    sidebar_web: StrictBool = False


class SharedLinks(Shown):
    enabled: StrictBool = True


class Memories(Wire):
    enabled: StrictBool = True
    duration: AtLeastOne = 5


class People(Shown):
    enabled: StrictBool = True
    minimum_faces: AtLeastOne = 3


class Ratings(Wire):
    enabled: StrictBool = False


class EmailNotifications(Wire):
    enabled: StrictBool = True
    album_invite: StrictBool = True
    album_update: StrictBool = True


class Download(Wire):
    archive_size: AtLeastOne = 4 * 1024**3
    include_embedded_videos: StrictBool = False


class Purchase(Wire):
    show_support_badge: StrictBool = True
    hide_buy_button_until: PlainText = SUPPORT_BADGE_HIDDEN_UNTIL


class Cast(Wire):
    g_cast_enabled: StrictBool = False


class RecentlyAdded(Wire):
    sidebar_web: StrictBool = False


class Preferences(Wire):
    """All of them."""

    albums: Albums = Albums()
    folders: Shown = Shown()
    memories: Memories = Memories()
    people: People = People()
    ratings: Ratings = Ratings()
    shared_links: SharedLinks = SharedLinks()
    tags: Shown = Shown()
    email_notifications: EmailNotifications = EmailNotifications()
    download: Download = Download()
    purchase: Purchase = Purchase()
    cast: Cast = Cast()
    recently_added: RecentlyAdded = RecentlyAdded()


class Avatar(Wire):
    color: AvatarColor | None = None


class PreferencesUpdate(Preferences):
    """Those that change; the others are left out. `avatar` is the account's colour."""

    avatar: Avatar | None = None


def preferences(stored: Mapping[str, Any]) -> Preferences:
    """What is stored, over the defaults."""
    return Preferences.model_validate(dict(stored))


def changes(wanted: PreferencesUpdate) -> dict[str, dict[str, Any]]:
    """What the request named and nothing else, as it is stored."""
    return wanted.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"avatar"})
