"""A further api machine looks into the database that it was told of before it joins: a mark says whose it is."""

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cluster.db.engine import Database
from cluster.db.identity import identity_of, renew_identity
from cluster.errors import HeliostatError, Unavailable
from cluster.joining import HeadFacts, JoinRefused, facts_here
from cluster.settings import Settings, read_settings
from serve_app.node import NodeSupervisor
from tests.api_stack import free_port


def machine(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NodeSupervisor:
    """One that would join the head of `head_of`."""
    environ = {"DB_URL": database_url, "IMMICH_MEDIA_LOCATION": str(tmp_path), "HELIOSTAT_RAY_HOST": "127.0.0.1"}
    environ["HELIOSTAT_STATE_DIR"] = "/tmp/hn-unused"
    made = NodeSupervisor(read_settings(environ), environ, "127.0.0.1:9")
    monkeypatch.setattr(made._stack, "prepare_node", lambda: None)
    monkeypatch.setattr(made._stack, "launch", lambda _command: None)
    monkeypatch.setattr(made._stand_in, "keep", lambda: None)
    return made


def settings_of(database_url: str, tmp_path: Path) -> Settings:
    return read_settings({"DB_URL": database_url, "IMMICH_MEDIA_LOCATION": str(tmp_path)})


def start_of_head(settings: Settings) -> HeadFacts:
    """What it publishes."""
    database = Database(settings.database_url)
    with database.session() as session:
        renew_identity(session)
    database.close()
    return facts_here(settings, identity_of(settings))


def test_one_database_may_have_two_names(
    postgres_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = start_of_head(settings_of(postgres_database_url, tmp_path))
    assert "127.0.0.1" in postgres_database_url
    node = machine(postgres_database_url.replace("127.0.0.1", "localhost"), tmp_path, monkeypatch)
    monkeypatch.setattr(node, "_wait_for_facts", lambda: head)
    node._join()
    assert node._address


def test_another_database_is_refused_and_so_is_one_that_was_copied_before(
    postgres_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(postgres_database_url, tmp_path)
    before, head = start_of_head(settings), start_of_head(settings)
    empty = urlsplit(postgres_database_url)._replace(path="/postgres").geturl()
    for url, facts in ((empty, head), (postgres_database_url, before)):
        node = machine(url, tmp_path, monkeypatch)
        monkeypatch.setattr(node, "_wait_for_facts", lambda facts=facts: facts)
        assert refusal(node, JoinRefused).startswith(
            "DB_URL, or DB_HOSTNAME and DB_DATABASE_NAME, name another database"
        )


def test_a_database_that_does_not_answer_ends_no_stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the first machine's too, and may be back before Ray is."""
    url = f"postgres://ann:topsecret@127.0.0.1:{free_port()}/photos"
    node, ended = machine(url, tmp_path, monkeypatch), []
    monkeypatch.setattr(node._stand_in, "end", lambda: ended.append("ended"))
    monkeypatch.setattr(node, "_wait_for_facts", lambda: facts_here(settings_of(url, tmp_path), "a mark"))
    assert "does not answer" in refusal(node, Unavailable)
    assert not ended


def refusal(node: NodeSupervisor, kind: type[HeliostatError]) -> str:
    """What it is told, in which there is nothing of the database's URL."""
    with pytest.raises(kind) as refused:
        node._join()
    url = urlsplit(node._settings.database_url)
    assert not [part for part in (url.password, url.hostname) if part and part in str(refused.value)]
    return str(refused.value)


def test_the_mark_is_read_from_both_databases(database_url: str, tmp_path: Path) -> None:
    settings = settings_of(database_url, tmp_path)
    assert identity_of(settings) == ""
    first, second = (start_of_head(settings).database for _ in range(2))
    assert first
    assert first != second
    assert identity_of(settings) == second
