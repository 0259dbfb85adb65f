"""The triggers that note each change of a row that clients copy, in `sync_change`. The database runs them, so that no
writer can forget: they see every statement, and what is deleted along with something else.

They are code and no history: `migrate` takes them off before it changes tables and puts them back afterwards.
`WATCHED` is the whole list; to have clients told of another table, add a line.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, event, text

from cluster.db.tables.base import Base, to_json

INSTALLED = "sync-triggers"
"""The key of `system_metadata` that says which triggers are in place."""


class Entity(StrEnum):
    """Kinds of rows in `sync_change`."""

    USER = "user"
    ACCOUNT = "account"
    PREFERENCES = "preferences"
    ONBOARDING = "onboarding"
    ASSET = "asset"
    EXIF = "exif"
    METADATA = "metadata"
    FACE = "face"
    PERSON = "person"
    STACK = "stack"
    MEMORY = "memory"
    MEMORY_ASSET = "memory_asset"
    ALBUM = "album"
    ALBUM_ACCESS = "album_access"
    """A user sees an album, as its owner or because it is shared with them."""
    ALBUM_USER = "album_user"
    ALBUM_ASSET = "album_asset"
    PARTNER = "partner"
    """Somebody shows the user their timeline."""
    PARTNER_GIVEN = "partner_given"
    """The same, for the one who shows it."""
    PARTNER_ACCESS = "partner_access"


class Gone(StrEnum):
    """What a deleted row leaves."""

    TOLD = "told"
    """Its line stays, with the time."""
    FORGOTTEN = "forgotten"
    """Nothing: clients hear of it by another row's line."""
    IGNORED = "ignored"
    """The line is another row's."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Rows of `table` are `entity`. `key` and `scope`: SQL with `{row}` for the row. `columns`: those whose change is
    told; `json`: those of them that hold JSON; `comes`: whether its coming is told, too."""

    table: str
    entity: Entity
    key: str
    scope: str
    columns: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    gone: Gone = Gone.TOLD
    comes: bool = True

    @property
    def name(self) -> str:
        """Of its triggers: a table may be several entities, an entity come from several tables."""
        return f"sync_{self.table}_{self.entity}"


_ID = "{row}.id"
_OWNER = "{row}.owner_id"
_OWNER_OF_ASSET = "(SELECT owner_id FROM asset WHERE id = {row}.asset_id)"
_PARTNERS = "{row}.shared_by_id || '/' || {row}.shared_with_id"
_USER = ("name", "email", "avatar_color", "profile_image_path", "profile_changed_at", "deleted_at")

