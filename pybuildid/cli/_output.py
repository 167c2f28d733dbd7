# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What commands print: tables and progress through rich. Colours and progress only on a terminal."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Column, Table

from pybuildid.cli._errors import printable

WIDE = 100_000  # columns of output that goes to a file or pipe: more than any row has, a path with escapes included
LINE_SECONDS = 5  # between two lines that say what is going on, where there is no terminal
FOLDED = 20  # columns down to which a cell may be folded, such as a path


class _Lines:
    """What a Status shows on a terminal, for a file or a pipe: a line every LINE_SECONDS that says what is going on."""

    def __init__(self, out: Console, text: RenderableType) -> None:
        self._out, self._text, self._over = out, text, Event()
        self._thread = Thread(target=self._print, daemon=True)

    def update(self, text: RenderableType) -> None:
        self._text = text

    def __enter__(self) -> _Lines:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _print(self) -> None:
        while not self._over.wait(LINE_SECONDS):
            self._out.print(self._text, soft_wrap=True)


class _Passing:
    """What a Status shows on a terminal. If that is gone, the work goes on without it."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def update(self, text: RenderableType) -> None:
        with suppress(OSError):
            self._status.update(text)

    def __enter__(self) -> _Passing:
        with suppress(OSError):
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(OSError):
            self._status.stop()


class _Console(Console):
    def status(self, status: RenderableType, **options: Any) -> Any:
        return _Passing(super().status(status, **options)) if self.is_terminal else _Lines(self, status)

    def on_broken_pipe(self) -> None:
        """From Rich, in its `except BrokenPipeError`: it would exit with 1, and guarded() knows what this means."""
        raise


def console(*, stderr: bool = False, wide: bool = False, file: TextIO | None = None) -> Console:
    """For tables and styled text on standard output or error, or a file, without colours unless that is a terminal.

    Strings are shown as they are, with no markup in them: names of files and hosts are what others chose. Use Text for
    style.

    wide: each row is one line, which a terminal wraps where it is too narrow.
    """
    stream = file or (sys.stderr if stderr else sys.stdout)
    width = None if stream.isatty() and not wide else WIDE
    return _Console(file=stream, width=width, highlight=False, soft_wrap=False, markup=False, emoji=False)


def say_written(file: Path, of: str = "") -> None:
    console().print(f"Written: {printable(str(file))}{of}")


def print_table(out: Console, table: Table) -> None:
    """Prints a table in which nothing is cut, whatever the terminal's width.

    Cells are wrapped between words, and those of columns with overflow="fold" anywhere, down to FOLDED columns. Where
    that is not enough, lines are longer than the terminal is wide, and it wraps them.
    """
    width = out.width
    excess = Measurement.get(out, out.options.update(width=WIDE), table).maximum - width
    if excess > 0:
        out.width += _narrow(table, excess)
    out.print(table)
    out.width = width


def _narrow(table: Table, excess: int) -> int:
    """Gives the columns widths that are smaller by this in all, taken from the widest. Returns what is still too
    much."""
    widths, least = map(list, zip(*map(_widths, table.columns)))
    while excess and (spare := [i for i, width in enumerate(widths) if width > least[i]]):
        widths[max(spare, key=widths.__getitem__)] -= 1
        excess -= 1
    for column, width in zip(table.columns, widths):
        column.width = width
    return excess


def _widths(column: Column) -> tuple[int, int]:
    """The widths of a column: with its cells on one line, and the least."""
    texts = [str(text) for text in (column.header, *column.cells)]
    whole = max(cell_len(line) for text in texts for line in text.split("\n"))
    if column.no_wrap:
        return whole, whole
    word = max((cell_len(word) for text in texts for word in text.split()), default=0)
    return whole, min(word, FOLDED) if column.overflow == "fold" else word


def progress(*, streaming: bool = False) -> Progress:
    """A display of long work, on standard error, and only if that is a terminal. It vanishes at the end.

    streaming: the command prints as it goes on, so there is none if standard output is a terminal, too.
    """
    text = TextColumn("{task.description}", markup=False)
    columns = SpinnerColumn(), text, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    shown = sys.stderr.isatty() and not (streaming and sys.stdout.isatty())
    return Progress(*columns, console=console(stderr=True), transient=True, disable=not shown)
