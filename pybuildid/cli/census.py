# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid census``: counts of this system, once or live, or of a fleet from several hosts' files."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, cast

import click
from rich.live import Live
from rich.table import Table

from pybuildid.census import Census, Limit, Method, Slab, UnsupportedCensusError, census, censuses, fleet
from pybuildid.census.designs import designs
from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, passed_as_json, write_json
from pybuildid.cli._output import console, print_table, progress
from pybuildid.cli._signals import Ending, ending
from pybuildid.cli._standard_output import STANDARD_OUTPUT
from pybuildid.cli._types import Range

LABELS = {
    "processes": "processes",
    "tasks": "tasks (threads of all processes)",
    "struct_files": "struct files, by the kernel's own counter",
    "descriptors": "descriptors, in all descriptor tables",
    "open_files": "  struct files behind them",
    "open_inodes": "  inodes behind them",
    "mapped_files": "struct files behind mappings",
    "only_mapped_files": "  that no descriptor holds",
    "other_files": "struct files that neither hold, about",
    "mapped_per_process": "inodes behind mappings, counted once per process",
    "mapped_inodes": "inodes behind mappings",
    "mapped_elf": "  ELF files",
    "mapped_build_ids": "  with a build ID",
    "cached_inodes": "inodes that the kernel caches",
    "unused_inodes": "  that nothing refers to",
}
FLEET_COLUMNS = {
    "tasks": "tasks",
    "struct_files": "struct files",
    "open_files": "open files",
    "mapped_files": "mapped files",
    "mapped_inodes": "mapped inodes",
    "mapped_elf": "ELF",
    "mapped_build_ids": "build IDs",
    "cached_inodes": "cached inodes",
}
SHOWN = 5  # processes that a limit names; --json has all


def numbers(title: str, first: str, *columns: str) -> Table:
    """A table whose columns but the first hold numbers."""
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def number(value: float | None) -> str:
    return "not known" if value is None else f"{value:,}".removesuffix(".0")  # of a median


METHODS = {"bpf": "BPF iterators", "proc": "/proc", "drgn": "/proc and drgn"}


def counts_table(counts: Census, since: Census | None = None) -> Table:
    """since: an earlier one, to show what has changed."""
    by = METHODS.get(counts.method, counts.method)
    title = f"{counts.host}, Linux {counts.kernel} {counts.machine}, by {by}, {counts.seconds:.1f} s"
    table = numbers(printable(title), "what", "number", *(["change"] if since else []))
    for name, label in LABELS.items():
        table.add_row(label, number(getattr(counts, name)), *([change(counts, since, name)] if since else []))
    return table


def change(counts: Census, since: Census, name: str) -> str:
    now, then = getattr(counts, name), getattr(since, name)
    return "" if now is None or then is None or now == then else f"{now - then:+,}"


def slabs_table(slabs: Iterable[Slab]) -> Table:
    table = numbers("Kernel objects", "slab cache", "objects", "bytes each", "in a slab", "bytes in all")
    for slab in slabs:
        row = (slab.objects, slab.object_bytes, slab.objects_per_slab, slab.total_bytes)
        table.add_row(printable(slab.name), *map(number, row))
    return table


def counted(hosts: int) -> str:
    return f"{hosts:,} host{'s' * (hosts != 1)}"


def designs_table(hosts: Iterable[Census]) -> Table:
    """For several hosts: each has a table of its own."""
    table = numbers("Memory of each design", "design", "pays for", "bytes")
    by_name: dict[str, list[Any]] = {}
    for host in hosts:
        for design in designs(host):
            by_name.setdefault(design.name, []).append(design)
    for name, of in by_name.items():
        known = [design.total_bytes for design in of if design.total_bytes is not None]
        pays = of[0].objects if len(of) == 1 else counted(len(known))
        table.add_row(name, pays, number(sum(known) if known else None))
    return table


def limit_line(limit: Limit) -> str:
    named = ", ".join(limit.processes[:SHOWN]) + (", ..." if len(limit.processes) > SHOWN else "")
    return f"Not seen: {limit.what}{f' ({named})' if named else ''}: {limit.remedy}"


def show_host(counts: Census) -> None:
    out = console()
    print_table(out, counts_table(counts))
    if counts.slabs:
        print_table(out, slabs_table(counts.slabs))
    print_table(out, designs_table([counts]))
    for limit in counts.limits:
        click.echo(printable(limit_line(limit)))


def show_fleet(found: fleet.Fleet) -> None:
    table = numbers(counted(len(found.hosts)), "host", *FLEET_COLUMNS.values())
    for host in found.hosts:
        table.add_row(printable(host.host), *(number(getattr(host, name)) for name in FLEET_COLUMNS))
    table.add_section()
    totals = {total.name: total for total in found.totals}
    for kind in ("sum", "median", "largest"):
        values = (getattr(totals[name], kind) if name in totals else None for name in FLEET_COLUMNS)
        table.add_row(kind, *map(number, values), style="bold")
    out = console()
    print_table(out, table)
    print_table(out, designs_table(found.hosts))
    limited = [printable(host.host) for host in found.hosts if host.limits]
    if limited:
        click.echo(f'Not seen everywhere: see "limits" of {counted(len(limited))} in their files, such as {limited[0]}')


