# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of files as commands print them: lines as of `perf buildid-list`, a table, and as JSON."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import complain, printable
from pybuildid.cli._json import json_option, passed_as_json
from pybuildid.cli._output import console, print_table
from pybuildid.cli._standard_output import STANDARD_OUTPUT

Show = Callable[[Iterable["Answer"]], None]


@dataclass(frozen=True)
class Answer:
    """A line of the output. build_id: None if the file has none, or error says why it could not be read."""

    path: str
    build_id: bytes | None
    error: str | None = None


def show_lines(answers: Iterable[Answer], end: bytes = b"\n") -> None:
    """A program gets paths as the bytes that they are. On a terminal, characters that would move its cursor become
    escapes."""
    out, encode = sys.stdout.buffer, _shown if sys.stdout.isatty() else os.fsencode
    for answer in answers:
        if not answer.error:
            build_id = answer.build_id.hex() if answer.build_id else "-"
            out.write(build_id.encode() + b" " + encode(answer.path) + end)
    out.flush()


def _shown(path: str) -> bytes:
    return printable(path).encode(sys.stdout.encoding, "backslashreplace")


def show_nothing(answers: Iterable[Answer]) -> None:
    """Prints nothing: JSON has standard output."""
    for _ in answers:
        pass


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


#: Forms of output, by name: the flags, what shows it, and the help.
FORMS: dict[str, tuple[tuple[str, ...], Show, str]] = {
    "bare": (("-b", "--bare"), show_ids, "Print the build IDs alone."),
    "null": (("-0", "--null"), show_null, "End lines with a NUL, for `xargs -0`: names may have newlines in them."),
    "table": (("--table",), show_table, "Print a table."),
}


@dataclass(frozen=True)
class Output:
    """What the options of output ask for."""

    form: Show
    json_file: Path | None

    @property
    def streaming(self) -> bool:
        """Whether lines are printed as files are read."""
        return self.form is show_lines

    def __call__(self, answers: Iterable[Answer]) -> None:
        self.form(passed_as_json(self.json_file, answers))


def output_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """An option for each of these forms, of which one may be given, and --json: the argument `show`."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def with_form(json_file: Path | None, **arguments: Any) -> Any:
            given = [name for name in names if arguments.pop(name)]
            alone = ["json -"] if json_file == STANDARD_OUTPUT else []
            if len(given + alone) > 1:
                raise click.UsageError(f"give one of {' and '.join(f'--{name}' for name in given + alone)}")
            form = FORMS[given[0]][1] if given else show_nothing if alone else show_lines
            return command(**arguments, show=Output(form, json_file))

        decorated: Callable[..., Any] = json_option(with_form)
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
