"""What hangs on an asset beside its own rows: the people in it, its tags, its stack."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.db.queries import stacks
from cluster.db.queries.assets import in_pages
from cluster.db.queries.stacks import StackFacts
from cluster.db.tables.asset import Asset
from cluster.db.tables.person import AssetFace, Person
from cluster.db.tables.tag import Tag, TagAsset


@dataclass(frozen=True, slots=True)
class AssetDetails:
    """`people`, `tags` None: nobody asked. `stack` None: not in one, or nobody asked."""

    people: tuple[Person, ...] | None = None
    tags: tuple[Tag, ...] | None = None
    stack: StackFacts | None = None


def details_of(
    session: Session, assets: Iterable[Asset], *, people: bool = True, tags: bool = True, stack: bool = True
) -> dict[str, AssetDetails]:
    """By asset, for all of them."""
    assets = list(assets)
    ids = [asset.id for asset in assets]
    in_them = people_in(session, ids) if people else {}
    on_them = tags_on(session, ids) if tags else {}
    stacked = stacks.facts_of(session, [asset.stack_id for asset in assets if asset.stack_id]) if stack else {}
    return {
        asset.id: AssetDetails(
            people=tuple(in_them.get(asset.id, ())) if people else None,
            tags=tuple(on_them.get(asset.id, ())) if tags else None,
            stack=stacked.get(asset.stack_id or ""),
        )
        for asset in assets
    }


def people_in(session: Session, asset_ids: Collection[str]) -> dict[str, list[Person]]:
    """Per asset everybody once, hidden people too: named ones first."""
    found: dict[str, list[Person]] = {}
    for page in in_pages(asset_ids):
        shown = (
            select(AssetFace.asset_id, AssetFace.person_id)
            .where(
                AssetFace.asset_id.in_(page),
                AssetFace.person_id.is_not(None),
                AssetFace.deleted_at.is_(None),
                AssetFace.is_visible,
            )
            .distinct()
            .subquery()
        )
        rows = session.execute(
            select(shown.c.asset_id, Person)
            .join(Person, Person.id == shown.c.person_id)
            .order_by(Person.name == "", Person.name, Person.id)
        )
        for asset_id, person in rows:
            found.setdefault(asset_id, []).append(person)
    return found


def tags_on(session: Session, asset_ids: Collection[str]) -> dict[str, list[Tag]]:
    """Per asset the tags that it hangs on, in order."""
    found: dict[str, list[Tag]] = {}
    for page in in_pages(asset_ids):
        rows = session.execute(
            select(TagAsset.asset_id, Tag)
            .join(Tag, Tag.id == TagAsset.tag_id)
            .where(TagAsset.asset_id.in_(page))
            .order_by(Tag.value, Tag.id)
        )
        for asset_id, tag in rows:
            found.setdefault(asset_id, []).append(tag)
    return found
