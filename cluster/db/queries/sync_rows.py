"""The rows that clients copy, by the keys of `sync_change`. What is gone by now is left out: a later change says so."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import case, exists, false, literal, or_, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.elements import ColumnElement

from cluster.db.queries import access
from cluster.db.queries.assets import unlocked
from cluster.db.queries.sync_changes import Place, visible_albums
from cluster.db.tables.album import Album, AlbumAsset, AlbumUser
from cluster.db.tables.asset import Asset, AssetExif, AssetMetadata
from cluster.db.tables.memory import Memory
from cluster.db.tables.partner import Partner
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.stack import Stack
from cluster.db.tables.user import User

Rows = Mapping[str, Any]
"""By key: column → value, or whatever says what the row is."""
Load = Callable[[Session, Sequence[str]], Rows]

_USER = (
    *(User.id, User.name, User.email, User.avatar_color, User.deleted_at, User.profile_image_path),
    User.profile_changed_at,
)
_ACCOUNT = (*_USER, User.is_admin, User.storage_label, User.quota_size_bytes, User.quota_usage_bytes)
_ASSET = (
    *(Asset.id, Asset.owner_id, Asset.original_file_name, Asset.thumbhash, Asset.checksum, Asset.file_created_at),
    *(Asset.file_modified_at, Asset.created_at, Asset.local_date_time, Asset.duration_ms.label("duration"), Asset.type),
    *(Asset.deleted_at, Asset.is_favorite, Asset.visibility, Asset.live_photo_video_id, Asset.stack_id),
    *(Asset.library_id, Asset.width_px.label("width"), Asset.height_px.label("height"), Asset.is_edited),
)
_EXIF = (
    *(AssetExif.asset_id, AssetExif.description, AssetExif.image_width_px.label("exif_image_width")),
    *(AssetExif.image_height_px.label("exif_image_height"), AssetExif.file_size_bytes.label("file_size_in_byte")),
    *(AssetExif.orientation, AssetExif.date_time_original, AssetExif.modify_date, AssetExif.time_zone),
    *(AssetExif.latitude, AssetExif.longitude, AssetExif.projection_type, AssetExif.city, AssetExif.state),
    *(AssetExif.country, AssetExif.make, AssetExif.model, AssetExif.lens_model, AssetExif.f_number),
    *(AssetExif.focal_length, AssetExif.iso, AssetExif.exposure_time, AssetExif.profile_description),
    *(AssetExif.rating, AssetExif.fps),
)
_FACE = (
    *(AssetFace.id, AssetFace.asset_id, AssetFace.person_id, AssetFace.image_width_px.label("image_width")),
    *(AssetFace.image_height_px.label("image_height"), AssetFace.box_x1_px.label("bounding_box_x1")),
    *(AssetFace.box_y1_px.label("bounding_box_y1"), AssetFace.box_x2_px.label("bounding_box_x2")),
    *(AssetFace.box_y2_px.label("bounding_box_y2"), AssetFace.source_type, AssetFace.is_visible, AssetFace.deleted_at),
)
_PERSON = (
    *(Person.id, Person.created_at, Person.updated_at, Person.owner_id, Person.name, Person.birth_date),
    *(Person.is_hidden, Person.is_favorite, Person.color, Person.face_asset_id),
)
_MEMORY = (
    *(Memory.id, Memory.created_at, Memory.updated_at, Memory.deleted_at, Memory.owner_id, Memory.type, Memory.data),
    *(Memory.is_saved, Memory.memory_at, Memory.seen_at, Memory.show_at, Memory.hide_at),
)
_ALBUM = (
    *(Album.id, Album.owner_id, Album.name, Album.description, Album.created_at, Album.updated_at),
    *(Album.thumbnail_asset_id, Album.is_activity_enabled, Album.order),
)
_STACK = (Stack.id, Stack.created_at, Stack.updated_at, Stack.primary_asset_id, Stack.owner_id)


def _by_id(key: Any, columns: Iterable[Any]) -> Load:
    """Rows whose column `key` is one of the keys."""
    wanted = select(*columns)

    def load(session: Session, keys: Sequence[str]) -> Rows:
        return {row[key.key]: row for row in session.execute(wanted.where(key.in_(keys))).mappings()}

    return load


def keys_alone(_session: Session, keys: Sequence[str]) -> Rows:
    """For rows that are nothing but their key."""
    return {key: key for key in keys}


users = _by_id(User.id, _USER)
accounts = _by_id(User.id, _ACCOUNT)
preferences = _by_id(User.id, (User.id, User.preferences))
onboarding = _by_id(User.id, (User.id, User.is_onboarded))
assets = _by_id(Asset.id, _ASSET)
exifs = _by_id(AssetExif.asset_id, _EXIF)
faces = _by_id(AssetFace.id, _FACE)
people = _by_id(Person.id, _PERSON)
stacks = _by_id(Stack.id, _STACK)
memories = _by_id(Memory.id, _MEMORY)
albums = _by_id(Album.id, (*_ALBUM, Album.deleted_at))


def metadata(session: Session, keys: Sequence[str]) -> Rows:
    """What clients had remembered; a key is an asset's id and theirs."""
    columns = select(AssetMetadata.asset_id, AssetMetadata.key, AssetMetadata.value)
    ids = {key.partition("/")[0] for key in keys}
    rows = session.execute(columns.where(AssetMetadata.asset_id.in_(ids))).mappings()
    return {f"{row['asset_id']}/{row['key']}": row for row in rows}


