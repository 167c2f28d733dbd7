# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Stacks as a table in Parquet, by DuckDB: a row for each stack with its labels."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from pybuildid.stacks.model import FALLBACK, Line, Location, StackProfile, ValueType, thread_name
from pybuildid.stacks.pprof import StrPath

LISTS = {"functions": "VARCHAR[]", "files": "VARCHAR[]", "build_ids": "VARCHAR[]", "offsets": "UBIGINT[]"}
LINES = {"sources": "VARCHAR[]", "lines": "BIGINT[]"}
TEXTS = {"thread": "VARCHAR", "missing": "VARCHAR"}


def write_parquet(profile: StackProfile, path: StrPath) -> None:
    """Columns: one for each value, such as samples and cpu; thread; missing: why something was not resolved; and lists,
    the outermost function first: functions, files, build_ids, offsets in these files, sources and lines.

    What is not UTF-8 in a text becomes question marks. Raises ImportError without DuckDB, and OSError if that fails."""
    try:
        import duckdb
    except ImportError as error:
        raise ImportError("Parquet needs DuckDB: pip install 'pybuildid[parquet]'", name=error.name) from None
    kinds = _kinds(profile.types)
    columns = {**dict.fromkeys(kinds, "BIGINT"), **TEXTS, **LISTS, **LINES}
    target = os.path.realpath(path)
    with tempfile.TemporaryDirectory(prefix=".pybuildid-", dir=os.path.dirname(target)) as folder:
        rows, made = os.path.join(folder, "rows.json"), os.path.join(folder, "made.parquet")
        with open(rows, "w", encoding="utf-8", errors="replace") as file:
            for row in _rows(profile, kinds):
                file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")
        types = ", ".join(f"{_quoted(name)}: {_quoted(kind)}" for name, kind in columns.items())
        source = f"read_json({_quoted(rows)}, format='newline_delimited', columns={{{types}}})"
        try:
            with duckdb.connect() as engine:
                engine.execute(f"COPY (SELECT * FROM {source}) TO {_quoted(made)} (FORMAT parquet, COMPRESSION zstd)")
        except (duckdb.Error, RuntimeError) as error:  # the latter for paths that are no UTF-8
            raise OSError(f"{os.fspath(path)}: DuckDB could not write it: {error}") from error
        os.chmod(made, 0o644)
        os.replace(made, target)


def _kinds(types: Sequence[ValueType]) -> list[str]:
    """A column for each: by its name, unless another column has that. To DuckDB capitals are as small letters."""
    taken, found = {"", *TEXTS, *LISTS, *LINES}, []
    for at, each in enumerate(types):
        name = each.kind.encode("utf-8", "replace").decode()
        found.append(name if name.lower() not in taken and "\0" not in name else f"value_{at}")
        taken.add(found[-1].lower())
    return found


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _rows(profile: StackProfile, kinds: list[str]) -> Iterator[dict[str, Any]]:
    places = [_place(profile, location) for location in profile.locations]
    for sample in profile.samples:
        found = [frame for number in reversed(sample.stack) for frame in places[number - 1]]
        lists = map(list, zip(*found)) if found else [[] for _ in (*LISTS, *LINES)]
        yield {
            **dict(zip(kinds, sample.values)),
            "thread": thread_name(sample) or None,
            "missing": sample.label(FALLBACK) or None,
            **dict(zip((*LISTS, *LINES), lists)),
        }


def _place(profile: StackProfile, location: Location) -> list[tuple[Any, ...]]:
    """Its functions, the outermost first."""
    mapping, offset = profile.mapping(location), profile.file_offset(location) & (1 << 64) - 1  # whatever it says
    where = (mapping.path, mapping.build_id) if mapping else (None, None)
    return [
        (line.name or None, *where, offset, line.file or None, line.line)
        for line in reversed(location.lines or (Line(""),))
    ]
