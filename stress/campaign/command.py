# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress campaign``: the long form of the checks, for hours."""

from __future__ import annotations

from pathlib import Path

import click

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from pybuildid.cli._types import OutputFile, Range
from pybuildid.stacks._client import ClusterError
from stress import report
from stress.campaign import executors
from stress.campaign import run as campaigning

STATE = Path("build/campaign.jsonl")


@click.command()
@click.option("--hours", type=Range(0, min_open=True), default=1.0, show_default=True, help="How many hours to run.")
@click.option(
    "--seed",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Seed of the first unit; each other has the next.",
)
@click.option(
    "--kind",
    "kinds",
    type=click.Choice(list(campaigning.KINDS)),
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option(
    "--executor",
    default="processes",
    show_default=True,
    help="Where units run: processes, or dask:ADDRESS of the scheduler of a Dask cluster (needs the extra dask).",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 4096),
    help="Units at a time. [default: 1 with processes, all workers with Dask]",
)
@click.option(
    "--state",
    type=OutputFile(dash=False),
    help=f"Keep a line for each unit here, and go on with a file that is there. [default: {STATE}]",
)
@json_option
@click.option(
    "--page",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="Also put it into this page of `make prove`, docs/proof.md.",
)
def campaign(
    hours: float,
    seed: int,
    kinds: tuple[str, ...],
    executor: str,
    workers: int | None,
    state: Path | None,
    json_file: Path | None,
    page: Path | None,
) -> None:
    """Runs units until the time is up: storms of a minute, 5,000 histories, the long faults, one scenario of `step`,
    one operation of `freeze`. Scenarios and operations use other instructions each time they come around.

    Storms pin their threads to processors, so more workers than half of the processors disturb each other: that is a
    harder test, with fewer interruptions each. Stop it at any time; the same command goes on with the next seeds. The
    exit status is 0 if all units, earlier ones of the state file included, were a SUCCESS.

    On several machines: run a Dask scheduler (.venv/bin/dask scheduler). On each machine set up a checkout of the same
    state, and run .venv/bin/dask worker ADDRESS --nthreads 1 in it.
    """
    console = _output.console()
    if state is None:
        state = STATE
        state.parent.mkdir(exist_ok=True)

    def say(result: campaigning.Result) -> None:
        line = f"{result.verdict:<8} {result.kind:<10} seed {result.seed:<6} {result.seconds:7.1f} s"
        console.print(line, highlight=False)
        if result.output:
            console.print(result.output, markup=False, highlight=False)

    try:
        with executors.named(executor, workers) as (pool, at_a_time):
            kinds = kinds or tuple(campaigning.KINDS)
            done = campaigning.run(pool, at_a_time, hours * 3600, state, kinds, seed, say)
    except (ClusterError, campaigning.StateError) as error:
        raise click.ClickException(str(error)) from None
    if page:
        page.write_text(campaigning.with_long_runs(page.read_text(), done))
    figures = ", ".join(f"{value:,} {name}" for name, value in done.sums().items())
    console.print(f"{done.verdict}: {len(done.results):,} units; {figures}", highlight=False, soft_wrap=True)
    report.conclude(done.verdict, done.report(), json_file)
