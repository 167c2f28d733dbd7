# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Types of options."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path
from typing import Any

import click

from pybuildid.cli._standard_output import NAMES, STANDARD_OUTPUT, take_standard_output


class Range(click.FloatRange):
    """click's lets "nan" through, which is neither too small nor too large."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Pid(click.IntRange):
    """click speaks of a "valid integer range"."""

    def __init__(self) -> None:
        super().__init__(1)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return int(super().convert(value, param, ctx))
        except click.BadParameter:
            self.fail(f"{value!r} is not a process number.", param, ctx)


class OutputFile(click.Path):
    """A file to write; - is standard output. If it cannot be written, that is said before the work, not after."""

    def __init__(self, *, dash: bool = True, binary: bool = False) -> None:
        """dash: whether it may be standard output. binary: what is written is not for a terminal."""
        super().__init__(dir_okay=False, path_type=Path, allow_dash=dash)
        self.binary = binary

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        name = os.fsdecode(value)
        if not name:  # Path("") is the directory "."
            self.fail("the name of a file is needed.", param, ctx)
        if name in NAMES:
            return self._standard_output(param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if path == STANDARD_OUTPUT:  # ./-
            path = path.absolute()
        if not path.parent.is_dir():
            self.fail(f"there is no directory {str(path.parent)!r} to write it into.", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{str(path)!r} may not be written.", param, ctx)
        return path

    def _standard_output(self, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        if not self.allow_dash:
            self.fail("it is read as well: give a file, not standard output.", param, ctx)
        if self.binary and sys.stdout.isatty():
            self.fail("a profile is not for a terminal: redirect standard output.", param, ctx)
        if ctx and param:
            take_standard_output(ctx, param.opts[-1])
        return STANDARD_OUTPUT


class Offset(click.IntRange):
    """An offset in a file, in decimal or, after 0x, hexadecimal figures."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(super().convert(int(value, 0) if isinstance(value, str) else value, param, ctx))
        except (ValueError, click.BadParameter):
            number = 2**63
        if number >= 2**63:
            self.fail(f"{value!r} is not an offset such as 4096 or 0x1000.", param, ctx)
        return number
