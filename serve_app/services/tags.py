"""A user's tags: shown, made, renamed, deleted. What an asset is tagged with goes to its sidecar, too.

Source: spec/api.md §4.3, spec/pipeline.md §3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, func, update
from sqlalchemy.orm import Session

from cluster.db.queries import tags
from cluster.db.tables.tag import Tag
from cluster.errors import BadRequest
from serve_app.deps import Services
from serve_app.services.get_asset import no_access
from serve_app.services.update_asset import UNCHANGED, Unchanged, sidecar_write

TAKEN = "A tag with that name already exists"


@dataclass(frozen=True, slots=True)
class TagChanges:
    """What is to change."""

    name: str | Unchanged = UNCHANGED
    color: str | Unchanged | None = UNCHANGED
    description: str | Unchanged | None = UNCHANGED


@dataclass(frozen=True, slots=True)
class SeenTag:
    """A tag, and how many assets hang on it itself."""

    tag: Tag
    asset_count: int


def list_tags(services: Services, user_id: str) -> list[SeenTag]:
    """All of the user's, in the order of their paths. Blocks."""
    with services.database.reader() as session:
        return _seen(session, tags.tags_of(session, user_id))


def get_tag(services: Services, user_id: str, tag_id: str) -> SeenTag:
    """Raises BadRequest. Blocks."""
    with services.database.reader() as session:
        return _seen(session, [require_tag(session, user_id, tag_id, "tag.read")])[0]


def create_tag(
    services: Services, user_id: str, name: str, parent_id: str | None, color: str | None, description: str | None
) -> SeenTag:
    """Below `parent_id`, or at the top. A name with `/` makes the tags on the way, too. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        above = f"{require_tag(session, user_id, parent_id, 'tag.read').value}/" if parent_id is not None else ""
        value = tags.plain_value(above + _checked(name))
        if not tags.plain_value(name):
            raise BadRequest("Tag name must not be empty")
        if tags.tag_by_value(session, user_id, value) is not None:
            raise BadRequest(TAKEN)
        made = tags.upsert_tags(session, user_id, [value], services.clock.now())
        tag = session.get_one(Tag, made[value])
        tag.color, tag.description = color, description
    return SeenTag(tag, 0)


def upsert_tags(services: Services, user_id: str, values: Sequence[str]) -> list[SeenTag]:
    """The tags of these paths, made where they are missing. Raises BadRequest. Blocks."""
    wanted = list(dict.fromkeys(plain for value in values if (plain := tags.plain_value(_checked(value)))))
    with services.database.session(durable=True) as session:
        ids = tags.upsert_tags(session, user_id, wanted, services.clock.now())
        found = {tag.value: tag for tag in tags.owned_tags(session, user_id, list(ids.values()))}
        return _seen(session, [found[value] for value in wanted])


def update_tag(services: Services, user_id: str, tag_id: str, changes: TagChanges) -> SeenTag:
    """Tags below move along with a new name. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        tag, now = require_tag(session, user_id, tag_id, "tag.update"), services.clock.now()
        if not isinstance(changes.color, Unchanged):
            tag.color = changes.color
        if not isinstance(changes.description, Unchanged):
            tag.description = changes.description
        tag.updated_at = now
        session.flush()
        if not isinstance(changes.name, Unchanged):
            _rename(services, session, tag, _checked(changes.name), now)
        return _seen(session, [tag])[0]


def _rename(services: Services, session: Session, tag: Tag, name: str, now: datetime) -> None:
    if "/" in name or not name.strip():
        raise BadRequest("Tag name must be one part of a path")
    old, value = tag.value, f"{tag.value.rpartition('/')[0]}/{name}".lstrip("/")
    if value == old:
        return
    if tags.tag_by_value(session, tag.owner_id, value) is not None:
        raise BadRequest(TAKEN)
    family = tags.below(tag)
    touched = tags.tagged_assets(session, family)
    session.execute(
        update(Tag)
        .where(family)
        .values(value=value + func.substr(Tag.value, len(old) + 1), updated_at=now)
        .execution_options(synchronize_session=False)
    )
    session.refresh(tag)
    note_tags(services, session, touched, now)


def delete_tag(services: Services, user_id: str, tag_id: str) -> None:
    """With the tags below it; assets lose them. Raises BadRequest. Blocks."""
    with services.database.session(durable=True) as session:
        tag = require_tag(session, user_id, tag_id, "tag.delete")
        family = tags.below(tag)
        touched = tags.tagged_assets(session, family)
        session.execute(delete(Tag).where(family).execution_options(synchronize_session=False))
        note_tags(services, session, touched, services.clock.now())


def note_tags(services: Services, session: Session, asset_ids: Sequence[str], now: datetime) -> None:
    """The tags of these assets changed by hand: they are locked, and go to the sidecars."""
    if asset_ids:
        session.flush()
        tags.lock_tags(session, asset_ids, now)
        services.store.enqueue(session, [sidecar_write(asset_id) for asset_id in asset_ids])


def require_tag(session: Session, user_id: str, tag_id: str, permission: str) -> Tag:
    """Raises BadRequest unless the tag is the user's."""
    found = tags.owned_tags(session, user_id, [tag_id])
    if not found:
        raise no_access(permission)
    return found[0]


def _seen(session: Session, found: Sequence[Tag]) -> list[SeenTag]:
    counts = tags.counts_of(session, [tag.id for tag in found])
    return [SeenTag(tag, counts.get(tag.id, 0)) for tag in found]


def _checked(name: str) -> str:
    if not tags.is_storable(name):
        raise BadRequest(f"Tag name must have at most {tags.LONGEST_VALUE_BYTES} bytes")
    return name