def take(method: Method) -> Census:
    with progress() as display:
        task = display.add_task("processes", total=None)
        try:
            return census(method=method, progress=lambda done, of: display.update(task, completed=done, total=of))
        except UnsupportedCensusError as error:
            raise click.ClickException(str(error)) from error


def combine(files: Iterable[str]) -> fleet.Fleet:
    try:
        return fleet.merge(fleet.read_files(files))
    except fleet.CensusFormatError as error:
        raise click.ClickException(str(error)) from error
    except IsADirectoryError as error:
        raise click.ClickException(
            f"{error.filename}: a directory: name the files in it, such as its *.json"
        ) from error


# ---------------------------------------------------------------------------------------------------- watching


LINE = {
    "tasks": "{:,} tasks",
    "struct_files": "{:,} struct files",
    "open_files": "{:,} open",
    "mapped_files": "{:,} mapped",
    "only_mapped_files": "{:,} only mapped",
    "mapped_inodes": "{:,} inodes mapped",
    "mapped_elf": "{:,} ELF",
    "mapped_build_ids": "{:,} with a build ID",
}


class EndedError(Exception):
    """The watch is to end in the midst of a census."""


def repeated(method: Method, seconds: float, over: Ending) -> Generator[Census, None, None]:
    """A census every so many seconds, or as often as can be, until it is over."""

    def step(done: int, of: int) -> None:
        if over.is_set():
            raise EndedError

    with closing(censuses(method=method, progress=step)) as taken:
        while not over.is_set():
            due = time.monotonic() + seconds
            try:
                found = next(taken)
            except EndedError:
                return
            except UnsupportedCensusError as error:
                raise click.ClickException(str(error)) from error
            yield found
            over.wait(max(0.0, due - time.monotonic()))


def line(counts: Census) -> str:
    """Of a watch, where there is no terminal."""
    known = [text.format(value) for name, text in LINE.items() if (value := getattr(counts, name)) is not None]
    return f"{time.strftime('%H:%M:%S', time.localtime(counts.time))} {', '.join(known)}"


def watch(method: Method, seconds: float, json_file: Path | None) -> None:
    """Until SIGINT, SIGTERM or SIGHUP. On a terminal a table that is refreshed, elsewhere a line each time."""
    out = console()
    silent = json_file == STANDARD_OUTPUT
    first: Census | None = None
    live = Live(console=out, auto_refresh=False) if out.is_terminal and not silent else None
    with ending() as over, closing(repeated(method, seconds, over)) as taken, live or nullcontext():
        for counts in passed_as_json(json_file, taken, to_json=fleet.to_json, at_once=True):
            if not first:
                first = counts
                for limit in counts.limits:
                    click.echo(printable(limit_line(limit)), err=True)
            if live:
                live.update(counts_table(counts, since=first), refresh=True)
            elif not silent:
                click.echo(line(counts))


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(readable=False))
@click.option("--merge", is_flag=True, help="Do not count this system; add up the FILEs of several hosts.")
@click.option(
    "--method",
    type=click.Choice(["auto", "bpf", "proc", "drgn"]),
    default="auto",
    show_default=True,
    help="Where the counts come from: auto takes BPF iterators, or else drgn (and /proc), or else /proc.",
)
@click.option(
    "--watch",
    "interval",
    is_flag=False,
    flag_value=2.0,
    type=Range(0.1, 86_400),
    metavar="[SECONDS]",
    help="Go on counting every SECONDS (2 without a number), until Ctrl-C: a table that is refreshed, or a line each "
    "time where there is no terminal.",
)
@json_option
def command(files: tuple[str, ...], merge: bool, method: str, interval: float | None, json_file: Path | None) -> None:
    """Count tasks, open files, mapped files, and those that are ELF and have a build ID.

    How much memory would build IDs take in the kernel? That depends on what the designs pay for: a pointer in each
    open file, a pointer in each inode, or an entry in a table for each mapped ELF file. This counts them on a running
    system, without kernel debugging information.

    As root, BPF iterators visit the descriptors and mappings of all tasks. Files and inodes are told apart as kernel
    objects, by their addresses, also those of files that only mappings hold. This takes libbpf 1, type information
    (BTF), and Linux 6.2 or an older one whose iterator was repaired. Elsewhere descriptors and mappings come from
    /proc, and open files are told apart by kcmp(2); that takes about a millisecond for each process. Where drgn is
    installed and can read the kernel, it counts the files in kernel memory.

    The command changes nothing. At the end it names what it may not look at; that is no failure.

    With --merge it adds up several hosts, from files that --json wrote, or from Parquet with the same columns (which
    needs duckdb or pyarrow: pip install 'pybuildid[parquet]'). A file may hold one host or many. JSON may also come
    through a pipe, up to 64 MiB of it.

    \b
    Examples:
      sudo pybuildid census
      sudo pybuildid census --json $(hostname).json
      sudo pybuildid census --watch 5
      pybuildid census --merge *.json
    """
    if merge != bool(files):
        raise click.UsageError("--merge needs a FILE" if merge else "FILEs are for --merge")
    if merge and interval:
        raise click.UsageError("--watch counts this system, which --merge does not")
    if merge:
        found = combine(files)
        if write_json(json_file, found.to_json):
            show_fleet(found)
    elif interval:
        watch(cast(Method, method), interval, json_file)
    else:
        counts = take(cast(Method, method))
        if write_json(json_file, lambda: fleet.to_json(counts)):
            show_host(counts)
