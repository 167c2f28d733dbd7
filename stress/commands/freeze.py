# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress freeze``: a thread stopped for good at every instruction; the others go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stress import freeze as freezing
from stress import report
from stress.step import StepError


def print_results(console: Console, outcome: freezing.Outcome) -> None:
    table = Table(title="a thread stopped for good, the others go on", title_justify="left")
    for name in ("design", "operation", "stopped at", "last instruction", "blocked", "wrong"):
        table.add_column(name, justify="left" if name in ("design", "operation") else "right")
    for result in outcome.results:
        figures = (result.points, result.last, result.blocked, result.wrong)
        table.add_row(result.design, result.operation, *(f"{figure:,}" for figure in figures))
    console.print(table)


@click.command()
@click.option(
    "--operation",
    "operations",
    type=click.Choice(freezing.OPERATIONS),
    multiple=True,
    help="Only this one; repeatable.",
)
@click.option(
    "--points",
    type=click.IntRange(1),
    default=freezing.POINTS,
    show_default=True,
    help="Of each operation, spread over all of it.",
)
@click.option("--every", is_flag=True, help="Stop after every instruction: takes hours for growing and shrinking.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write a report here.")
def freeze(operations: tuple[str, ...], points: int, every: bool, json_file: Path | None) -> None:
    """Stops a thread for good in the middle of an operation; all others must be able to go on.

    For each of many instructions k of each operation a process of its own is made: one thread runs the operation with
    the processor's trap flag set (x86-64) and never comes back from the handler after instruction k. Another then has
    to finish five thousand operations, growing and shrinking included, and to find every entry, within 10 seconds. The
    simplest rival, fixed buckets with a spinlock each, must fail at this. The exit status is 0 for SUCCESS only.
    """
    console = Console()
    try:
        with console.status("stopping threads") as status:
            outcome = freezing.run(
                operations or freezing.OPERATIONS,
                None if every else points,
                tick=lambda name: status.update(f"stopping threads in {name}"),
            )
    except StepError as error:
        raise click.ClickException(str(error)) from None
    print_results(console, outcome)
    if json_file:
        json_file.write_text(json.dumps({**outcome.report(), **report.machine()}, indent=2) + "\n")
    figures = outcome.report()
    text = f"{outcome.verdict}: a thread was stopped for good at {figures['points']:,} instructions, "
    text += f"and {figures['blocked']:,} times the others could not go on"
    if figures["rival_blocked"]:
        text += f"; {freezing.RIVAL} was caught"
    console.print("; ".join([text, *outcome.failures]), markup=False, highlight=False, soft_wrap=True)
    sys.exit(outcome.verdict != "SUCCESS")
