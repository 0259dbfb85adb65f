"""What backups are called, and which of them go."""

from datetime import UTC, datetime, timedelta

import pytest

from tasks.backup.names import DatabaseKind, Engine, backup_name, kind_of, superfluous

POSTGRES, SQLITE = Engine(DatabaseKind.POSTGRES, "15.14"), Engine(DatabaseKind.SQLITE, "3.40.1")
NOON = datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC)


def test_the_name_says_when_by_what_and_of_what() -> None:
    local = NOON.astimezone().strftime("%Y%m%dT%H%M%S")
    assert backup_name(NOON, POSTGRES).startswith(f"immich-db-backup-{local}-v")
    assert backup_name(NOON, POSTGRES).endswith("-pg15.14.sql.gz")
    assert backup_name(NOON, SQLITE).endswith("-sqlite3.40.1.db.gz")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (backup_name(NOON, POSTGRES), DatabaseKind.POSTGRES),
        (backup_name(NOON, SQLITE), DatabaseKind.SQLITE),
        ("mine.sql", DatabaseKind.POSTGRES),
        ("heliostat.db", DatabaseKind.SQLITE),
        ("photo.jpg", None),
    ],
)
def test_the_name_tells_what_a_file_holds(name: str, kind: DatabaseKind | None) -> None:
    assert kind_of(name) is kind


def test_the_newest_routine_backups_stay_and_a_persons_own_files_always_do() -> None:
    days = [NOON - timedelta(days=day) for day in range(5)]
    names = [backup_name(day, SQLITE if number % 2 else POSTGRES) for number, day in enumerate(days)]
    old = [f"immich-db-backup-{int((days[-1] - timedelta(days=1)).timestamp() * 1000)}.sql.gz"]
    own = ["before-the-big-move.sql.gz", "immich-db-backup-20261301T000000-v1-pg15.sql.gz", names[0] + ".tmp", "x"]

    assert superfluous([*own, *old, *reversed(names)], 3) == [*names[3:], *old]
    assert superfluous([*own, *old, *names], 6) == []
    assert superfluous([*own, *old, *names], 1) == [*names[1:], *old]
