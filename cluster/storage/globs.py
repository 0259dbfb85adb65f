"""Exclusion patterns of external libraries: globs as picomatch reads them, matched against absolute paths (pure).

`*` and `?` stay within one name, `**` as a whole name crosses folders, `a/**` matches `a` too; `[a-c]`, `[!a]`,
`{a,b}`, `{1..3}`, `@(a|b)`, `?(a)`, `*(a)`, `+(a)`, `!(a)` mean what they mean there, a backslash takes a sign as it
is. Case does not count, hidden names match like any other, and what lies in a matched folder is excluded with it.
Source: spec/pipeline.md §6.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

MOST_ALTERNATIVES = 1_000
"""How many patterns the braces of one may stand for."""

_ANY_FOLDERS, _REST = "(?:[^/]*/)*?", "(?:/.*)?"
_GROUP_ENDS = {"@": ")", "?": ")?", "*": ")*", "+": ")+"}

Matcher = Callable[[str], object]


class PatternTooLarge(ValueError):
    """The braces of a pattern stand for more than `MOST_ALTERNATIVES` others."""


class Exclusions:
    """What a library leaves out. Raises PatternTooLarge.

    Most patterns ask for one name anywhere (`**/@eaDir/**`, `**/*.tif`): they are matched against names, which a walk
    knows one by one, the rest against whole paths.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        expanded = [one for pattern in patterns for one in _expanded(pattern)]
        names = [name for one in expanded if (name := _single_name(one)) is not None]
        paths = [one for one in expanded if _single_name(one) is None]
        self._name = _matcher([_segment(name) for name in names])
        self._path = _matcher([_path(one) for one in paths])

    def excludes_name(self, name: str, path: str) -> bool:
        """Whether the entry `name`, whose absolute path is `path`, is excluded; its folders are known not to be."""
        return bool(self._name(name) or self._path(path))

    def excludes(self, path: str) -> bool:
        """Whether the absolute `path` or a folder above it is excluded."""
        return any(map(self._name, path.split("/"))) or bool(self._path(path))


def _matcher(expressions: Sequence[str]) -> Matcher:
    if not expressions:
        return lambda text: None
    flags = re.IGNORECASE | re.DOTALL
    return re.compile("|".join(expressions), flags).fullmatch


def _single_name(pattern: str) -> str | None:
    """`x` of `**/x` and `**/x/**`, when it is one name; None for every other pattern."""
    if not pattern.startswith("**/"):
        return None
    name = pattern[3:].removesuffix("/**")
    return None if "/" in name or name in ("", "**") else name


def _path(pattern: str) -> str:
    """A regular expression for whole paths; one that matches a folder matches what is in it."""
    runs: list[list[str]] = [[]]
    for segment in pattern.split("/"):
        if segment != "**":
            runs[-1].append(_segment(segment))
        elif runs[-1] or len(runs) == 1:
            runs.append([])
    if not runs[-1]:
        runs.pop()  # what is in a matched folder goes with it anyway
    if not any(runs):
        return ".*"
    if len(runs) == 1:
        return "/".join(runs[0]) + _REST
    start = "".join(f"{segment}/" for segment in runs[0])
    # the earliest place of a run is as good as any, so that nothing is tried twice (atomic groups)
    middle = "".join(f"(?>{_ANY_FOLDERS}{'/'.join(run)}/)" for run in runs[1:-1])
    return f"{start}{middle}{_ANY_FOLDERS}{'/'.join(runs[-1])}{_REST}"


def _segment(glob: str) -> str:
    """One name's glob as a regular expression."""
    if glob and not glob.strip("*"):
        return "[^/]+"  # a star alone wants something
    pieces: list[str] = [""]
    groups: list[str] = []
    plain = True
    at = 0
    while at < len(glob):
        sign = glob[at]
        if sign == "\\" and at + 1 < len(glob):
            pieces[-1] += re.escape(glob[at + 1])
            at += 2
        elif sign in "@?*+!" and glob[at + 1 : at + 2] == "(" and _closes(glob, at + 1):
            pieces[-1] += "(?:(?!(?:" if sign == "!" else "(?:"
            groups.append(sign)
            plain = False
            at += 2
        elif groups and sign == "|":
            pieces[-1] += "|"
            at += 1
        elif groups and sign == ")":
            opened = groups.pop()
            pieces[-1] += f"){re.escape(_after(glob, at))}$)[^/]*)" if opened == "!" else _GROUP_ENDS[opened]
            at += 1
        elif sign == "[" and (end := _class_end(glob, at)) > 0:
            pieces[-1] += _class(glob[at + 1 : end])
            at = end + 1
        elif sign == "*":
            pieces += [""] if pieces[-1] or len(pieces) == 1 else []
            at += 1
        else:
            pieces[-1] += "[^/]" if sign == "?" else re.escape(sign)
            at += 1
    return _joined_by_stars(pieces, plain)


