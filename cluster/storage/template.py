"""The storage template: what an admin writes to say where originals lie, parsed, checked and rendered (pure).

The syntax is Handlebars', as far as a path needs it: `{{token}}`, `{{#if token}}…{{else if other}}…{{else}}…{{/if}}`,
`{{#unless token}}…{{/unless}}`, `{{! comment }}`. It is strict: an unknown token is an error, also in a branch that
would not be taken. Source: spec/jobs-media.md §6.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path

from cluster.errors import PathEscapes, TemplateInvalid
from cluster.storage.layout import inside

MONTH_NAMES = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

DATE_TOKENS: Mapping[str, Callable[[datetime], str]] = {
    "y": lambda time: str(time.year),
    "yy": lambda time: f"{time.year % 100:02}",
    "M": lambda time: str(time.month),
    "MM": lambda time: f"{time.month:02}",
    "MMM": lambda time: MONTH_NAMES[time.month - 1][:3],
    "MMMM": lambda time: MONTH_NAMES[time.month - 1],
    "W": lambda time: str(time.isocalendar().week),
    "WW": lambda time: f"{time.isocalendar().week:02}",
    "d": lambda time: str(time.day),
    "dd": lambda time: f"{time.day:02}",
    "h": lambda time: str(time.hour % 12 or 12),
    "hh": lambda time: f"{time.hour % 12 or 12:02}",
    "H": lambda time: str(time.hour),
    "HH": lambda time: f"{time.hour:02}",
    "m": lambda time: str(time.minute),
    "mm": lambda time: f"{time.minute:02}",
    "s": lambda time: str(time.second),
    "ss": lambda time: f"{time.second:02}",
    "SSS": lambda time: f"{time.microsecond // 1000:03}",
}
"""As Luxon writes them in English; weeks are those of ISO 8601."""

# The tokens of each kind, as they are offered.
YEARS, MONTHS, WEEKS, DAYS = ("y", "yy"), ("M", "MM", "MMM", "MMMM"), ("W", "WW"), ("d", "dd")
HOURS, MINUTES, SECONDS = ("h", "hh", "H", "HH"), ("m", "mm"), ("s", "ss", "SSS")

PRESETS = (
    "{{y}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MMMM}}-{{dd}}/{{filename}}",
    "{{y}}/{{MM}}/{{filename}}",
    "{{y}}/{{#if album}}{{album}}{{else}}Other/{{MM}}{{/if}}/{{filename}}",
    "{{#if album}}{{album-startDate-y}}/{{album}}{{else}}{{y}}/Other/{{MM}}{{/if}}/{{filename}}",
    "{{y}}/{{MMM}}/{{filename}}",
    "{{y}}/{{MMMM}}/{{filename}}",
    "{{y}}/{{MM}}/{{dd}}/{{filename}}",
    "{{y}}/{{MMMM}}/{{dd}}/{{filename}}",
    "{{y}}/{{y}}-{{MM}}/{{y}}-{{MM}}-{{dd}}/{{filename}}",
    "{{y}}-{{MM}}-{{dd}}/{{filename}}",
    "{{y}}-{{MMM}}-{{dd}}/{{filename}}",
    "{{y}}-{{MMMM}}-{{dd}}/{{filename}}",
    "{{y}}/{{y}}-{{MM}}/{{filename}}",
    "{{y}}/{{y}}-{{WW}}/{{filename}}",
    "{{y}}/{{y}}-{{MM}}-{{dd}}/{{assetId}}",
    "{{y}}/{{y}}-{{MM}}/{{assetId}}",
    "{{y}}/{{y}}-{{WW}}/{{assetId}}",
    "{{album}}/{{filename}}",
    "{{make}}/{{model}}/{{lensModel}}/{{filename}}",
)
"""What an admin may choose from, in the order of the list."""

SAME_EXTENSION = {
    **{"jpeg": "jpg", "jpe": "jpg", "tif": "tiff", "3gpp": "3gp"},
    **{"mpeg": "mpg", "mpe": "mpg", "m2ts": "mts", "m2t": "mts"},
}

LONGEST_NAME_BYTES = 255
LONGEST_STEM_BYTES = 220
"""Leaves room in a file's name for `+99999`, its extension, `.xmp` and a lease token."""


@dataclass(frozen=True, slots=True)
class AlbumFacts:
    """The album that an asset is filed under. Times are those of its first and last picture, in the server's zone."""

    name: str
    start_at: datetime
    end_at: datetime


@dataclass(frozen=True, slots=True)
class Subject:
    """What a template may say of one file. `taken_at`: in the server's zone. `file_name`: with its extension.
    `extension`: as on disk, without a dot, in any case. `make`, `model`, `lens_model` are empty while unknown."""

    asset_id: str
    file_name: str
    extension: str
    is_video: bool
    taken_at: datetime
    album: AlbumFacts | None = None
    make: str = ""
    model: str = ""
    lens_model: str = ""


@dataclass(frozen=True, slots=True)
class _Token:
    name: str


