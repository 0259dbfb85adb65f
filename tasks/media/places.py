"""A position → the nearest town, its state and its country, offline; and a name → the towns that have it.

The gazetteer `data/places.npz` is made from GeoNames (CC BY 4.0; see `data/README.md`): 2 MB on disk. It is read
at the first question (0.03 s) and then costs 12 MB of memory; a look-up takes some 20 µs.
"""

import json
import math
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tzfpy

DATA_FILE: Final = Path(__file__).parent / "data" / "places.npz"
NEAR_KM: Final = 25.0
EARTH_RADIUS_KM: Final = 6371.0
PLACES_AT_MOST: Final = 20
ROWS: Final = 180  # cells of one degree, south to north, and in each row west to east
CELLS_PER_ROW: Final = 360


@dataclass(frozen=True, slots=True)
class Place:
    """Names in GeoNames' spelling, the country in English. City and state are None where no town is near."""

    city: str | None
    state: str | None
    country: str | None


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """A town that was asked for by name. Degrees; `state` may be empty."""

    name: str
    state: str
    country: str
    latitude: float
    longitude: float


@dataclass(frozen=True, slots=True, eq=False)
class _Gazetteer:
    """Towns ordered by cell; `cell_starts[c]` is the number of the first town of cell c. Coordinates in radians."""

    cell_starts: npt.NDArray[np.uint32]
    latitudes: npt.NDArray[np.float32]
    longitudes: npt.NDArray[np.float32]
    regions: npt.NDArray[np.uint16]
    name_ends: npt.NDArray[np.uint32]
    names: bytes
    region_names: list[tuple[str, str]]
    country_names: dict[str, str]
    country_of_zone: dict[str, str]


def nearest_place(latitude: float, longitude: float) -> Place | None:
    """The nearest town within 25 km; else the country alone; None at sea and off the Earth.

    Degrees. The country of a place far from any town is told by its time zone (tzfpy's borders, the tz database's
    table of countries): coarser than country polygons where a zone is disputed, and Antarctica has zones too.
    Source: spec jobs-media §1.3.
    """
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return None
    gazetteer = _gazetteer()
    town = _nearest_town(gazetteer, latitude, longitude)
    if town is None:
        code = gazetteer.country_of_zone.get(tzfpy.get_tz(longitude, latitude))
        return Place(None, None, _country(gazetteer, code)) if code else None
    code, state = gazetteer.region_names[gazetteer.regions[town]]
    return Place(_name(gazetteer, town), state or None, _country(gazetteer, code))


def find_places(name: str, limit: int = PLACES_AT_MOST) -> list[FoundPlace]:
    """Towns of this name, whatever the accents and the case; then those whose name begins so, then those that have it
    somewhere. The first call costs 0.2 s and some 4 MB; a later one at most a few milliseconds.
    """
    wanted = _plain(name).strip()
    if not wanted:
        return []
    gazetteer, names = _gazetteer(), _plain_names()
    towns: dict[int, None] = {}  # in the order in which they were found
    for pattern in (f"\n{wanted}\n", f"\n{wanted}", wanted):
        for town in _towns_with(names, pattern.encode()):
            if len(towns) == limit:
                break
            towns[town] = None
    return [_found_place(gazetteer, town) for town in towns]


def _towns_with(names: "_PlainNames", pattern: bytes) -> Iterator[int]:
    """The numbers of the towns in whose line the pattern is; one that begins with a line break begins the line."""
    at = names.text.find(pattern)
    while at >= 0:
        yield int(np.searchsorted(names.starts, at + pattern.startswith(b"\n"), side="right")) - 1
        at = names.text.find(pattern, at + 1)


def _found_place(gazetteer: _Gazetteer, town: int) -> FoundPlace:
    code, state = gazetteer.region_names[gazetteer.regions[town]]
    latitude, longitude = math.degrees(gazetteer.latitudes[town]), math.degrees(gazetteer.longitudes[town])
    return FoundPlace(_name(gazetteer, town), state, _country(gazetteer, code), round(latitude, 4), round(longitude, 4))


def _name(gazetteer: _Gazetteer, town: int) -> str:
    start = int(gazetteer.name_ends[town - 1]) if town else 0
    return gazetteer.names[start : int(gazetteer.name_ends[town])].decode()


