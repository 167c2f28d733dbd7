# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress record``: the recorder beside the kernel's own answers."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option, write_json
from pybuildid.record import RecordError
from stress import report
from stress.record.lookups import BOUND, lookups
from stress.record.run import SCENARIOS, Outcome, find, run

CANNOT = 77


@click.command()
@click.option(
    "--scenario",
    "names",
    type=click.Choice([scenario.name for scenario in SCENARIOS]),
    multiple=True,
    help="Only this one; may be given again. Default: all.",
)
@click.option("--seconds", default=10.0, show_default=True, help="Of each scenario.")
@click.option(
    "--lookups", "with_lookups", is_flag=True, help="Also compare lookups with those in the kernel's hash map."
)
@click.option("--list", "list_them", is_flag=True, help="Say which scenarios there are, and run none.")
@json_option
def record(names: tuple[str, ...], seconds: float, with_lookups: bool, list_them: bool, json_file: Path | None) -> None:
    """Records programs that make it hard, and compares every frame with the kernel's own answer for it.

    Needs root, and a kernel that lets BPF programs be loaded.

    The last line says SUCCESS or FAILURE; the exit status is 0 for SUCCESS, and 77 where BPF cannot be used.
    """
    console = _output.console()
    if list_them:
        for scenario in SCENARIOS:
            console.print(f"{scenario.name:12} {scenario.summary}", highlight=False, soft_wrap=True)
        return
    outcomes = []
    for scenario in map(find, names) if names else SCENARIOS:
        with console.status(scenario.name):
            try:
                outcomes.append(run(scenario, seconds=seconds))
            except RecordError as error:
                console.print(f"SKIPPED: {error}", highlight=False, soft_wrap=True)
                sys.exit(CANNOT)
    console.print(_table(outcomes))
    for outcome in outcomes:
        for text in outcome.failures:
            console.print(f"FAILED: {outcome.scenario}: {text}", highlight=False, soft_wrap=True)
    failed = [outcome.scenario for outcome in outcomes if outcome.failures]
    compared = lookups() if with_lookups else []
    for one in compared:
        missed = " MISSED" if one.ratio > BOUND else ""
        text = (
            f"a lookup of {one.keys:,} keys: {one.table:.0f} ns, {one.ratio:.2f} of BPF_MAP_TYPE_HASH's {one.map:.0f}"
        )
        console.print(f"{text} (bound: {BOUND}{missed})", highlight=False, soft_wrap=True)
    frames = sum(int(outcome.figures["frames"]) for outcome in outcomes)
    verdict = "FAILURE" if failed else "SUCCESS"
    wrong = sum(int(outcome.figures["wrong"]) for outcome in outcomes)
    console.print(
        f"{verdict}: {len(outcomes) - len(failed)} of {len(outcomes)} scenarios, {frames:,} frames, {wrong} wrong",
        highlight=False,
        soft_wrap=True,
    )
    found = {
        "verdict": verdict,
        "seconds": seconds,
        "scenarios": [outcome.report() for outcome in outcomes],
        "lookups": [asdict(one) for one in compared],
    }
    write_json(json_file, lambda: {**found, **report.machine()})
    sys.exit(bool(failed))


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
