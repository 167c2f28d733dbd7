# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress kernel``: the table as a kernel module, under real NMIs, in QEMU."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.kernel import kfunc
from stress.kernel import run as torturing
from stress.kernel.build import KernelError
from stress.kernel.run import Outcome

ROWS = {
    "nmis": "NMIs",
    "in_text": "  inside the table",
    "in_update": "  there, with an update in flight",
    "in_resize": "  there, while a resize stood half done",
    "lookups": "lookups",
    "updates": "updates",
    "nmi_updates": "updates from NMIs",
    "resizes": "resizes",
    "most_slots": "worst lookup, slots read",
    "again": "NMIs where the last one had come",
    "wrong": "wrong answers",
}


def print_torture(console: Console, outcome: Outcome) -> None:
    table = Table(title="the table in a kernel, under NMIs", title_justify="left")
    table.add_column("")
    table.add_column("exact, one processor", justify="right")
    table.add_column("by IPI, two processors", justify="right")
    for name, text in ROWS.items():
        table.add_row(text, *(f"{run[name]:,}" for run in (outcome.exact.torture, outcome.two)))
    coverage = outcome.exact.coverage
    share = f"{coverage.interrupted:,} of {coverage.executed:,} ({coverage.share:.1%})"
    table.add_row("instructions of threads that an NMI interrupted", share, "")
    _output.print_table(console, table)
    for name, offsets in coverage.spared.items():
        where = " ".join(f"{offset:x}" for offset in offsets)
        console.print(f"  not interrupted: {name} {where}", markup=False, highlight=False, soft_wrap=True)


def print_rest(console: Console, outcome: Outcome) -> None:
    table = Table(title="what must be caught", title_justify="left")
    table.add_column("fault")
    table.add_column("caught by")
    for name, how in outcome.caught.how.items():
        table.add_row(name, how or "NOT CAUGHT")
    _output.print_table(console, table)
    sound = outcome.sound
    text = (
        f"inodes: {sound['nmis']:,} NMIs, {sound['looked']:,} lookups, {sound['right']:,} found, {sound['absent']:,} "
    )
    text += (
        f"absent, {sound['wrong']:,} wrong; {sound['kicked']:,} evicted with their entry, {sound['in_resize']:,} of "
    )
    text += f"them in the midst of a resize; {sound['reused']:,} addresses used again"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    if outcome.kfunc:
        figures = outcome.kfunc.figures
        text = f"kfunc: called by a BPF program in {figures.get('calls', 0):,} NMIs, found {figures.get('found', 0):,}"
    else:
        text = f"kfunc: not tried; {kfunc.missing()}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    bytes_before, bytes_after = outcome.memory["before_a_grow"], outcome.memory["after_a_grow"]
    console.print(f"memory: {bytes_before} bytes an entry just before a grow, {bytes_after} right after")


@click.command()
@click.option("--seed", type=click.IntRange(1, 2**31), default=2023, show_default=True, help="Seed of all choices.")
@click.option("--nmis", type=click.IntRange(1000), metavar="N", help="Exact NMIs.  [default: 2,000,000]")
@click.option("--quick", is_flag=True, help="The short form: a minute or two.")
@json_option
def kernel(seed: int, nmis: int | None, quick: bool, json_file: Path | None) -> None:
    """The table in a kernel, interrupted by real NMIs, in a virtual machine: ten minutes at most.

    Builds the sources of csrc/table, unchanged, as a module of the installed kernel, and runs it in QEMU, without KVM
    and without touching the kernel of this machine. Threads update the table. On one processor NMIs come after exact
    numbers of instructions, so one seed gives the same run each time; between two processors they come by IPI. Then
    real inodes are mapped, looked up by NMIs, and evicted, and a BPF program looks up in NMIs. Last come builds with
    one fault each, and a table with spinlocks, all of which must be caught.

    The exit status is 0 for SUCCESS only; 2 if this machine lacks something; 3 if it is too slow, or its QEMU
    fails, so that the run shows nothing.
    """
    plan = torturing.quick(seed) if quick else torturing.Plan(seed)
    if nmis:
        plan = replace(plan, nmis=nmis)
    console = _output.console()
    try:
        with console.status("building the modules") as status:
            outcome = torturing.run(plan, tick=lambda name: status.update(f"{name}"))
    except KernelError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_status)
    print_torture(console, outcome)
    print_rest(console, outcome)
    exact = outcome.exact.torture
    text = f"{outcome.verdict}: seed {seed}, {exact['nmis']:,} exact NMIs, {exact['in_update']:,} inside an update, "
    text += f"{exact['in_resize']:,} inside a resize, {exact['wrong'] + outcome.two['wrong']:,} wrong answers, "
    text += f"{outcome.report()['blocked']:,} blocked"
    console.print("; ".join([text, *outcome.failures]), markup=False, highlight=False, soft_wrap=True)
    report.conclude(outcome.verdict, outcome.report(), json_file)
