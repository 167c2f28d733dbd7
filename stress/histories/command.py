# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress histories``: recorded histories, checked for linearizability."""

from __future__ import annotations

import secrets
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.histories.run import Flawed, Outcome, run

ROWS = (
    ("histories", "histories"),
    ("  linearizable", "legal"),
    ("  not linearizable", "illegal"),
    ("  undecided", "undecided"),
    ("  with operations on one key that overlap", "with_overlap"),
    ("  across a resize", "across_a_resize"),
    ("operations", "operations"),
    ("  from handlers", "from_handlers"),
    ("  that interrupted one of the same thread", "interrupting"),
    ("  beside which a resize stood half done", "in_resize"),
    ("  interrupted after an exact number of instructions", "traps"),
    ("  and held there while others went on", "stood"),
    ("  refused", "refused"),
    ("pairs that overlap, one of them an update", "overlapping"),
    ("resizes", "resizes"),
)


def print_flawed(console: Console, flawed: Flawed) -> None:
    """The operations on the key, with their times; levels above 0 are handlers."""
    n = len(flawed.operations)
    table = Table(
        title=f"history {flawed.number}, key {flawed.verdict.key}: {flawed.verdict.verdict}; "
        f"no order explains more than {flawed.verdict.explained} of {n} operations",
        title_justify="left",
    )
    for name in ("invoked", "returned", "thread", "level"):
        table.add_column(name, justify="right")
    table.add_column("operation", no_wrap=True)
    for o in flawed.operations:
        table.add_row(str(o.invoked), str(o.returned), str(o.thread), str(o.level), o.describe())
    _output.print_table(console, table)


def print_outcome(console: Console, outcome: Outcome) -> None:
    table = Table(title="histories", title_justify="left")
    table.add_column("", no_wrap=True)
    table.add_column("", justify="right")
    for label, name in ROWS:
        table.add_row(label, f"{getattr(outcome, name):,}")
    _output.print_table(console, table)
    for flawed in outcome.flawed[:3]:
        print_flawed(console, flawed)


@click.command()
@click.option("--histories", type=click.IntRange(1), default=2000, show_default=True, help="How many to record.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of every random choice. Default: a new one.")
@click.option(
    "--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first, to go on with a seed."
)
@json_option
def histories(histories: int, seed: int | None, first: int, json_file: Path | None) -> None:
    """Records short histories of concurrent operations, and checks that each is linearizable.

    Each history has a table of its own: two to four threads, with signal handlers on them, look up, insert, replace
    and remove up to three keys while resizes are forced. A thread may be stopped after an exact number of instructions
    of an operation until others have gone on (x86-64). A checker then searches, key by key, for an order of the
    operations that explains every answer; the search is exhaustive. The seed makes the scripts; how the threads meet
    differs from run to run, so what was found is printed, operation by operation, and kept in the report.

    The last line says SUCCESS or FAILURE; the exit status is 0 for SUCCESS only.
    """
    console = _output.console()
    seed = secrets.randbits(32) if seed is None else seed
    with console.status("recording histories") as status:
        outcome = run(
            histories,
            seed,
            first=first,
            tick=lambda so_far: status.update(f"{so_far.histories:,} of {histories:,} histories"),
        )
    print_outcome(console, outcome)
    text = f"{outcome.verdict}: seed {seed}, {outcome.legal:,} of {outcome.histories:,} histories are linearizable, "
    text += f"{outcome.undecided:,} undecided"
    console.print(f"{text}. {'; '.join(outcome.failures)}" if outcome.failures else text, markup=False, soft_wrap=True)
    report.conclude(outcome.verdict, outcome.report(), json_file)
