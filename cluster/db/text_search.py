"""Text that is searched in: cut into words, and whether a part of it is like what somebody looks for.

What is stored and what is asked for both go through `searchable`. Likeness is that of PostgreSQL's pg_trgm, which
forgives a letter that was misread; SQLite gets the same from `word_similarity`. Source: spec/jobs-ml.md §8.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, String, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from cluster.db.dialects import plain_text

LIKE_ENOUGH = 0.6
"""As pg_trgm's `word_similarity_threshold` is unless a server says otherwise."""

SIMILARITY_FUNCTION = "heliostat_word_similarity"
"""`word_similarity` under this name, in every SQLite connection of ours."""

LONGEST = 20_000
"""Characters of one picture that are searched in: a page of small print has a quarter of it."""

# Blocks of Unicode whose scripts set no blanks between words, and Korean, which does not everywhere.
CJK = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3041-\u30ff\u3105-\u318f\u31a0-\u31bf"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
_RUNS = re.compile(f"([{CJK}]{{2,}})|[{CJK}]|[^{CJK}]+")
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


class _Resembles(FunctionElement[bool]):
    """`resembles` of a column and a text."""

    name = "resembles"
    inherit_cache = True


def resembles(column: Any, wanted: str) -> ColumnElement[bool]:
    """Whether a part of the column, which holds `searchable` text, is like `wanted`."""
    return _Resembles(column, literal(searchable(wanted), String()))


def searchable(text: str) -> str:
    """The words of a text without accents and case, a blank between them.

    Any two neighbours in a run of Chinese, Japanese or Korean characters make a word. Letters that ASCII lacks become
    three that it has: pg_trgm knows letters by the database's locale, and in many it knows no others.
    """
    plain = unicodedata.normalize("NFC", plain_text(text[:LONGEST].casefold()) or "")
    return " ".join("".join(map(_in_ascii, " ".join(_runs(plain)))).split())


def _runs(text: str) -> Iterator[str]:
    for run in _RUNS.finditer(text):
        if run[1]:
            yield from (first + second for first, second in pairwise(run[1]))
        else:
            yield run[0]


@lru_cache(maxsize=8192)
def _in_ascii(letter: str) -> str:
    if letter.isascii():
        return letter if letter.isalnum() else " "
    if unicodedata.category(letter)[0] not in "LMN":
        return " "
    code = ord(letter) * 40_503 % 36**3  # neighbours in Unicode, which share a script, must not begin alike
    return _DIGITS[code // 36**2] + _DIGITS[code // 36 % 36] + _DIGITS[code % 36]


def word_similarity(wanted: str | None, text: str | None) -> float:
    """How like `wanted` the best run of trigrams in `text` is: those they share over all that either has (0 to 1).

    Both are `searchable`. The best run is looked for as pg_trgm does: end by end, while its begin moves only forwards.
    Source: PostgreSQL's documentation, pg_trgm.
    """
    known, signs, spare = _known(wanted or "")
    if not known or not text:
        return 0.0
    padded = f" {text} "
    for sign in signs:  # tells nearly all texts apart, at a fraction of what the rest costs
        if sign not in padded:
            spare -= 1
            if spare < 0:
                return 0.0
    return _best_run(known, list(_trigrams(text)))


@lru_cache(maxsize=64)
def _known(text: str) -> tuple[frozenset[str], tuple[str, ...], int]:
    """The trigrams of a text; a sign of each, the rarer ones first; how many a text may lack that is like it. A sign
    stands in what has the trigram and is found between words that are one blank apart."""
    known = frozenset(_trigrams(text))
    signs = sorted((trigram.replace("  ", " ") for trigram in known), key=lambda sign: (" " in sign, -len(sign)))
    return known, tuple(signs), int((1 - LIKE_ENOUGH) * len(known) + 1e-6)


def _trigrams(text: str) -> Iterator[str]:
    for word in text.split():
        padded = f"  {word} "
        yield from (padded[at : at + 3] for at in range(len(padded) - 2))


def _best_run(known: frozenset[str], trigrams: list[str]) -> float:
    best, begin = 0.0, -1
    last: dict[str, int] = {}  # where each trigram of the run stands for the last time
    for end, trigram in enumerate(trigrams):
        if begin < 0 and trigram in known:
            begin = end
        if begin >= 0:
            last[trigram] = end
        if trigram in known:
            begin, similarity = _best_begin(known, trigrams, last, begin, end)
            best = max(best, similarity)
    return best


def _best_begin(
    known: frozenset[str], trigrams: list[str], last: dict[str, int], begin: int, end: int
) -> tuple[int, float]:
    """The begin from which the run up to `end` is most like what is known; what stands before it leaves `last`."""
    shared, different = len(last.keys() & known), len(last)
    found, best = begin, 0.0
    for at in range(begin, end + 1):
        similarity = shared / (len(known) + different - shared)
        if similarity > best:
            found, best = at, similarity
        if last[trigrams[at]] == at:
            different -= 1
            shared -= trigrams[at] in known
    for at in range(begin, found):
        if last[trigrams[at]] == at:
            del last[trigrams[at]]
    return found, best


@compiles(_Resembles, "sqlite")
def _resembles_sqlite(element: _Resembles, compiler: Any, **options: Any) -> str:
    column, wanted = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{SIMILARITY_FUNCTION}({wanted}, {column}) >= {LIKE_ENOUGH}"


@compiles(_Resembles, "postgresql")
def _resembles_postgres(element: _Resembles, compiler: Any, **options: Any) -> str:
    column, wanted = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{column} %%> {wanted}"  # the driver reads two as one
