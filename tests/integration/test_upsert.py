"""Insert or update, on both databases."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from cluster.db.engine import Database
from cluster.db.tables.base import Base
from cluster.db.tables.system import SystemMetadata
from cluster.db.tables.user import User
from cluster.db.upsert import upsert

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def user(email: str, name: str, **other: str) -> dict[str, object]:
    row = {"id": email, "email": email, "name": name, "password": "", "is_admin": False, "avatar_color": "primary"}
    row |= {"profile_image_path": "", "should_change_password": True, "quota_usage_bytes": 0, "status": "active"}
    row |= {"is_onboarded": False, "preferences": {}}
    return row | {"profile_changed_at": NOON, "created_at": NOON, "updated_at": NOON} | other


@pytest.fixture
def database(database_url: str) -> Database:
    database = Database(database_url)
    Base.metadata.create_all(database.durable)
    return database


def test_new_rows_are_inserted_and_known_ones_updated(database: Database) -> None:
    with database.session() as session:
        upsert(session, User, [user("a", "Ann"), user("b", "Bob")], key=["id"])
        upsert(session, User, [user("b", "Bert"), user("c", "Cleo")], key=["id"])
    with database.reader() as session:
        assert list(session.scalars(select(User.name).order_by(User.id))) == ["Ann", "Bert", "Cleo"]
    database.close()


def test_columns_to_keep_are_kept(database: Database) -> None:
    with database.session() as session:
        upsert(session, User, [user("a", "Ann", password="old")], key=["email"])
        upsert(session, User, [user("a", "Anna", password="new", id="z")], key=["email"], keep=["id", "password"])
    with database.reader() as session:
        assert session.execute(select(User.id, User.name, User.password)).all() == [("a", "Anna", "old")]
    database.close()


def test_a_row_that_is_all_key_may_stand_already(database: Database) -> None:
    with database.session() as session:
        upsert(session, SystemMetadata, [{"key": "k", "value": {"a": 1}}], key=["key"])
        upsert(session, SystemMetadata, [{"key": "k", "value": {"a": 2}}], key=["key"], keep=["value"])
        upsert(session, SystemMetadata, [], key=["key"])
    with database.reader() as session:
        assert session.scalars(select(SystemMetadata.value).where(SystemMetadata.key == "k")).one() == {"a": 1}
    database.close()
