# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What commands print: tables and progress through rich, --json. Colours and progress only on a terminal."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

WIDE = 10_000  # columns of output that goes to a file or pipe: nothing is wrapped or cut

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def console(*, stderr: bool = False) -> Console:
    """For tables and styled text on standard output or error, without colours unless that is a terminal.

    Strings are shown as they are, with no markup in them: names of files and hosts are what others chose. Use Text for
    style.
    """
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDE
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False, markup=False, emoji=False)


def progress(*, streaming: bool = False) -> Progress:
    """A display of long work, on standard error, and only if that is a terminal. It vanishes at the end.

    streaming: the command prints as it goes on, so there is none if standard output is a terminal, too.
    """
    text = TextColumn("{task.description}", markup=False)
    columns = SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    shown = sys.stderr.isatty() and not (streaming and sys.stdout.isatty())
    return Progress(*columns, console=console(stderr=True), transient=True, disable=not shown)


def plain(value: Any) -> Any:
    """For json.dumps(default=...): dataclasses as objects, bytes as hex, paths as strings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def print_json(value: Any) -> None:
    """Names that are no valid UTF-8 come out as lone surrogates (\\udcXX), as Python reads them back."""
    click.echo(json.dumps(value, default=plain, indent=2))
