# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m study memory``: the argument about memory in numbers."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from pybuildid.cli import _machine
from pybuildid.cli._command import command_line
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console, print_table
from pybuildid.cli._plots import plot_option, write_plot
from study import memory as weighing
from study.memory import Balance, plots
from study.memory import counts as counting
from study.memory.counts import Counts

number = click.IntRange(1, 4_000_000)
FEW = 1000  #: entries: below, pages and pins are most of what is measured


@click.command()
@click.option("--files", type=click.IntRange(0), help="Open files (struct file). With --inodes and --elf.")
@click.option("--inodes", type=click.IntRange(0), help="Cached inodes.")
@click.option("--elf", type=number, help="Unique ELF files that are mapped: the entries of a table.")
@json_option
@plot_option("--plot", help="Write memory by mapped ELF files here, as SVG, for the first of the counts.")
def memory(files: int | None, inodes: int | None, elf: int | None, json_file: Path | None, plot: Path | None) -> None:
    """What each design takes in memory: pointers in kernel objects, and tables on the side.

    It is shown for the counts of this machine, for those of a server in the discussion of 2023, and for a million of
    each; or for --files, --inodes and --elf alone.

    Tables are built in a child process and measured there, as resident memory with 20-byte IDs; a fixed table also
    oversized, for a million entries. Pointers are computed: 8 bytes for every object, and 32 for the ID of each mapped
    ELF file. (With the pointer in struct file each open file that is mapped has an ID of its own, so there this is a
    lower bound.) The break-even is a range, because our table takes more right after a grow than just before one. Below
    the range our table always takes less, above it never.

    \b
    Examples:
      python -m study memory
      python -m study memory --files 200000 --inodes 500000 --elf 3000 --plot memory.svg
    """
    balances, curves = weighing.compare(choose(files, inodes, elf))
    about = {"command": command_line("python -m study"), "machine": _machine.this()}
    if write_json(json_file, lambda: {**about, **weighing.document(balances, curves)}):
        for balance in balances:
            show(balance)
        for balance in balances:
            click.echo(weighing.verdict(balance))
    write_plot(plot, lambda: plots.by_entries(balances[0], curves))


def choose(files: int | None, inodes: int | None, elf: int | None) -> tuple[Counts, ...]:
    """The counts that the options ask for."""
    if files is None and inodes is None and elf is None:
        return counting.machine(), counting.THREAD, counting.MILLION
    if files is None or inodes is None or elf is None:
        raise click.UsageError("give --files, --inodes and --elf together, or none of them")
    return (Counts("these counts", files, inodes, elf, "the options --files, --inodes and --elf"),)


def show(balance: Balance) -> None:
    counts = balance.counts
    click.echo(
        f"{counts.name}: {counts.files:,} open files, {counts.inodes:,} cached inodes, {counts.elf_files:,} mapped ELF "
        f"files ({counts.source})"
    )
    table = Table("design")
    for name in ("bytes", "of ours", ""):
        table.add_column(name, justify="left" if name == "" else "right")
    table.add_column("how")
    for cost in balance.costs:
        share = f"{cost.bytes / balance.cost(weighing.OURS):,.2f}"
        table.add_row(cost.design, f"{cost.bytes:,}", share, cost.note, "measured" if cost.measured else "computed")
    print_table(console(), table)
    if counts.elf_files < FEW:
        click.echo(
            "Measured is the resident memory of a process, in whole pages. With so few entries most of ours is what a "
            "process pays once, its pins: a kernel has none, for its own RCU does that."
        )
