# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Build IDs of files as commands print them: lines as of `perf buildid-list`, a table, or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import complain
from pybuildid.cli._output import console, plain

Show = Callable[[Iterable["Answer"]], None]


@dataclass(frozen=True)
class Answer:
    """A line of the output. build_id: None if the file has none, or error says why it could not be read."""

    path: str
    build_id: bytes | None
    error: str | None = None


def show_lines(answers: Iterable[Answer]) -> None:
    """Paths as the bytes that they are, whatever they are in the terminal's encoding."""
    out = sys.stdout.buffer
    for answer in answers:
        if not answer.error:
            build_id = answer.build_id.hex() if answer.build_id else "-"
            out.write(build_id.encode() + b" " + os.fsencode(answer.path) + b"\n")
    out.flush()


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
            table.add_row(build_id, Text(click.format_filename(answer.path)))
    console().print(table)


def show_json(answers: Iterable[Answer]) -> None:
    """One array, a line for each file, printed as they are read."""
    out = sys.stdout
    before = "[\n"
    for answer in answers:
        out.write(before + json.dumps(plain(answer), default=plain))
        before = ",\n"
    out.write("[]\n" if before == "[\n" else "\n]\n")


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """--table and --json: the argument `show`."""
    for name, show, text in (
        ("--json", show_json, "Print a JSON array of objects with path, build_id and error."),
        ("--table", show_table, "Print a table."),
    ):
        command = click.option(name, "show", flag_value=show, type=click.UNPROCESSED, help=text)(command)
    return command


def complaining(answers: Iterable[Answer], failures: list[str]) -> Iterable[Answer]:
    """Passes the answers on, prints a line on standard error for each that is an error, and counts it."""
    for answer in answers:
        if answer.error:
            complain(answer.error)
            failures.append(answer.error)
        yield answer
