"""Text is found by what resembles a part of it, in any script, and alike in SQLite and PostgreSQL."""

import random
from collections.abc import Iterator

import pytest
from sqlalchemy import func, literal, select, text

from cluster.db.engine import Database
from cluster.db.text_search import LIKE_ENOUGH, LONGEST, resembles, searchable, word_similarity


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database(database_url)
    yield opened
    opened.close()


def like(wanted: str, found: str) -> float:
    return word_similarity(searchable(wanted), searchable(found))


def test_words_lose_accents_case_and_what_is_no_letter() -> None:
    assert searchable("Café\tZÜRICH,\x00“Open”\n24-7") == "cafe zurich open 24 7"
    assert searchable(" ,.- ") == searchable("") == ""
    assert len(searchable("a " * LONGEST)) == LONGEST - 1


def test_neighbours_in_scripts_without_blanks_make_words() -> None:
    assert searchable("東京都") == " ".join([searchable("東京"), searchable("京都")])
    assert searchable("iPhone手机") == f"iphone {searchable('手机')}"
    assert searchable("ｶﾅ") == searchable("カナ")  # half-width letters
    assert searchable("가나") == searchable("\u1100\u1161\u1102\u1161")  # the same, written in parts
    assert len(searchable("東").split()) == 1
    assert searchable("東、京").split() == [searchable("東"), searchable("京")]


def test_every_letter_is_ascii_and_none_of_a_script_begin_alike() -> None:
    letters = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    codes = {searchable(letter) for letter in letters}
    assert all(code.isascii() and code.isalnum() for code in codes)
    assert len(codes) == len({searchable(letter) for letter in letters})
    assert len({code[:2] for code in codes}) > len(codes) * 0.8


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("craft beer", "OPEN DAILY\nCraft Beer & Food"),
        ("craft beer", "craft beor"),  # one letter misread
        ("beer", "the best beers in town"),
        ("Straße", "hauptstraße 7"),
        ("東京", "国立東京都美術館"),
        ("привет", "ПРИВЕТ, МИР"),
        ("καλημέρα", "ΚΑΛΗΜΕΡΑ κόσμε"),
        ("ภาษาไทย", "ป้าย ภาษาไทย"),
    ],
)
def test_what_is_like_it_is_found(database: Database, wanted: str, found: str) -> None:
    with database.reader() as session:
        assert session.scalar(select(resembles(literal(searchable(found)), wanted)))


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("craft beer", "beer from a craftsman is a rare thing in a town like this"),
        ("beer", "bear"),
        ("stop", "shop"),
        ("東京", "東北と京都"),
        ("привет", "прилив"),
        ("мост", "мест"),
        ("beer", ""),
        ("", "beer"),
        ("!", "beer!"),
    ],
)
def test_what_is_not_like_it_is_not_found(database: Database, wanted: str, found: str) -> None:
    with database.reader() as session:
        assert not session.scalar(select(resembles(literal(searchable(found)), wanted)))


def test_similarity_is_that_of_pg_trgm(postgres_database_url: str) -> None:
    chance, letters = random.Random(4), "abcdeё東"

    def words(most: int) -> str:
        return " ".join(
            "".join(chance.choices(letters, k=chance.randint(1, 7))) for _ in range(chance.randint(1, most))
        )

    pairs = [(searchable(words(3)), searchable(words(12))) for _ in range(600)]
    pairs += [("word", "two words"), ("craft beer", "craft beor and beer craft"), ("aaaa", "aaa aaaa aaaaa")]
    database = Database(postgres_database_url)
    with database.reader() as session:
        session.execute(text("SET LOCAL pg_trgm.word_similarity_threshold = 0.6"))
        for wanted, found in pairs:
            theirs = session.scalar(select(func.word_similarity(wanted, found)))
            ours = word_similarity(wanted, found)
            # what is too far away to be found is not worth computing
            assert ours == pytest.approx(theirs, abs=1e-6) or (ours == 0 and theirs < LIKE_ENOUGH), (wanted, found)
    database.close()
    assert sum(word_similarity(*pair) >= LIKE_ENOUGH for pair in pairs) > 20


def test_postgres_looks_it_up_in_an_index(postgres_database_url: str) -> None:
    database = Database(postgres_database_url)
    with database.reader() as session:
        session.execute(text("SET LOCAL enable_seqscan = off"))
        wanted = {"wanted": searchable("craft beer")}
        plan = session.execute(text("EXPLAIN SELECT asset_id FROM ocr_search WHERE text %> :wanted"), wanted).scalars()
        assert any("ix_ocr_search_text" in line for line in plan)
    database.close()
