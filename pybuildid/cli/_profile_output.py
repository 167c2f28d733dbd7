# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where `profile` and `record` write what they found."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TextIO

import click

from pybuildid.cli._json import json_option


def output_options(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """-o, --text, --json and --report."""
    file = click.Path(dir_okay=False, writable=True)
    options = (
        click.option(
            "-o", "--output", default=default, show_default=True, type=file, help="Write the profile here, for pprof."
        ),
        click.option(
            "--text",
            is_flag=True,
            help="Report the sampled files in the format of `eu-unstrip -n`. Spaces in names are \\040.",
        ),
        json_option,
        click.option("--report", "report_to", type=file, help="Write the report here instead of to standard error."),
    )

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def report_file(path: str | None) -> AbstractContextManager[TextIO]:
    return open(path, "w", encoding="utf-8", errors="surrogateescape") if path else nullcontext(sys.stderr)


def check_output(path: str) -> None:
    """Before the command runs, which may take long, rather than after it."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not os.path.exists(path) and not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
