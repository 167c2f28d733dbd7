# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid census``: counts of this system, or of a fleet from several hosts' files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import click
from rich.table import Table

from pybuildid.census import Census, Limit, Method, Slab, UnsupportedCensusError, census, fleet
from pybuildid.census.designs import designs
from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console, print_table, progress

LABELS = {
    "processes": "processes",
    "tasks": "tasks (threads of all processes)",
    "struct_files": "struct files, by the kernel's own counter",
    "descriptors": "descriptors, in all descriptor tables",
    "open_files": "  struct files behind them",
    "open_inodes": "  inodes behind them",
    "mapped_files": "struct files behind mappings",
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


def counts_table(counts: Census) -> Table:
    title = f"{counts.host}, Linux {counts.kernel} {counts.machine}, by {counts.method}, {counts.seconds:.1f} s"
    table = numbers(printable(title), "what", "number")
    for name, label in LABELS.items():
        table.add_row(label, number(getattr(counts, name)))
    return table


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


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(readable=False))
@click.option("--merge", is_flag=True, help="Do not count this system; add up the FILEs of several hosts.")
@click.option(
    "--method",
    type=click.Choice(["auto", "proc", "drgn"]),
    default="auto",
    show_default=True,
    help="Where the counts come from: auto is drgn where it is installed and can read the kernel, else /proc.",
)
@json_option
def command(files: tuple[str, ...], merge: bool, method: str, json_file: Path | None) -> None:
    """Count tasks, open files, mapped files, and those that are ELF and have a build ID.

    How much memory would build IDs take in the kernel? That depends on what the designs pay for: a pointer in each
    open file, a pointer in each inode, or an entry in a table for each mapped ELF file. This counts them on a running
    system without kernel debugging information: descriptors and mappings from /proc, told apart as kernel objects by
    kcmp(2). Where drgn is installed and can read the kernel, struct files are counted in kernel memory.

    It changes nothing, and takes about a millisecond for each process. Run it as root: what it may not look at is
    named at the end, and is no failure.

    With --merge it sums up several hosts, from files that --json wrote, or from Parquet with the same columns (which
    needs duckdb or pyarrow: pip install 'pybuildid[parquet]'). A file may hold one host or many. JSON may also come
    through a pipe, up to 64 MiB of it.

    \b
    Examples:
      sudo pybuildid census
      sudo pybuildid census --json $(hostname).json
      pybuildid census --merge *.json
    """
    if merge != bool(files):
        raise click.UsageError("--merge needs a FILE" if merge else "FILEs are for --merge")
    if merge:
        found = combine(files)
        if write_json(json_file, found.to_json):
            show_fleet(found)
    else:
        counts = take(cast(Method, method))
        if write_json(json_file, lambda: fleet.to_json(counts)):
            show_host(counts)
