"""What SQLite and PostgreSQL spell differently: text that people search in, the month of a time, and a hint."""

import unicodedata
from typing import Any

from sqlalchemy import ColumnElement, String, and_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement, func

SQLITE_FUNCTION = "heliostat_plain"
"""`plain_text` under this name, in every SQLite connection of ours."""


class _Plain(FunctionElement[str]):
    """`plain_text` of a column."""

    type = String()
    name = "plain"
    inherit_cache = True


class _Month(FunctionElement[str]):
    """`2024-03` of a stored UTC time."""

    type = String()
    name = "month"
    inherit_cache = True


class _Day(FunctionElement[str]):
    """`2024-03-05` of a stored UTC time."""

    type = String()
    name = "day"
    inherit_cache = True


class _Position(FunctionElement[int]):
    """Where a text begins within another, from 1; 0 when it does not."""

    name = "position"
    inherit_cache = True


class _Unindexed(FunctionElement[Any]):
    """A column that SQLite may not look up in an index."""

    name = "unindexed"
    inherit_cache = True


def plain_text(text: str | None) -> str | None:
    """Without accents and case, so that `Ávila` is found as `avila`."""
    if text is None or text.isascii():
        return text.lower() if text else text
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(letter for letter in decomposed if not "\u0300" <= letter <= "\u036f").lower()


def contains_text(column: Any, wanted: str) -> ColumnElement[bool]:
    """Whether the column has `wanted` somewhere, whatever the accents and the case."""
    return _Position(_Plain(column), plain_text(wanted)) > 0


def month_of(column: Any) -> ColumnElement[str]:
    """Year and month of a time in UTC, `2024-03`."""
    return _Month(column)


def day_of(column: Any) -> ColumnElement[str]:
    """Day of a time in UTC, `2024-03-05`."""
    return _Day(column)


def unindexed(column: Any) -> ColumnElement[Any]:
    """The column, when a query has another condition that leaves far fewer rows, or leaves most of them and is better
    read in the table's own order. SQLite keeps no statistics unless it is told to, takes any index of equal length for
    as good, and would walk through all that a user has. PostgreSQL counts and needs no hint.
    Source: sqlite.org/queryplanner-ng.html, unary "+"."""
    return _Unindexed(column)


def lies_in(column: Any, folder: str) -> ColumnElement[bool]:
    """Whether a path lies right in a folder (with its slash), not below it. Wants an index of the paths."""
    # `0` follows the slash: paths are ordered by code point, so what is below a folder is one range of the index
    rest = func.substr(column, len(folder) + 1)
    return and_(column > folder, column < folder[:-1] + "0", _Position(rest, "/") == 0)


def folder_of(column: Any) -> ColumnElement[str]:
    """What stands before the name in a path, with its slash: what is left when no sign of the name is."""
    return func.rtrim(column, func.replace(column, "/", ""))


@compiles(_Plain, "sqlite")
def _plain_sqlite(element: _Plain, compiler: Any, **options: Any) -> str:
    return f"{SQLITE_FUNCTION}({compiler.process(element.clauses, **options)})"


@compiles(_Plain, "postgresql")
def _plain_postgres(element: _Plain, compiler: Any, **options: Any) -> str:
    # Nearly all names are ASCII, and those need no second look. U&'' needs standard_conforming_strings, the default.
    text = compiler.process(element.clauses, **options)
    marks = r"U&'[\0300-\036F]'"
    return (
        f"CASE WHEN octet_length({text}) = char_length({text}) THEN lower({text}) "
        f"ELSE lower(regexp_replace(normalize({text}, NFKD), {marks}, '', 'g')) END"
    )


@compiles(_Position, "sqlite")
def _position_sqlite(element: _Position, compiler: Any, **options: Any) -> str:
    return f"instr({compiler.process(element.clauses, **options)})"


@compiles(_Position, "postgresql")
def _position_postgres(element: _Position, compiler: Any, **options: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **options)})"


@compiles(_Unindexed, "sqlite")
def _unindexed_sqlite(element: _Unindexed, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


@compiles(_Unindexed, "postgresql")
def _unindexed_postgres(element: _Unindexed, compiler: Any, **options: Any) -> str:
    plain: str = compiler.process(element.clauses, **options)
    return plain


@compiles(_Day, "sqlite")
def _day_sqlite(element: _Day, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


@compiles(_Day, "postgresql")
def _day_postgres(element: _Day, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM-DD')"


@compiles(_Month, "sqlite")
def _month_sqlite(element: _Month, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 7)"


@compiles(_Month, "postgresql")
def _month_postgres(element: _Month, compiler: Any, **options: Any) -> str:
    return f"to_char({compiler.process(element.clauses, **options)} AT TIME ZONE 'UTC', 'YYYY-MM')"
