# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress step``: a handler after every single instruction of every operation."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from stress import report
from stress import step as stepping


def print_results(console: Console, outcome: stepping.Outcome) -> None:
    table = Table(title="a handler after every instruction", title_justify="left")
    columns = ("instructions", "in a resize", "lookups", "updates", "refused", "wrong", "worst slots", "worst records")
    table.add_column("scenario", no_wrap=True)
    for name in columns:
        table.add_column(name, justify="right")
    for result in outcome.results:
        figures = (
            result.interrupted,
            result.in_resize,
            result.lookups,
            result.updates,
            result.refused,
            result.wrong,
            result.max_slots,
            result.max_records,
        )
        name = result.name + (", updates from the handler" if result.updating else "")
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    console.print(table)


def print_coverage(console: Console, outcome: stepping.Outcome) -> None:
    instructions = sum(function.instructions for function in outcome.coverage)
    missed = sum(function.missed for function in outcome.coverage)
    table = Table(
        title=f"functions with instructions that were never reached: {missed:,} of {instructions:,} in all",
        title_justify="left",
    )
    for name in ("function", "instructions", "never reached"):
        table.add_column(name, justify="left" if name == "function" else "right")
    for function in outcome.coverage:
        if function.missed:
            table.add_row(function.function, f"{function.instructions:,}", f"{function.missed:,}")
    console.print(table)


@click.command()
@click.option("--scenario", "names", multiple=True, metavar="NAME", help="Only this one; repeatable. See --list.")
@click.option("--list", "listing", is_flag=True, help="Show the scenarios and end.")
@click.option("--lookups-only", is_flag=True, help="Leave out the runs in which the handler also updates.")
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write a report here.")
def step(names: tuple[str, ...], listing: bool, lookups_only: bool, json_file: Path | None) -> None:
    """Interrupts every operation after every single instruction.

    The processor's trap flag is set (x86-64), so a handler runs after each instruction and looks up from there: the
    key in question, keys beside it, an absent key, and an entry of a second table. The key must have its state before
    or after the operation, and never go back. Then the same with an insert or a remove from the handler now and then.

    The coverage table says which instructions of the table's functions no scenario reached. The exit status is 0 for
    SUCCESS only.
    """
    console = Console()
    try:
        known = stepping.scenarios()
        if listing:
            for name, summary in known.items():
                console.print(f"{name:<22} {summary}", highlight=False)
            return
        unknown = set(names) - known.keys()
        if unknown:
            raise click.BadParameter(f"{', '.join(sorted(unknown))}: see --list", param_hint="--scenario")
        with console.status("stepping") as status:
            outcome = stepping.run(names, not lookups_only, tick=lambda name: status.update(f"stepping {name}"))
    except stepping.StepError as error:
        raise click.ClickException(str(error)) from None
    print_results(console, outcome)
    print_coverage(console, outcome)
    if json_file:
        json_file.write_text(json.dumps({**outcome.report(), **report.machine()}, indent=2) + "\n")
    text = f"{outcome.verdict}: {outcome.total('interrupted'):,} instructions executed and interrupted, "
    text += f"{outcome.total('lookups'):,} lookups and {outcome.total('updates'):,} updates from the handler, "
    text += f"{outcome.total('wrong'):,} wrong; the longest lookup took {outcome.lookup_instructions:,} instructions"
    console.print("; ".join([text, *outcome.failures]), markup=False, highlight=False, soft_wrap=True)
    sys.exit(outcome.verdict != "SUCCESS")