WATCHED: tuple[Watched, ...] = (
    Watched("user", Entity.USER, _ID, "''", _USER),
    Watched(
        "user",
        Entity.ACCOUNT,
        _ID,
        _ID,
        (*_USER, "is_admin", "storage_label", "quota_size_bytes", "quota_usage_bytes"),
        gone=Gone.FORGOTTEN,
    ),
    Watched("user", Entity.PREFERENCES, _ID, _ID, ("preferences",), ("preferences",), Gone.FORGOTTEN),
    Watched("user", Entity.ONBOARDING, _ID, _ID, ("is_onboarded",), gone=Gone.FORGOTTEN),
    Watched(
        "asset",
        Entity.ASSET,
        _ID,
        _OWNER,
        (
            *("owner_id", "original_file_name", "thumbhash", "checksum", "file_created_at", "file_modified_at"),
            *("local_date_time", "duration_ms", "type", "deleted_at", "is_favorite", "visibility"),
            *("live_photo_video_id", "stack_id", "library_id", "width_px", "height_px", "is_edited"),
        ),
    ),
    Watched(
        "asset_exif",
        Entity.EXIF,
        "{row}.asset_id",
        _OWNER_OF_ASSET,
        (
            *("description", "image_width_px", "image_height_px", "file_size_bytes", "orientation"),
            *("date_time_original", "modify_date", "time_zone", "latitude", "longitude", "projection_type", "city"),
            *("state", "country", "make", "model", "lens_model", "f_number", "focal_length", "iso", "exposure_time"),
            *("profile_description", "rating", "fps"),
        ),
        gone=Gone.FORGOTTEN,
    ),
    Watched(
        "asset_metadata",
        Entity.METADATA,
        "{row}.asset_id || '/' || {row}.key",
        _OWNER_OF_ASSET,
        ("value",),
        ("value",),
    ),
    Watched(
        "asset_face",
        Entity.FACE,
        _ID,
        _OWNER_OF_ASSET,
        (
            *("asset_id", "person_id", "image_width_px", "image_height_px", "box_x1_px", "box_y1_px", "box_x2_px"),
            *("box_y2_px", "source_type", "is_visible", "deleted_at"),
        ),
    ),
    Watched(
        "person",
        Entity.PERSON,
        _ID,
        _OWNER,
        ("name", "birth_date", "is_hidden", "is_favorite", "color", "face_asset_id", "updated_at"),
    ),
    Watched("stack", Entity.STACK, _ID, _OWNER, ("primary_asset_id", "updated_at")),
    Watched(
        "memory",
        Entity.MEMORY,
        _ID,
        _OWNER,
        ("type", "data", "memory_at", "show_at", "hide_at", "seen_at", "is_saved", "updated_at", "deleted_at"),
        ("data",),
    ),
    Watched(
        "memory_asset",
        Entity.MEMORY_ASSET,
        "{row}.memory_id || '/' || {row}.asset_id",
        "(SELECT owner_id FROM memory WHERE id = {row}.memory_id)",
    ),
    Watched(
        "album",
        Entity.ALBUM,
        _ID,
        _ID,
        ("name", "description", "thumbnail_asset_id", "is_activity_enabled", "order", "updated_at", "deleted_at"),
        gone=Gone.FORGOTTEN,
    ),
    # The owner stands in the album itself, and is a member on the wire.
    Watched("album", Entity.ALBUM_ACCESS, "{row}.id || '/' || {row}.owner_id", _OWNER),
    Watched("album", Entity.ALBUM_USER, "{row}.id || '/' || {row}.owner_id", _ID, gone=Gone.FORGOTTEN),
    Watched("album_user", Entity.ALBUM_ACCESS, "{row}.album_id || '/' || {row}.user_id", "{row}.user_id"),
    Watched("album_user", Entity.ALBUM_USER, "{row}.album_id || '/' || {row}.user_id", "{row}.album_id", ("role",)),
    # Whoever gets to see an album has to be told of it, however old it is.
    Watched("album_user", Entity.ALBUM, "{row}.album_id", "{row}.album_id", gone=Gone.IGNORED),
    # A partner who could not see an asset, and can again, has lost what its file says.
    Watched("asset", Entity.EXIF, _ID, _OWNER, ("visibility", "deleted_at"), gone=Gone.IGNORED, comes=False),
    Watched("partner", Entity.PARTNER, _PARTNERS, "{row}.shared_with_id", ("in_timeline",)),
    Watched("partner", Entity.PARTNER_GIVEN, _PARTNERS, "{row}.shared_by_id", ("in_timeline",)),
    Watched("partner", Entity.PARTNER_ACCESS, _PARTNERS, "{row}.shared_with_id"),
    Watched("album_asset", Entity.ALBUM_ASSET, "{row}.album_id || '/' || {row}.asset_id", "{row}.album_id"),
)


def install_triggers(connection: Connection) -> None:
    """For a schema that has all tables and columns of `WATCHED`, and none of the triggers."""
    statements = _statements(connection)
    _run(connection, statements)
    value = to_json({"digest": _digest(statements)})
    connection.execute(text("DELETE FROM system_metadata WHERE key = :key"), {"key": INSTALLED})
    connection.execute(
        text("INSERT INTO system_metadata (key, value) VALUES (:key, :value)"), {"key": INSTALLED, "value": value}
    )


def triggers_are_current(connection: Connection) -> bool:
    """Whether those of this program's version are in place."""
    found = connection.execute(text("SELECT value FROM system_metadata WHERE key = :key"), {"key": INSTALLED}).scalar()
    known = json.loads(found) if isinstance(found, str) else found
    return known == {"digest": _digest(_statements(connection))}


def remove_triggers(connection: Connection) -> None:
    """Whichever there are, of any version of this program."""
    if connection.dialect.name == "sqlite":
        names = connection.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'sync!_%' ESCAPE '!'")
        )
        _run(connection, [f"DROP TRIGGER {name}" for name in names.scalars().all()])
        return
    functions = connection.execute(
        text(
            "SELECT proname FROM pg_proc JOIN pg_namespace ON pg_namespace.oid = pronamespace"
            " WHERE nspname = current_schema() AND proname LIKE 'sync!_%' ESCAPE '!'"
        )
    )
    _run(connection, [f"DROP FUNCTION {name}() CASCADE" for name in functions.scalars().all()])


def fill(connection: Connection) -> None:
    """A line for each row of the entities that have none yet: of tables that are watched for the first time."""
    filled = {
        entity
        for entity in Entity
        if connection.execute(text("SELECT 1 FROM sync_change WHERE entity = :it LIMIT 1"), {"it": entity}).first()
    }
    for one in WATCHED:
        if one.entity not in filled and one.gone is not Gone.IGNORED:
            key, scope = (sql.format(row="one") for sql in (one.key, one.scope))
            _run(
                connection,
                [
                    "INSERT INTO sync_change (tx, entity, key, scope) "  # noqa: S608 our names
                    f"SELECT 0, '{one.entity}', {key}, {scope} FROM \"{one.table}\" AS one"
                ],
            )


