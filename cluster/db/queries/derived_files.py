"""Files that belong to assets and people, page by page, as their rows have them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.db.queries.assets import in_pages
from cluster.db.tables.asset import Asset, AssetFile, Library
from cluster.db.tables.person import Person


@dataclass(frozen=True, slots=True)
class DerivedFile:
    """A file and whose it is. `type`: of `asset_file`, or `PERSON`. `made_at`: when its row was last written.
    `import_paths`: where it may lie outside the media folder, as the sidecar of an external asset does."""

    owner_id: str
    type: str
    path: str
    made_at: datetime
    import_paths: tuple[str, ...] = ()


PERSON = "person"


def asset_ids_after(session: Session, after: str, limit: int) -> list[str]:
    """Assets that are not deleted, in the order of ids."""
    mine = select(Asset.id).where(Asset.deleted_at.is_(None), Asset.id > after)
    return list(session.scalars(mine.order_by(Asset.id).limit(limit)))


def files_of_assets(session: Session, asset_ids: Sequence[str]) -> list[DerivedFile]:
    """Of the pictures as shot; edited ones are the editor's."""
    statement = (
        select(AssetFile.asset_id, AssetFile.type, AssetFile.path, AssetFile.updated_at, Library.import_paths)
        .join(Asset, Asset.id == AssetFile.asset_id)
        .outerjoin(Library, Library.id == Asset.library_id)
        .where(AssetFile.is_edited.is_(False))
    )
    return [
        DerivedFile(row[0], row[1], row[2], row[3], tuple(row[4] or ()))
        for page in in_pages(asset_ids)
        for row in session.execute(statement.where(AssetFile.asset_id.in_(page)))
    ]


def people_after(session: Session, after: str, limit: int) -> list[DerivedFile]:
    """People in the order of ids; one without a picture has an empty path."""
    rows = select(Person).where(Person.id > after).order_by(Person.id).limit(limit)
    return [_picture(person) for person in session.scalars(rows)]


def still_there(session: Session, files: Sequence[DerivedFile]) -> list[DerivedFile]:
    """Those whose row is there, says the same path, and was not written since."""
    pictures = {one.owner_id for one in files if one.type == PERSON}
    now = set(files_of_assets(session, [one.owner_id for one in files if one.type != PERSON]))
    for page in in_pages(pictures):
        now.update(_picture(person) for person in session.scalars(select(Person).where(Person.id.in_(page))))
    return [one for one in files if one in now]


def _picture(person: Person) -> DerivedFile:
    return DerivedFile(person.id, PERSON, person.thumbnail_path, person.updated_at)