def album_members(session: Session, keys: Sequence[str]) -> Rows:
    """Who sees an album, the owner too: album's id, user's id, role."""
    ids = {key.partition("/")[0] for key in keys}
    owners = select(Album.id.label("album_id"), Album.owner_id.label("user_id"), literal("owner").label("role"))
    others = select(AlbumUser.album_id, AlbumUser.user_id, AlbumUser.role)
    both = owners.where(Album.id.in_(ids)).union_all(others.where(AlbumUser.album_id.in_(ids)))
    return {f"{row['album_id']}/{row['user_id']}": row for row in session.execute(both).mappings()}


def partners(session: Session, keys: Sequence[str]) -> Rows:
    """Who shows whom their timeline."""
    columns = select(Partner.shared_by_id, Partner.shared_with_id, Partner.in_timeline)
    found = columns.where(Partner.shared_by_id.in_({key.partition("/")[0] for key in keys}))
    return {f"{row['shared_by_id']}/{row['shared_with_id']}": row for row in session.execute(found).mappings()}


def shown_by_partners(what: str, viewer_id: str) -> Load:
    """Of assets of others, those that the viewer may see: `asset` or `exif`."""

    def load(session: Session, keys: Sequence[str]) -> Rows:
        return _seen_by_others(session, what, viewer_id, access.readable_ids(session, access.Account(viewer_id), keys))

    return load


def shown_or_not(viewer_id: str, before: Place) -> Load:
    """The same of assets; None for those that the viewer may not see, unless they hang in an album of theirs."""
    ways = (changed_in_albums("asset", viewer_id, before), shown_by_partners("asset", viewer_id))

    def load(session: Session, keys: Sequence[str]) -> Rows:
        found: dict[str, Any] = dict.fromkeys(keys)
        for way in ways:
            found |= way(session, keys)
        return found

    return load


def shown_in_albums(what: str, viewer_id: str) -> Load:
    """Of links between albums and assets, what the viewer may know of the asset: `asset` or `exif`."""

    def load(session: Session, keys: Sequence[str]) -> Rows:
        of_link = {key: key.partition("/")[2] for key in keys}
        found = _seen_by_others(session, what, viewer_id, set(of_link.values()))
        return {key: found[asset_id] for key, asset_id in of_link.items() if asset_id in found}

    return load


def changed_in_albums(what: str, viewer_id: str, before: Place) -> Load:
    """Of assets, whoever's, those in albums that the viewer sees: `asset` or `exif`."""
    shown = exists().where(AlbumAsset.asset_id == Asset.id, AlbumAsset.album_id.in_(visible_albums(viewer_id, before)))
    return lambda session, keys: _seen_by_others(session, what, viewer_id, keys, shown)


def _seen_by_others(
    session: Session, what: str, viewer_id: str, ids: Collection[str], *conditions: ColumnElement[bool]
) -> Rows:
    """What is locked is its owner's alone, as is what they like."""
    mine = Asset.owner_id == viewer_id
    found: Any  # a statement of as many columns has no type of its own
    if what == "exif":
        found, key = select(*_EXIF).join(Asset, Asset.id == AssetExif.asset_id), "asset_id"
    else:
        favorite = case((mine, Asset.is_favorite), else_=false()).label("is_favorite")
        found, key = select(*(column for column in _ASSET if column is not Asset.is_favorite), favorite), "id"
    found = found.where(Asset.id.in_(ids), or_(mine, unlocked()), *conditions)
    return {row[key]: row for row in session.execute(found).mappings()}