def _run(connection: Connection, statements: Iterable[str]) -> None:
    for statement in statements:
        connection.exec_driver_sql(statement)


def _statements(connection: Connection) -> list[str]:
    spell = _sqlite_triggers if connection.dialect.name == "sqlite" else _postgres_triggers
    return [statement for one in WATCHED for statement in spell(one)]


def _digest(statements: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(statements).encode()).hexdigest()


def _sqlite_triggers(one: Watched) -> Iterator[str]:
    key, scope = one.key.format(row="NEW"), one.scope.format(row="NEW")
    note = (
        f"BEGIN DELETE FROM sync_change WHERE entity = '{one.entity}' AND key = {key}; "  # noqa: S608 our names
        f"INSERT INTO sync_change (tx, entity, key, scope) VALUES (0, '{one.entity}', {key}, {scope}); END"
    )
    if one.comes:
        yield f'CREATE TRIGGER {one.name}_new AFTER INSERT ON "{one.table}" {note}'
    if one.columns:
        changed = " OR ".join(f'OLD."{name}" IS NOT NEW."{name}"' for name in one.columns)
        yield f'CREATE TRIGGER {one.name}_changed AFTER UPDATE OF {_names(one)} ON "{one.table}" WHEN {changed} {note}'
    if one.gone is not Gone.IGNORED:
        yield f'CREATE TRIGGER {one.name}_gone AFTER DELETE ON "{one.table}" BEGIN {_sqlite_gone(one)}; END'


def _sqlite_gone(one: Watched) -> str:
    line = f"entity = '{one.entity}' AND key = {one.key.format(row='OLD')}"
    if one.gone is Gone.FORGOTTEN:
        return f"DELETE FROM sync_change WHERE {line}"  # noqa: S608 our names
    now_ms = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    return (
        f"INSERT OR REPLACE INTO sync_change (tx, entity, key, scope, deleted_at) "  # noqa: S608 our names
        f"SELECT 0, entity, key, scope, {now_ms} FROM sync_change WHERE {line}"
    )


def _postgres_triggers(one: Watched) -> Iterator[str]:
    key, scope = one.key.format(row="NEW"), one.scope.format(row="NEW")
    tx = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
    yield _function(
        f"{one.name}_new",
        f"INSERT INTO sync_change (tx, entity, key, scope) VALUES ({tx}, '{one.entity}', {key}, {scope}) "  # noqa: S608
        "ON CONFLICT (entity, key) DO UPDATE SET seq = excluded.seq, tx = excluded.tx, scope = excluded.scope, "
        "deleted_at = NULL",
    )
    if one.comes:
        yield _trigger(one, "new", "INSERT")
    if one.columns:
        changed = " OR ".join(_differs(name, name in one.json) for name in one.columns)
        yield _trigger(one, "changed", f"UPDATE OF {_names(one)}", f"WHEN ({changed})", function="new")
    if one.gone is Gone.IGNORED:
        return
    line = f"entity = '{one.entity}' AND key = {one.key.format(row='OLD')}"
    now_ms = "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"
    told = f"seq = nextval('sync_change_seq_seq'), tx = {tx}, deleted_at = {now_ms}"
    end = "DELETE FROM sync_change" if one.gone is Gone.FORGOTTEN else f"UPDATE sync_change SET {told}"  # noqa: S608
    yield _function(f"{one.name}_gone", f"{end} WHERE {line}")
    yield _trigger(one, "gone", "DELETE")


def _function(name: str, statement: str) -> str:
    return f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement}; RETURN NULL; END $$"


def _trigger(one: Watched, what: str, on: str, when: str = "", function: str = "") -> str:
    """`function`: whose it runs, when not its own."""
    run = f"EXECUTE FUNCTION {one.name}_{function or what}()"
    return f'CREATE TRIGGER {one.name}_{what} AFTER {on} ON "{one.table}" FOR EACH ROW {when} {run}'


def _names(one: Watched) -> str:
    return ", ".join(f'"{name}"' for name in one.columns)


def _differs(name: str, is_json: bool) -> str:
    # PostgreSQL cannot compare values of its type json
    old, new = (f'CAST({row}."{name}" AS text)' if is_json else f'{row}."{name}"' for row in ("OLD", "NEW"))
    return f"{old} IS DISTINCT FROM {new}"


@event.listens_for(Base.metadata, "after_create")
def _install(target: Any, connection: Connection, tables: Any = None, **_options: Any) -> None:
    """Tables that were made without a migration have their triggers, too."""
    remove_triggers(connection)
    install_triggers(connection)
