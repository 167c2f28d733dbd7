# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of files as commands print them: lines as of `perf buildid-list`, a table, or JSON."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import complain, printable
from pybuildid.cli._output import console, plain, print_table

Show = Callable[[Iterable["Answer"]], None]


@dataclass(frozen=True)
class Answer:
    """A line of the output. build_id: None if the file has none, or error says why it could not be read."""

    path: str
    build_id: bytes | None
    error: str | None = None


def show_lines(answers: Iterable[Answer], end: bytes = b"\n") -> None:
    """For programs, paths as the bytes that they are; on a terminal, what would move its cursor as an escape."""
    out, encode = sys.stdout.buffer, _shown if sys.stdout.isatty() else os.fsencode
    for answer in answers:
        if not answer.error:
            build_id = answer.build_id.hex() if answer.build_id else "-"
            out.write(build_id.encode() + b" " + encode(answer.path) + end)
    out.flush()


def _shown(path: str) -> bytes:
    return printable(path).encode(sys.stdout.encoding, "backslashreplace")


def show_null(answers: Iterable[Answer]) -> None:
    show_lines(answers, b"\0")


def show_ids(answers: Iterable[Answer]) -> None:
    for answer in answers:
        if answer.build_id:
            click.echo(answer.build_id.hex())


def show_table(answers: Iterable[Answer]) -> None:
    table = Table()
    table.add_column("build ID", no_wrap=True)
    table.add_column("file", overflow="fold")
    for answer in answers:
        if not answer.error:
            build_id = Text(answer.build_id.hex(), "green") if answer.build_id else Text("-", "dim")
            table.add_row(build_id, Text(printable(answer.path)))
    print_table(console(), table)


def show_json(answers: Iterable[Answer]) -> None:
    """One array, a line for each file, printed as they are read."""
    out = sys.stdout
    before = "[\n"
    for answer in answers:
        out.write(before + json.dumps(plain(answer), default=plain))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


#: Forms of output, by name: the flags, what shows it, and the help.
FORMS: dict[str, tuple[tuple[str, ...], Show, str]] = {
    "bare": (("-b", "--bare"), show_ids, "Print the build IDs alone."),
    "null": (("-0", "--null"), show_null, "End lines with a NUL, for `xargs -0`: names may have newlines in them."),
    "table": (("--table",), show_table, "Print a table."),
    "json": (("--json",), show_json, "Print a JSON array of objects with path, build_id, error and more."),
}


def output_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each of these forms, of which one may be given: the argument `show`, or None."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_form(**arguments: Any) -> Any:
            given = [name for name in names if arguments.pop(name)]
            if len(given) > 1:
                raise click.UsageError(f"give one of {' and '.join(f'--{name}' for name in given)}")
            return command(**arguments, show=FORMS[given[0]][1] if given else None)

        decorated: Callable[..., Any] = with_form
        for name in reversed(names):
            flags, _, text = FORMS[name]
            decorated = click.option(*flags, name, is_flag=True, help=text)(decorated)
        return decorated

    return decorate


def complaining(answers: Iterable[Answer], failures: list[str]) -> Iterable[Answer]:
    """Passes the answers on, prints a line on standard error for each that is an error, and counts it."""
    for answer in answers:
        if answer.error:
            complain(answer.error)
            failures.append(answer.error)
        yield answer
