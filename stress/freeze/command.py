# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress freeze``: a thread stopped for good at every instruction; the others go on."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.freeze import run as freezing
from stress.step.run import StepError


def print_results(console: Console, outcome: freezing.Outcome) -> None:
    table = Table(title="a thread stopped for good, the others go on", title_justify="left")
    for name in ("design", "operation"):
        table.add_column(name)
    for name in ("instructions", "stopped after", "in a resize", "others did", "to the limit", "blocked", "wrong"):
        table.add_column(name, justify="right")
    for result in outcome.results:
        figures = (result.instructions, result.points, result.in_resize, result.operations, result.limits)
        table.add_row(result.design, result.operation, *(f"{n:,}" for n in (*figures, result.blocked, result.wrong)))
    _output.print_table(console, table)


@click.command()
@click.option(
    "--operation",
    "operations",
    type=click.Choice(freezing.OPERATIONS),
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option(
    "--points",
    type=click.IntRange(1),
    default=freezing.POINTS,
    show_default=True,
    help="After how many instructions of each operation, spread over all of it; after each, if it has fewer.",
)
@click.option("--every", is_flag=True, help="Stop after every instruction of the long ones, too: minutes.")
@click.option(
    "--turn",
    type=click.IntRange(1),
    metavar="N",
    help="Stop one operation alone: the N-th; after the last comes the first again, stopped after other instructions.",
)
@json_option
def freeze(operations: tuple[str, ...], points: int, every: bool, turn: int | None, json_file: Path | None) -> None:
    """Stops a thread for good in the middle of an operation; all others must be able to go on.

    Each operation is stepped by the processor's trap flag (x86-64), and its process forks after instruction k: in the
    child the thread never comes back from the handler. Another one there has to finish more than four thousand
    operations of every kind, growing and shrinking included, and to find every entry. At one point of 64 it then
    resizes until what the stopped thread keeps from being freed has reached its limit: resizes must be refused, lookups
    and removes go on. The simplest rival, fixed buckets with a spinlock each, must fail at this. The exit status is 0
    for SUCCESS only.
    """
    console, around = _output.console(), 0
    if turn is not None:
        around, number = divmod(turn - 1, len(freezing.OPERATIONS))
        operations = (freezing.OPERATIONS[number],)
    try:
        with console.status("stopping threads") as status:
            outcome = freezing.run(
                operations or freezing.OPERATIONS,
                None if every else points,
                tick=lambda name: status.update(f"stopping threads in {name}"),
                turn=around,
            )
    except StepError as error:
        raise click.ClickException(str(error)) from None
    print_results(console, outcome)
    figures = outcome.report()
    text = f"{outcome.verdict}: a thread was stopped for good after {figures['points']:,} of "
    text += f"{figures['instructions']:,} instructions, {figures['in_resize']:,} of them in a resize; the others "
    text += (
        f"finished {figures['operations']:,} operations, with at most {figures['max_retired'] / 1e6:.0f} MB retired, "
    )
    text += f"and were blocked {figures['blocked']:,} times"
    if figures["rival_blocked"]:
        text += f"; {freezing.RIVAL} was caught"
    console.print("; ".join([text, *outcome.failures]), markup=False, highlight=False, soft_wrap=True)
    report.conclude(outcome.verdict, outcome.report(), json_file)
