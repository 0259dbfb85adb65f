"""Text without accents and case means the same in Python, SQLite and PostgreSQL."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, literal, select

from cluster.db.dialects import contains_text, folder_of, month_of, plain_text
from cluster.db.engine import Database
from cluster.db.tables.base import UtcDateTime


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("text", "plain"),
    [("Ávila", "avila"), ("IMG_1.JPG", "img_1.jpg"), ("ZÜRICH", "zurich"), ("ﬁn", "fin"), ("写真", "写真"), ("", "")],
)
def test_accents_and_case_go(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_both_databases_look_alike(database: Database) -> None:
    texts = ("Ávila", "a\u0301vila", "ÅNGSTRÖM 100%", "photo_1.JPG", "ﬁn", "写真 Café", "")
    with database.reader() as session:
        for text in texts:
            for wanted in ("AVILA", "ngstrom", "100%", "photo_", "fin", "写真 cafe", "é", ""):
                found = session.scalar(select(contains_text(literal(text), wanted)))
                assert bool(found) == ((plain_text(wanted) or "") in (plain_text(text) or "")), (text, wanted)
        assert not session.scalar(select(func.coalesce(contains_text(literal(None), "a"), False)))


def test_the_month_is_that_of_utc(database: Database) -> None:
    moment = literal(datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC), UtcDateTime())
    with database.reader() as session:
        assert session.scalar(select(month_of(moment))) == "2024-02"


def test_the_folder_of_a_path(database: Database) -> None:
    with database.reader() as session:
        for path, folder in (("/a/b c/d.jpg", "/a/b c/"), ("/a.jpg", "/"), ("/aba/aab", "/aba/")):
            assert session.scalar(select(folder_of(literal(path)))) == folder
