# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress faults``: what may go wrong around the table, made to go wrong."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.faults.run import SCENARIOS, Outcome, find, run
from stress.scenarios import print_list, scenario_options


def print_outcome(console: Console, outcome: Outcome) -> None:
    console.print(f"{outcome.scenario}: {outcome.summary}", highlight=False, markup=False, soft_wrap=True)
    width = max(map(len, outcome.figures), default=0)
    lines = [f"  {name.replace('_', ' '):{width}} {value:>14,}" for name, value in outcome.figures.items()]
    lines += [f"  FAILED: {text}" for text in outcome.failures]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


@click.command()
@scenario_options(SCENARIOS)
@click.option("--quick", is_flag=True, help="The short form of each, which takes seconds.")
@json_option
def faults(names: tuple[str, ...], quick: bool, list_them: bool, json_file: Path | None) -> None:
    """Lets memory, limits, threads, forks and readers fail around the table, and checks that it loses nothing.

    Requests for memory fail one after the other, limits are reached, threads come and go, processes fork after every
    instruction of an update, a reader stands still for a minute. Each update must then do its work, or say why not and
    change nothing. Lookups must stay right throughout. When the fault is over, updates must succeed again.

    The last line says SUCCESS or FAILURE; the exit status is 0 for SUCCESS only.
    """
    console = _output.console()
    if list_them:
        print_list(console, SCENARIOS)
        return
    outcomes = []
    for scenario in map(find, names) if names else SCENARIOS:
        with console.status(scenario.name):
            outcomes.append(run(scenario, quick=quick))
        print_outcome(console, outcomes[-1])
    failed = [outcome.scenario for outcome in outcomes if outcome.failures]
    verdict = "FAILURE" if failed else "SUCCESS"
    seconds = sum(outcome.seconds for outcome in outcomes)
    text = f"{verdict}: {len(outcomes) - len(failed)} of {len(outcomes)} scenarios in {seconds:.0f} s"
    console.print(f"{text}; failed: {', '.join(failed)}" if failed else text, highlight=False, soft_wrap=True)
    found = {"quick": quick, "scenarios": [outcome.report() for outcome in outcomes]}
    report.conclude(verdict, found, json_file)
