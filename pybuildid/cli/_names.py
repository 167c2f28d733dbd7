# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Names for the addresses of a profile, as commands look for them and show them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import printable
from pybuildid.cli._output import console, progress
from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.pprof import StrPath, read_pprof, write_pprof
from pybuildid.stacks.totals import FunctionKey, Totals, function_totals
from pybuildid.symbols import FileNames, Search, Symbolizer, is_wanted
from pybuildid.symbols.debuginfod import Client

SECONDS = 60.0  #: for servers, unless another limit is given
ROWS = 15
FILES = 8  #: that are told of, those with most addresses first


def add_names(
    source: StrPath, target: StrPath, search: Search, seconds: float, shown: Callable[[StackProfile], object]
) -> tuple[list[FileNames], bool]:
    """Reads a profile, and writes it with names. shown: is told of it when it has those of this machine, and again when
    it has more from servers. What became of each file, and whether the time for servers was too short."""
    profile = read_pprof(source)
    with Symbolizer(profile, search) as symbolizer:
        symbolizer.name()
        shown(profile)
        before = list(profile.locations)
        late = False
        if seconds and is_wanted() and symbolizer.missing():
            try:
                late = _ask(symbolizer, seconds)
            except KeyboardInterrupt:
                late = True  # what has come until then is of use
            if profile.locations != before:
                shown(profile)
        write_pprof(profile, target)
        return symbolizer.files, late


def _ask(symbolizer: Symbolizer, seconds: float) -> bool:
    files = symbolizer.missing()
    with progress() as bar:
        task = bar.add_task("Asking debuginfod", total=len(files))

        def step(file: FileNames) -> None:
            bar.update(task, advance=int(begun[0]), description=f"Asking debuginfod for {_short(file)}")
            begun[0] = True

        begun = [False]
        with Client(seconds, lambda done, total: _bytes(bar, task, done, total)) as client:
            symbolizer.ask(client, step)
    for failure in sorted(client.failures):
        console(stderr=True).print(f"debuginfod could not be asked: {failure}.")
    return client.late


def _bytes(bar: Progress, task: TaskID, done: int, total: int) -> None:
    if done:
        text = bar.tasks[0].description.partition(" (")[0]
        bar.update(task, description=f"{text} ({done >> 20:,} of {total >> 20:,} MiB)")


def _short(file: FileNames) -> str:
    return printable(Path(file.path).name or file.build_id)


# ------------------------------------------------------------------------------------------------ what is shown


def functions_table(profile: StackProfile, rows: int = ROWS) -> Table:
    """The functions with the most samples."""
    value = profile.value_index()
    totals, whole = function_totals(profile, value)
    return _table(totals, whole, profile.types[value].kind if profile.types else "samples", rows)


def _table(totals: dict[FunctionKey, Totals], whole: int, kind: str, rows: int) -> Table:
    calls = any(each.alone != each.total for each in totals.values())
    table = Table(kind, "share", *(["with calls"] if calls else []), "function", "file", box=None)
    for key, each in sorted(totals.items(), key=lambda item: (-item[1].alone, -item[1].total, item[0]))[:rows]:
        shares = [_share(each.alone, whole), *([_share(each.total, whole)] if calls else [])]
        table.add_row(f"{each.alone:,}", *shares, Text(printable(key.name)), Text(printable(key.module)))
    return table


def _share(count: int, of: int) -> str:
    return f"{100 * count / of:.1f}%" if of else ""


def report_files(files: Sequence[FileNames], late: bool, out: Console) -> None:
    """How many addresses have names, and for each file that lacks some, why."""
    addresses, named = sum(file.addresses for file in files), sum(file.named for file in files)
    out.print(f"{named:,} of {addresses:,} addresses in files have names.")
    lacking = [file for file in files if file.problem]
    for file in lacking[:FILES]:
        out.print(f"{printable(file.path or file.build_id)}: {printable(file.problem)}.")
    if lacking[FILES:]:
        out.print(f"{len(lacking) - FILES:,} more files lack names: `pybuildid symbolize --json -` tells why.")
    if late:
        out.print("The time for debuginfod was over before all was there: a higher --time-limit helps, or another try.")


def check_folders(ctx: click.Context, parameter: click.Parameter, folders: tuple[str, ...]) -> tuple[str, ...]:
    for folder in folders:
        with suppress(OSError):
            if not Path(folder).exists():
                raise click.BadParameter(f"{folder}: there is no such file or folder")
    return folders
