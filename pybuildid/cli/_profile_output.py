# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where `profile` and `record` write what they found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from pybuildid.cli._errors import explain, printable
from pybuildid.cli._json import json_option
from pybuildid.cli._output import console
from pybuildid.cli._standard_output import STANDARD_OUTPUT, standard_output
from pybuildid.cli._types import OutputFile
from pybuildid.stacks.memory import bounded

if TYPE_CHECKING:
    from pybuildid.stacks.model import StackProfile


def output_options(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-o, --text, --json, --report and --no-symbols."""
    options = (
        click.option(
            "-o",
            "--output",
            default=default,
            show_default=True,
            type=OutputFile(binary=True),
            help="Write the profile here, for pprof.",
        ),
        click.option(
            "--text",
            is_flag=True,
            help="Report the sampled files in the format of `eu-unstrip -n`. Spaces in names are \\040.",
        ),
        json_option,
        click.option(
            "--report", "report_to", type=OutputFile(), help="Write the report here instead of to standard error."
        ),
        click.option("--no-symbols", is_flag=True, help="Do not look for names of functions."),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def report_file(path: Path | None) -> AbstractContextManager[TextIO]:
    if path == STANDARD_OUTPUT:
        return nullcontext(standard_output())
    return open(path, "w", encoding="utf-8", errors="surrogateescape") if path else nullcontext(sys.stderr)


@bounded()
def name_functions(path: Path, stream: TextIO, quiet: bool) -> None:
    """Writes names into the profile, and prints a table of functions after the report. If that fails, the profile stays
    as it was."""
    from pybuildid.cli._names import SECONDS, add_names, functions_table, report_files
    from pybuildid.symbols import Search

    def shown(profile: StackProfile) -> None:
        if not quiet:
            console(file=stream, wide=True).print(functions_table(profile, 10))

    try:
        files, late = add_names(path, path, Search(), SECONDS, shown)
    except (Exception, KeyboardInterrupt) as error:  # whatever it is: the command's status is to be passed on
        console(stderr=True).print(f"No names of functions: {printable(explain(error))}")
        return
    if not quiet:
        report_files(files, late, console(file=stream))
