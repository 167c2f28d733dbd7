# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Censuses of several hosts: as JSON, from JSON and Parquet files or any engine's rows, and summed up by merge().

A host's JSON is one object: "schema", "version", and the fields of Census by their names. Readers leave out fields that
they do not know, and numbers that may be unknown may be missing, so fields may be added; the version grows when one
changes its meaning or goes.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import reprlib
import statistics
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Union

from pybuildid._files import read_input
from pybuildid.census import Census, Limit, Slab

__all__ = [
    "SCHEMA",
    "VERSION",
    "CensusFormatError",
    "Fleet",
    "Total",
    "from_row",
    "merge",
    "read",
    "read_files",
    "to_json",
]

SCHEMA = "pybuildid-census"
FLEET_SCHEMA = "pybuildid-fleet"
VERSION = 1

StrPath = Union[str, "PathLike[str]"]


class CensusFormatError(ValueError):
    """A file or row that is no census. source: which; problem: what is wrong, and what to do."""

    def __init__(self, source: str, problem: str) -> None:
        super().__init__(source, problem)
        self.source = source
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.source}: {self.problem}"


# ------------------------------------------------------------------------------------------------ one host


def to_json(census: Census) -> dict[str, Any]:
    """For json.dump(), or as a row of any engine."""
    return {"schema": SCHEMA, "version": VERSION, **dataclasses.asdict(census)}


def _number(value: object) -> int | float:
    """An engine may give whole numbers of a column with gaps as floats, or as an integer type of its own."""
    if isinstance(value, (str, bytes, bool)) or value is None:
        raise ValueError
    number = float(value)  # type: ignore[arg-type]
    if not 0 <= number < 2**63:
        raise ValueError
    return int(number) if number == int(number) else number


def _whole(value: object) -> int:
    number = _number(value)
    if not isinstance(number, int):
        raise ValueError
    return number


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _slabs(value: object) -> tuple[Slab, ...]:
    return tuple(Slab(_text(row["name"]), *(_whole(row[name]) for name in _SLAB_NUMBERS)) for row in _rows(value))


def _limits(value: object) -> tuple[Limit, ...]:
    return tuple(
        Limit(_text(row["what"]), _text(row["remedy"]), tuple(map(_text, row["processes"]))) for row in _rows(value)
    )


def _rows(value: Any) -> list[Mapping[str, Any]]:
    rows = list(value)
    if not all(isinstance(row, Mapping) for row in rows):
        raise ValueError
    return rows


_SLAB_NUMBERS = [field.name for field in dataclasses.fields(Slab)][1:]
_KINDS = {
    "int": (_whole, "a whole number"),
    "float": (_number, "a number"),
    "str": (_text, "a text"),
    "tuple[Slab, ...]": (_slabs, "a list of slabs"),
    "tuple[Limit, ...]": (_limits, "a list of limits"),
}


def from_row(row: Mapping[str, Any], source: str = "row") -> Census:
    """A census from to_json()'s form: from JSON, or a row of the user's own engine. Raises CensusFormatError."""
    if not isinstance(row, Mapping) or row.get("schema") != SCHEMA:
        raise CensusFormatError(
            source, f'no census (no "schema": "{SCHEMA}"): make one with `pybuildid census --json FILE`'
        )
    version = row.get("version")
    if version != VERSION:
        newer = f"a newer pybuildid wrote it (version {version}, this one reads {VERSION}): upgrade this one"
        is_newer = isinstance(version, int) and version > VERSION
        raise CensusFormatError(source, newer if is_newer else f"the version is {version!r}, not {VERSION}")
    return Census(**{field.name: _field(row, field.name, str(field.type), source) for field in _FIELDS})


def _field(row: Mapping[str, Any], name: str, kind: str, source: str) -> Any:
    kind, _, optional = kind.partition(" | ")
    value = row.get(name)
    if optional and (value is None or value != value):  # an engine may show a gap as NaN
        return None
    if name not in row:
        raise CensusFormatError(source, f'"{name}" is missing: make the census anew')
    convert, expected = _KINDS[kind]
    try:
        return convert(value)
    except (ValueError, TypeError, KeyError, OverflowError):
        shown = reprlib.repr(value)[:40]
        raise CensusFormatError(source, f'"{name}" must be {expected}, not {shown}') from None


_FIELDS = dataclasses.fields(Census)