@dataclass(frozen=True, slots=True)
class _Choice:
    """`then` when the token's value is not empty, else `other`."""

    name: str
    then: tuple["_Node", ...]
    other: tuple["_Node", ...]


_Node = str | _Token | _Choice

_WORDS: Mapping[str, Callable[[Subject], str]] = {
    "filename": lambda subject: _plain_name(_stem(subject.file_name), LONGEST_STEM_BYTES) or subject.asset_id,
    "ext": lambda subject: normal_extension(subject.extension),
    "filetype": lambda subject: "VID" if subject.is_video else "IMG",
    "filetypefull": lambda subject: "VIDEO" if subject.is_video else "IMAGE",
    "assetId": lambda subject: subject.asset_id,
    "assetIdShort": lambda subject: subject.asset_id[-12:],
    "album": lambda subject: _plain_name(subject.album.name.replace(".", "")) if subject.album else "",
    "make": lambda subject: _plain_name(subject.make),
    "model": lambda subject: _plain_name(subject.model),
    "lensModel": lambda subject: _plain_name(subject.lens_model),
}
ALBUM_START, ALBUM_END = "album-startDate-", "album-endDate-"


def _album_dates(subject: Subject, name: str) -> str | None:
    """The value of an album's date; None when there is no album, which a template must ask about first."""
    if subject.album is None:
        return None
    if name.startswith(ALBUM_START):
        return DATE_TOKENS[name.removeprefix(ALBUM_START)](subject.album.start_at)
    return DATE_TOKENS[name.removeprefix(ALBUM_END)](subject.album.end_at)


_KNOWN = {*_WORDS, *DATE_TOKENS, *(prefix + token for prefix in (ALBUM_START, ALBUM_END) for token in DATE_TOKENS)}


def _value(subject: Subject, name: str) -> str | None:
    if name in _WORDS:
        return _WORDS[name](subject)
    if name in DATE_TOKENS:
        return DATE_TOKENS[name](subject.taken_at)
    return _album_dates(subject, name)


@dataclass(frozen=True, slots=True)
class StorageTemplate:
    """A parsed template. `tokens`: all that it names, in whichever branch."""

    text: str
    nodes: tuple[_Node, ...]
    tokens: frozenset[str]

    @property
    def uses_album(self) -> bool:
        return any(name.startswith("album") for name in self.tokens)

    @property
    def uses_album_dates(self) -> bool:
        return any(name.startswith((ALBUM_START, ALBUM_END)) for name in self.tokens)

    def render(self, subject: Subject) -> str:
        """The path below the owner's folder, without extension. Raises TemplateInvalid when it says an album's date of
        a subject without album, or names no file."""
        rendered = re.sub("/{2,}", "/", "".join(_rendered(self.nodes, subject))).lstrip("/")
        if not rendered or rendered.endswith("/"):
            raise TemplateInvalid(self.text, "it names a folder and no file")
        folders, _, name = rendered.rpartition("/")
        name = _cut(name, LONGEST_STEM_BYTES)
        return f"{'/'.join(_cut(one, LONGEST_NAME_BYTES) for one in folders.split('/'))}/{name}" if folders else name


def _rendered(nodes: Sequence[_Node], subject: Subject) -> Iterator[str]:
    for node in nodes:
        match node:
            case str():
                yield node
            case _Token(name):
                value = _value(subject, name)
                if value is None:
                    raise TemplateInvalid(name, "there is no album: ask first, with {{#if album}}")
                yield value
            case _Choice(name, then, other):
                yield from _rendered(then if _value(subject, name) else other, subject)


_TAG = re.compile(r"\{\{\{\s*(?P<raw>[^{}]*?)\s*\}\}\}|\{\{~?\s*(?P<tag>[^{}]*?)\s*~?\}\}")
_COMMENT = re.compile(r"\{\{~?!--.*?--~?\}\}|\{\{~?![^}]*\}\}", re.DOTALL)


