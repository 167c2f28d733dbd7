# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""- as the name of a file to write is standard output, which then has nothing else: of every option that names one."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO, cast

import click

STANDARD_OUTPUT = Path("-")
NAMES = ("-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")  #: opened anew, a file there would be cut off or replaced
_KEPT, _TAKER = "pybuildid.standard_output", "pybuildid.standard_output.taker"


def take_standard_output(ctx: click.Context, option: str) -> None:
    """Gives it to this option: whatever else the command prints goes to standard error. Raises UsageError if another
    option has it."""
    if _TAKER in ctx.meta:
        raise click.UsageError(f"standard output can have one of them: {ctx.meta[_TAKER]} or {option}")
    kept = ctx.meta[_KEPT] = sys.stdout
    ctx.meta[_TAKER] = option
    sys.stdout = sys.stderr

    @ctx.call_on_close
    def restore() -> None:
        sys.stdout = kept


def standard_output() -> TextIO:
    """The stream, for the option that has taken it."""
    return cast(TextIO, click.get_current_context().meta[_KEPT])


@contextmanager
def output_path(path: Path) -> Iterator[Path]:
    """Where to write what `path` is to have: there; or for -, in a file that standard output gets at the end."""
    if path != STANDARD_OUTPUT:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="pybuildid-") as folder:
        made = Path(folder, "output")
        yield made
        if made.exists():  # a profile without samples is not written
            with open(made, "rb") as file:
                out = standard_output()
                shutil.copyfileobj(file, out.buffer)
                out.flush()