@dataclass(frozen=True, slots=True, eq=False)
class _PlainNames:
    """All names without accents and case, a line each, between line breaks. `starts`: where each line begins."""

    text: bytes
    starts: npt.NDArray[np.uint32]


@cache
def _plain_names() -> _PlainNames:
    gazetteer = _gazetteer()
    lines = [_plain(_name(gazetteer, town)).encode() for town in range(len(gazetteer.name_ends))]
    lengths = np.array([len(line) + 1 for line in lines], dtype=np.uint32)
    starts = np.concatenate(([1], 1 + np.cumsum(lengths)[:-1])).astype(np.uint32)
    return _PlainNames(b"\n" + b"\n".join(lines) + b"\n", starts)


def _plain(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter)).lower()


def cell_of(latitude: float, longitude: float) -> int:
    """The number of the one-degree cell that holds a position."""
    row = min(math.floor(latitude) + 90, ROWS - 1)
    return row * CELLS_PER_ROW + (math.floor(longitude) + 180) % CELLS_PER_ROW


def _country(gazetteer: _Gazetteer, code: str) -> str:
    return gazetteer.country_names.get(code, code)


def _nearest_town(gazetteer: _Gazetteer, latitude: float, longitude: float) -> int | None:
    """The number of the nearest town within NEAR_KM."""
    towns = np.concatenate(
        [
            np.arange(gazetteer.cell_starts[cell], gazetteer.cell_starts[cell + 1])
            for cell in _cells(latitude, longitude)
        ]
    )
    if not len(towns):
        return None
    here_latitude, here_longitude = math.radians(latitude), math.radians(longitude)
    latitudes = gazetteer.latitudes[towns]
    # Haversine: exact enough for metres in 32 bits, and right across the date line and at the poles.
    north = np.sin((latitudes - here_latitude) / 2) ** 2
    east = np.sin((gazetteer.longitudes[towns] - here_longitude) / 2) ** 2
    squared_chords = north + math.cos(here_latitude) * np.cos(latitudes) * east
    nearest = int(np.argmin(squared_chords))
    distance_km = 2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(float(squared_chords[nearest]))))
    return int(towns[nearest]) if distance_km <= NEAR_KM else None


def _cells(latitude: float, longitude: float) -> list[int]:
    """The cells that come within NEAR_KM of a position: one to four, more towards the poles."""
    reach = math.degrees(NEAR_KM / EARTH_RADIUS_KM)
    south, north = max(latitude - reach, -90.0), min(latitude + reach, 90.0)
    narrowest = math.cos(math.radians(max(abs(south), abs(north))))
    reach_east = reach / narrowest if narrowest > reach / 180 else 180.0
    first = math.floor(longitude - reach_east)
    columns = range(first, min(math.floor(longitude + reach_east), first + CELLS_PER_ROW - 1) + 1)
    rows = range(math.floor(south), min(math.floor(north), 89) + 1)
    return [cell_of(row, column) for row in rows for column in columns]


@cache
def _gazetteer() -> _Gazetteer:
    with np.load(DATA_FILE, allow_pickle=False) as stored:
        starts = stored["cell_starts"]
        cells = np.repeat(np.arange(ROWS * CELLS_PER_ROW), np.diff(starts))
        words: dict[str, Any] = json.loads(stored["words"].tobytes())
        return _Gazetteer(
            cell_starts=starts,
            latitudes=_radians(cells // CELLS_PER_ROW - 90, stored["latitudes"]),
            longitudes=_radians(cells % CELLS_PER_ROW - 180, stored["longitudes"]),
            regions=stored["regions"],
            name_ends=np.cumsum(stored["name_lengths"], dtype=np.uint32),
            names=stored["names"].tobytes(),
            region_names=[(country, state) for country, state in words["regions"]],
            country_names=words["countries"],
            country_of_zone=words["zones"],
        )


def _radians(cells: npt.NDArray[np.int64], offsets: npt.NDArray[np.uint16]) -> npt.NDArray[np.float32]:
    return np.radians(cells + (offsets + 0.5) / 65536).astype(np.float32)