class _Parser:
    """Goes through the pieces of one template: texts at even places, tags at odd ones."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: set[str] = set()
        self._pieces = self._split(_COMMENT.sub("", text))

    def parse(self) -> tuple[_Node, ...]:
        nodes, end = self._block()
        if end:
            raise self._wrong(f"{{{{{end}}}}} ends nothing")
        return nodes

    def _split(self, text: str) -> Iterator[tuple[bool, str]]:
        at = 0
        for found in _TAG.finditer(text):
            yield False, text[at : found.start()]
            yield True, found["tag"] if found["raw"] is None else found["raw"]
            at = found.end()
        yield False, text[at:]

    def _block(self) -> tuple[tuple[_Node, ...], str]:
        """Nodes up to the tag that ends them (`""` for the end of the text), which is returned too."""
        nodes: list[_Node] = []
        for is_tag, piece in self._pieces:
            word, _, rest = piece.partition(" ")
            if not is_tag:
                if "{{" in piece or "}}" in piece:
                    raise self._wrong("braces that do not match")
                nodes += [piece] if piece else []
            elif word in ("#if", "#unless"):
                nodes.append(self._choice(word[1:], rest))
            elif word == "else" or word.startswith("/"):
                return tuple(nodes), piece
            else:
                nodes.append(_Token(self._known(piece)))
        return tuple(nodes), ""

    def _choice(self, kind: str, name: str) -> _Choice:
        name = self._known(name.strip())
        first, end = self._block()
        second: tuple[_Node, ...] = ()
        if end.startswith("else "):  # `else if other`: the rest is one choice, which the same tag ends
            inner, _, rest = end.removeprefix("else ").strip().partition(" ")
            if inner not in ("if", "unless"):
                raise self._wrong(f"{{{{{end}}}}} is not understood")
            second, end = (self._choice(inner, rest),), f"/{inner}"
            kind_ended = inner
        else:
            kind_ended = kind
            if end == "else":
                second, end = self._block()
        if end != f"/{kind_ended}":
            raise self._wrong(f"{{{{#{kind}}}}} is not ended by {{{{/{kind}}}}}")
        return _Choice(name, first, second) if kind == "if" else _Choice(name, second, first)

    def _known(self, name: str) -> str:
        if name not in _KNOWN:
            raise self._wrong(f"{{{{{name}}}}} is not known")
        self.tokens.add(name)
        return name

    def _wrong(self, reason: str) -> TemplateInvalid:
        return TemplateInvalid(self.text, reason)


@lru_cache(maxsize=16)
def parse_template(text: str) -> StorageTemplate:
    """Raises TemplateInvalid for an unknown token and for braces or blocks that do not match."""
    parser = _Parser(text)
    nodes = parser.parse()
    return StorageTemplate(text, nodes, frozenset(parser.tokens))


_SAMPLE_TIME = datetime(2022, 2, 13, 14, 5, 6, 789_000)
SAMPLE = Subject(
    asset_id="d587e44b-f8c0-4832-9ba3-43268bbf5d4e",
    file_name="IMG_123.jpg",
    extension="jpg",
    is_video=False,
    taken_at=_SAMPLE_TIME,
    album=AlbumFacts("album", _SAMPLE_TIME, _SAMPLE_TIME),
    make="FUJIFILM",
    model="X-T50",
    lens_model="XF27mm F2.8 R WR",
)
"""A picture of which everything is known."""


def check_template(text: str) -> None:
    """Raise TemplateInvalid unless `text` parses, and says where a picture with everything lies."""
    template = parse_template(text)
    try:
        target_path(Path("/library"), "label", template.render(SAMPLE), "jpg")
    except PathEscapes as error:
        raise TemplateInvalid(text, "it leads out of the owner's folder") from error


def target_path(library: Path, owner: str, rendered: str, extension: str) -> Path:
    """`<library>/<owner>/<rendered>.<extension>`. `owner`: storage label or id. Raises PathEscapes."""
    if owner in ("", ".", "..") or "/" in owner:
        raise PathEscapes(owner, library)
    suffix = f".{normal_extension(extension)}" if extension else ""
    return inside(Path(f"{library}/{owner}"), Path(f"{library}/{owner}/{rendered}{suffix}"))


def normal_extension(extension: str) -> str:
    """In lower case, and one for what has several: `JPEG` → `jpg`. Neither has a dot."""
    lower = extension.lower()
    return SAME_EXTENSION.get(lower, lower)


def numbered(path: Path, number: int) -> Path:
    """`path` with `+<number>` before its extension; 0 is the path itself."""
    return path.with_name(f"{path.stem}+{number}{path.suffix}") if number else path


def number_in(path: Path, wanted: Path) -> int | None:
    """The inverse: which number makes `path` of `wanted`; None when none does."""
    if path == wanted:
        return 0
    start = str(wanted).removesuffix(wanted.suffix)
    rest = str(path).removeprefix(start)
    if len(rest) + len(start) != len(str(path)):
        return None
    digits = re.fullmatch(r"\+([1-9][0-9]*)", rest.removesuffix(wanted.suffix))
    return int(digits[1]) if digits and rest.endswith(wanted.suffix) else None


_ILLEGAL = re.compile(r'[/?<>\\:*|"\x00-\x1f\x80-\x9f]')


def _plain_name(text: str, longest_bytes: int = LONGEST_NAME_BYTES) -> str:
    """`text` as the name of one file or folder on any file system; empty when nothing is left of it."""
    name = _ILLEGAL.sub("", text).rstrip(". ")
    return _cut(name, longest_bytes)


def _cut(name: str, longest_bytes: int) -> str:
    encoded = name.encode(errors="surrogateescape")
    return name if len(encoded) <= longest_bytes else encoded[:longest_bytes].decode(errors="ignore").rstrip()


def _stem(file_name: str) -> str:
    """`a/b.tar.jpg` → `b.tar`; `.jpg` stays."""
    name = file_name.rpartition("/")[2]
    stem, dot, _ = name.rpartition(".")
    return stem if dot and stem else name
