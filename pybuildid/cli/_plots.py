# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Plots as files: an option for commands, and how they write them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pybuildid.cli._standard_output import STANDARD_OUTPUT, output_path
from pybuildid.cli._types import OutputFile
from pybuildid.collisions import plot

Command = Callable[..., Any]


def plot_option(name: str, help: str) -> Callable[[Command], Command]:
    """An option that takes the name of an SVG file, or -."""
    return click.option(name, type=OutputFile(), callback=_check, help=help)


def _check(ctx: click.Context, parameter: click.Parameter, file: Path | None) -> Path | None:
    """Checks the name before any work is done."""
    if file not in (None, STANDARD_OUTPUT) and file.suffix != ".svg":
        raise click.BadParameter(f"{file}: plots are SVG; give a name that ends with .svg")
    return file


def write_plot(file: Path | None, draw: Callable[[], str]) -> None:
    """Draws and writes a plot, if it was asked for."""
    if file is not None:
        with output_path(file) as path:
            path.write_text(plot.standalone(draw()), encoding="utf-8")