def _joined_by_stars(pieces: Sequence[str], plain: bool) -> str:
    """`pieces` with any signs between. Plain ones are as long as what they match, so their earliest place is as good as
    any: atomic groups keep a pattern with many stars from trying all places together."""
    first, *others = pieces
    if not plain:
        return "[^/]*".join(pieces)
    middle = "".join(f"(?>[^/]*?{piece})" for piece in others[:-1])
    return f"{first}{middle}" + "".join(f"[^/]*{piece}" for piece in others[-1:])


def _after(glob: str, at: int) -> str:
    """The plain text behind the group that ends at `at`, which what is not to match ends with."""
    rest = glob[at + 1 :]
    return rest if not re.search(r"[*?\[\](){}|\\]", rest) else ""


def _closes(glob: str, at: int) -> bool:
    """Whether the parenthesis at `at` has its other half."""
    depth = 0
    for sign in glob[at:]:
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0:
            return True
    return False


def _class_end(glob: str, at: int) -> int:
    """Where the `[` at `at` ends, 0 when it does not: then it is a bracket and no more."""
    first = at + 2 if glob[at + 1 : at + 2] in ("!", "^") else at + 1
    return max(0, glob.find("]", first + 1))


def _class(inside: str) -> str:
    negated = inside[:1] in ("!", "^")
    listed = inside[1:] if negated else inside
    escaped = re.sub(r"([\\\[\]^&~|])", r"\\\1", listed.replace("\\", ""))
    try:
        re.compile(f"[{escaped}]")
    except re.error:  # [z-a]: nothing lies between
        return r"(?!)"
    return f"[^/{escaped}]" if negated else f"[{escaped}]"


def _expanded(pattern: str) -> list[str]:
    """The patterns that the braces of one stand for."""
    found: list[str] = []
    waiting = [pattern]
    while waiting:
        one = waiting.pop()
        braces = next(_braces(one), None)
        if braces is None:
            found.append(one)
        else:
            start, end, parts = braces
            waiting += [one[:start] + part + one[end + 1 :] for part in parts]
        if len(found) + len(waiting) > MOST_ALTERNATIVES:
            raise PatternTooLarge(f"{pattern} stands for more than {MOST_ALTERNATIVES} patterns")
    return found


def _braces(pattern: str) -> Iterator[tuple[int, int, list[str]]]:
    """Start, end and alternatives of every brace that has some, the first first; one without is a sign like others."""
    for start, sign in enumerate(pattern):
        if sign == "{" and not _escaped(pattern, start):
            end, commas = _other_half(pattern, start)
            if end and commas:
                cuts = [start, *commas, end]
                yield start, end, [pattern[a + 1 : b] for a, b in pairwise(cuts)]
            elif end and (ranged := _range(pattern[start + 1 : end])):
                yield start, end, ranged


def _escaped(pattern: str, at: int) -> bool:
    return (len(pattern[:at]) - len(pattern[:at].rstrip("\\"))) % 2 == 1


def _other_half(pattern: str, start: int) -> tuple[int, list[int]]:
    """Where the brace at `start` ends (0: nowhere), and its own commas."""
    depth = 0
    commas: list[int] = []
    for at in range(start, len(pattern)):
        if _escaped(pattern, at):
            continue
        match pattern[at]:
            case "{":
                depth += 1
            case "}":
                depth -= 1
                if depth == 0:
                    return at, commas
            case "," if depth == 1:
                commas.append(at)
    return 0, []


def _range(text: str) -> list[str]:
    """`1..3` and `a..c`, one by one; nothing for other texts."""
    first, dots, last = text.partition("..")
    if not dots:
        return []
    if re.fullmatch(r"-?\d{1,9}", first, re.ASCII) and re.fullmatch(r"-?\d{1,9}", last, re.ASCII):
        low, high = sorted((int(first), int(last)))
        return [str(number) for number in range(low, min(high, low + MOST_ALTERNATIVES) + 1)]
    if len(first) == len(last) == 1:
        low, high = sorted((ord(first), ord(last)))
        return [chr(code) for code in range(low, min(high, low + MOST_ALTERNATIVES) + 1)]
    return []
