# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress record``: the recorder beside the kernel's own answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._types import Range
from pybuildid.record import RecordError
from stress import report
from stress.record.bounds import Bound, Measured, bounds, measure
from stress.record.run import SCENARIOS, Outcome, find, run
from stress.scenarios import print_list, scenario_options

CANNOT = 77  #: exit status: no BPF here
MISSED, UNDECIDED = 1, 3  #: exit statuses with --strict, as of the bench


@click.command()
@scenario_options(SCENARIOS)
@click.option("--seconds", type=Range(0.1, 86400), default=10.0, show_default=True, help="How long each scenario runs.")
@click.option("--measure", "with_measures", is_flag=True, help="Also measure what recording takes, beside the "
              "kernel's own means: three minutes more.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Measure as well, and exit with 1 if a bound is missed, "
              "with 3 if that cannot be said.")  # fmt: skip
@json_option
def record(
    names: tuple[str, ...],
    seconds: float,
    with_measures: bool,
    strict: bool,
    list_them: bool,
    json_file: Path | None,
) -> None:
    """Records programs that are hard to record, and compares every frame with the kernel's own answer for it.

    Needs root, and a kernel that lets BPF programs be loaded.

    The last line says SUCCESS or FAILURE; the exit status is 0 for SUCCESS, and 77 where BPF cannot be used. A
    scenario fails if a build ID is wrong, or if fewer frames have one than the kernel gives, or than its bound demands.
    The cost of recording has bounds, too. They depend on the machine, so they are listed as met or missed, and count
    with --strict only.
    """
    console = _output.console()
    if list_them:
        print_list(console, SCENARIOS)
        return
    outcomes, measured = [], None
    try:
        for scenario in map(find, names) if names else SCENARIOS:
            with console.status(scenario.name):
                outcomes.append(run(scenario, seconds=seconds))
        with console.status("measuring"):
            measured = measure() if with_measures or strict else None
    except RecordError as error:
        console.print(f"SKIPPED: {error}", highlight=False, soft_wrap=True)
        sys.exit(CANNOT)
    judged = bounds(outcomes, measured)
    _say(console, outcomes, measured, judged)
    verdict = "FAILURE" if any(outcome.failures for outcome in outcomes) else "SUCCESS"
    found = {
        "verdict": verdict,
        "seconds": seconds,
        "scenarios": [outcome.report() for outcome in outcomes],
        "measured": asdict(measured) if measured else None,
        "bounds": [{**asdict(bound), "met": bound.met} for bound in judged],
    }
    write_json(json_file, lambda: {**found, **report.machine()})
    sys.exit(verdict == "FAILURE" or (_strictly(judged) if strict else 0))


def _strictly(judged: list[Bound]) -> int:
    met = {bound.met for bound in judged}
    return MISSED if False in met else UNDECIDED if None in met else 0


def _say(console: Console, outcomes: list[Outcome], measured: Measured | None, judged: list[Bound]) -> None:
    console.print(_table(outcomes))
    lines = []
    if measured:
        lines += [
            f"{one.what}: {one.quiet:,.0f} ns; with an empty program at the tracepoint {one.empty:.3f} of that, "
            f"with the hooks {one.hooks:.3f} ({one.spread[0]:.3f} to {one.spread[1]:.3f})"
            for one in measured.hooks
        ]
        lines += [
            f"updating {one.what}: {one.lost:.2%} of {one.due:,} samples lost, {one.updates:,} updates"
            for one in measured.updates
        ]
    lines += [str(bound) for bound in judged if not bound.met or measured]
    counts = [sum(bound.met is met for bound in judged) for met in (True, False, None)]
    lines.append(f"Of {len(judged)} bounds: {counts[0]} met, {counts[1]} missed, {counts[2]} not measured.")
    failed = [outcome for outcome in outcomes if outcome.failures]
    lines += [f"FAILED: {outcome.scenario}: {text}" for outcome in failed for text in outcome.failures]
    frames, wrong = (sum(int(outcome.figures[what]) for outcome in outcomes) for what in ("frames", "wrong"))
    verdict = "FAILURE" if failed else "SUCCESS"
    passed = f"{len(outcomes) - len(failed)} of {len(outcomes)} scenarios"
    lines.append(f"{verdict}: {passed}, {frames:,} frames, {wrong} wrong")
    console.print("\n".join(lines), highlight=False, soft_wrap=True)


def _table(outcomes: list[Outcome]) -> Table:
    table = Table(
        "scenario", "frames", "table, %", "of code, %", "kernel, %", "both, %", "wrong", "lost", "ns", "kernel's"
    )
    for outcome in outcomes:
        figures = outcome.figures
        table.add_row(
            outcome.scenario,
            f"{figures['frames']:,}",
            f"{figures['table, %']:.2f}",
            f"{figures['table, % of frames that have code']:.2f}",
            f"{figures['kernel, %']:.2f}",
            f"{figures['with a build ID, %']:.2f}",
            str(figures["wrong"]),
            str(figures["lost"]),
            str(figures["ns a frame, table"]),
            str(figures["ns a frame, kernel"]),
        )
    return table
