# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Types of options."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import click


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
    """A file to write. If it cannot be written, that is said before the work, not after."""

    def __init__(self, *, dash: bool = False) -> None:
        """dash: - is standard output."""
        super().__init__(dir_okay=False, path_type=Path, allow_dash=dash)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not os.fspath(value):  # Path("") is the directory "."
            self.fail("the name of a file is needed.", param, ctx)
        path = Path(os.fsdecode(super().convert(value, param, ctx)))
        if self.allow_dash and path == Path("-"):
            return path
        if not path.parent.is_dir():
            self.fail(f"there is no directory {str(path.parent)!r} to write it into.", param, ctx)
        if not os.access(path if path.exists() else path.parent, os.W_OK):
            self.fail(f"{str(path)!r} may not be written.", param, ctx)
        return path


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
