# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""--json FILE, which every command has in this form: FILE gets JSON besides; with -, standard output gets it alone."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

import click

from pybuildid.cli._standard_output import STANDARD_OUTPUT, standard_output
from pybuildid.cli._types import OutputFile

json_option = click.option(
    "--json",
    "json_file",
    type=OutputFile(),
    metavar="FILE",
    help="Also write JSON to FILE; with -, to standard output, and nothing else there.",
)


def plain(value: Any) -> Any:
    """For json.dumps(default=...): dataclasses as objects, bytes as hex, paths as strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def _open(file: Path) -> TextIO:
    return standard_output() if file == STANDARD_OUTPUT else open(file, "w", encoding="utf-8")


def _close(stream: TextIO, file: Path) -> None:
    stream.flush() if file == STANDARD_OUTPUT else stream.close()


def write_json(file: Path | None, value: Callable[[], Any]) -> bool:
    """Writes what --json asks for, if it is given. Returns whether text is to follow, and not if standard output is
    taken. Names that are no valid UTF-8 come out as lone surrogates (\\udcXX), as Python reads them back."""
    if file is None:
        return True
    stream = _open(file)
    try:
        stream.write(json.dumps(value(), default=plain, indent=2) + "\n")
    finally:
        _close(stream, file)
    return file != STANDARD_OUTPUT


Row = TypeVar("Row")


def passed_as_json(
    file: Path | None, rows: Iterable[Row], *, to_json: Callable[[Row], Any] = plain, at_once: bool = False
) -> Iterator[Row]:
    """Passes rows on, and writes each to the file as it passes: one array, a row in a line. at_once: where rows come
    slowly, so that whoever reads the file has each when it comes."""
    if file is None:
        yield from rows
        return
    stream, before = _open(file), "[\n"
    try:
        for row in rows:
            stream.write(before + json.dumps(to_json(row), default=plain))
            before = ",\n"
            if at_once:
                stream.flush()
            yield row
        stream.write("[]\n" if before == "[\n" else "\n]\n")
    finally:
        _close(stream, file)
