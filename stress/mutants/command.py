# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress mutants``: builds of the table with one fault each, and the checks that must catch them."""

from __future__ import annotations

import os
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.mutants.catalog import MUTANTS
from stress.mutants.checks import Mutant
from stress.mutants.edits import EditError
from stress.mutants.run import SOUND, Verdict, judge_all

NAMES = [mutant.name for mutant in MUTANTS]


def state(verdict: Verdict) -> str:
    if verdict.error:
        return "BROKEN"
    if verdict.mutant == SOUND:
        return "passed" if verdict.ok else "CAUGHT"
    return "caught" if verdict.caught else "skipped" if verdict.skipped else "MISSED"


def say(console: Console, verdict: Verdict) -> None:
    """A line for each check, with what it found."""
    console.print(f"{state(verdict):<7} {verdict.mutant}", style="bold", highlight=False)
    where = f"{verdict.guarantee}: " if verdict.guarantee else ""
    lines = [f"{where}{verdict.fault}"]
    for finding in verdict.findings:
        said = finding.skipped and f"not run: {finding.skipped}"
        lines.append(f"{finding.seconds:5.1f} s  {finding.check}: {said or finding.found or 'found nothing'}")
    if verdict.only_modelled:
        lines.append(f"only the model checker: {verdict.only_modelled}")
    lines += verdict.error.splitlines()
    for line in lines:
        console.print(f"        {line}", highlight=False, markup=False, emoji=False, soft_wrap=True)


def summary(verdicts: list[Verdict], seconds: float) -> str:
    mutants = [verdict for verdict in verdicts if verdict.mutant != SOUND]
    caught = [verdict for verdict in mutants if verdict.caught]
    skipped = [verdict.mutant for verdict in mutants if verdict.skipped]
    wrong = [verdict.mutant for verdict in verdicts if not verdict.ok]
    text = f"{len(caught)} of {len(mutants)} mutants caught in {seconds:.0f} s"
    if modelled := sum(bool(verdict.only_modelled) for verdict in caught):
        text += f", {modelled} of them by the model checker alone"
    if skipped:
        text += f"; {len(skipped)} not checked here: {', '.join(skipped)}"
    if wrong:
        text += f"; not as they should be: {', '.join(wrong)}"
    return f"{'FAILURE' if wrong else 'SUCCESS'}: {text}"


def print_list(console: Console) -> None:
    for mutant in MUTANTS:
        console.print(mutant.name, style="bold", highlight=False)
        lines = [
            f"{mutant.guarantee}: {mutant.fault}",
            f"has to be caught by {', '.join(check.label for check in mutant.checks)}",
        ]
        if mutant.only_modelled:
            lines.append(f"only the model checker: {mutant.only_modelled}")
        for line in lines:
            console.print(f"        {line}", highlight=False, markup=False, emoji=False, soft_wrap=True)


def figures(verdicts: list[Verdict], seconds: float) -> dict[str, object]:
    in_order = sorted(verdicts, key=lambda verdict: [SOUND, *NAMES].index(verdict.mutant))
    found = [{**asdict(verdict), "state": state(verdict), "caught": verdict.caught} for verdict in in_order]
    return {"seconds": round(seconds, 1), "mutants": found}


def chosen(names: tuple[str, ...]) -> list[Mutant]:
    if unknown := set(names) - set(NAMES):
        raise click.BadParameter(f"{', '.join(sorted(unknown))}: see --list", param_hint="--mutant")
    return [mutant for mutant in MUTANTS if not names or mutant.name in names]


@click.command()
@click.option(
    "--mutant",
    "names",
    metavar="NAME",
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option(
    "--list", "only_list", is_flag=True, help="List the mutants and the checks that must catch them; run nothing."
)
@json_option
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=os.cpu_count() or 1,
    show_default="one a processor",
    help="Mutants at a time.",
)
def mutants(names: tuple[str, ...], only_list: bool, json_file: Path | None, jobs: int) -> None:
    """Breaks the table on purpose; the checks must notice.

    A mutant is a build of the C core with one small fault: an edit of a copy of its sources under build/mutants, so
    that the sources themselves carry no switches. Every check that is named for a mutant must catch it: a short signal
    storm, a program of tests/c, scenarios stepped through, histories, a thread stopped for good, memory that fails, a
    reading of the lookup's object file, or a model under the C11 model checker. The sound sources go through the same
    checks, and must pass them (for the models that is `make verify`).

    The exit status is 0 if every mutant was caught, 1 if not. A check whose tool this machine lacks is reported as
    skipped.
    """
    console = _output.console()
    if only_list:
        print_list(console)
        return
    began, verdicts = time.monotonic(), []
    try:
        for one in judge_all(chosen(names), jobs):
            verdicts.append(one)
            say(console, one)
    except EditError as error:
        raise click.ClickException(str(error)) from error
    seconds = time.monotonic() - began
    console.print(summary(verdicts, seconds), highlight=False, markup=False, soft_wrap=True)
    verdict = "SUCCESS" if all(verdict.ok for verdict in verdicts) else "FAILURE"
    report.conclude(verdict, figures(verdicts, seconds), json_file)