# ------------------------------------------------------------------------------------------------ files


def read(path: StrPath) -> Iterator[Census]:
    """The censuses in a file: JSON (one host, an array, a fleet, or one object a line), or Parquet with a row for each.

    Parquet is told by the file's first bytes, and read by pyarrow or duckdb, whichever is installed. JSON may also come
    through a pipe, up to 64 MiB of it. Raises CensusFormatError, OSError, and ImportError where neither is.
    """
    name = fspath(path)
    data = read_input(path)
    rows = _parquet(name) if data[:4] == b"PAR1" else _json(name, data)
    if not rows:
        raise CensusFormatError(name, "there is no host in it: make one with `pybuildid census --json FILE`")
    for number, row in enumerate(rows, 1):
        yield from_row(row, name if len(rows) == 1 else f"{name}, host {number}")


def read_files(paths: Iterable[StrPath]) -> Iterator[Census]:
    """Those of several files, for merge(). Where two are of one host, CensusFormatError names the files."""
    files: dict[str, str] = {}
    for path in paths:
        for census in read(path):
            if census.host in files:
                names = dict.fromkeys([files[census.host], fspath(path)])
                raise CensusFormatError(" and ".join(names), f"two censuses of host {census.host}: give one of them")
            files[census.host] = fspath(path)
            yield census


def _json(source: str, data: bytes) -> list[Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        lines = [line for line in data.splitlines() if line.strip()]
        try:
            return [json.loads(line) for line in lines] or [{}]
        except (ValueError, RecursionError):
            raise CensusFormatError(
                source, f"neither JSON nor Parquet ({error}): make one with `pybuildid census --json FILE`"
            ) from None
    if isinstance(value, dict) and value.get("schema") == FLEET_SCHEMA and isinstance(value.get("hosts"), list):
        value = value["hosts"]
    return value if isinstance(value, list) else [value]


def _parquet(path: str) -> list[dict[str, Any]]:
    for name, load in (("pyarrow.parquet", _from_pyarrow), ("duckdb", _from_duckdb)):
        try:
            engine = importlib.import_module(name)
        except ImportError:
            continue
        try:
            return load(engine, path)
        except Exception as error:  # each engine has its own; all mean that the file is broken
            raise CensusFormatError(
                path, f"not readable as Parquet ({' '.join(str(error).split())}): write it again"
            ) from error
    raise ImportError(f"{path}: Parquet needs duckdb or pyarrow: pip install 'pybuildid[parquet]'")


def _from_pyarrow(parquet: Any, path: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


def _from_duckdb(duckdb: Any, path: str) -> list[dict[str, Any]]:
    with duckdb.connect() as connection:
        result = connection.execute("SELECT * FROM read_parquet(?)", [path])
        names = [column[0] for column in result.description]
        return [dict(zip(names, row)) for row in result.fetchall()]


# ------------------------------------------------------------------------------------------------ many hosts


@dataclass(frozen=True)
class Total:
    """A count over all hosts that know it."""

    name: str
    hosts: int
    sum: int
    median: float
    largest: int


@dataclass(frozen=True)
class Fleet:
    """hosts: by name. totals: one for each count of Census that some host knows."""

    hosts: tuple[Census, ...]
    totals: tuple[Total, ...]

    def to_json(self) -> dict[str, Any]:
        totals = [dataclasses.asdict(total) for total in self.totals]
        return {"schema": FLEET_SCHEMA, "version": VERSION, "hosts": list(map(to_json, self.hosts)), "totals": totals}


COUNTS = tuple(field.name for field in _FIELDS if str(field.type) in ("int", "int | None") and field.name != "time")


def merge(censuses: Iterable[Census]) -> Fleet:
    """Sums hosts up. Raises CensusFormatError where two censuses are of one host: give the later one alone."""
    hosts: dict[str, Census] = {}
    for census in censuses:
        if census.host in hosts:
            raise CensusFormatError(census.host, "two censuses are of this host: give one of them")
        hosts[census.host] = census
    ordered = tuple(hosts[name] for name in sorted(hosts))
    return Fleet(ordered, tuple(_totals(ordered)))


def _totals(hosts: tuple[Census, ...]) -> Iterator[Total]:
    for name in COUNTS:
        values = [value for value in (getattr(host, name) for host in hosts) if value is not None]
        if values:
            yield Total(name, len(values), sum(values), statistics.median(values), max(values))
