# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress prove``: every check in its short form, and one page of what was found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from pybuildid.cli._standard_output import STANDARD_OUTPUT, output_path
from pybuildid.cli._types import OutputFile
from stress import report
from stress.campaign.run import LONG_RUNS
from stress.prove import run as proving
from stress.prove.checks import CHECKS
from stress.prove.page import page


@click.command()
@click.option(
    "--check",
    "names",
    type=click.Choice([check.name for check in CHECKS]),
    multiple=True,
    help="Only this one; may be given again.",
)
@click.option("--page", "page_file", type=OutputFile(), help="Write the page here.")
@json_option
def prove(names: tuple[str, ...], page_file: Path | None, json_file: Path | None) -> None:
    """Runs every check in its short form, in about fifteen minutes, and writes one page of what they found.

    A table of the guarantees by the checks, what each check found, and the mutants with the checks that caught them.
    What `python -m stress campaign --page` wrote into the page stays there.

    The exit status is 0 for SUCCESS only. A check whose tool is missing is skipped: the last line names it.
    """
    console = _output.console()

    def say(result: proving.Result) -> None:
        line = f"{result.verdict:<8} {result.check:<10} {result.seconds:6.1f} s  {result.figure}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
        if result.output:
            console.print(result.output, markup=False, highlight=False)

    with console.status("proving") as status:
        proof = proving.prove(names, lambda name: status.update(f"running {name}"), say)
    if page_file:
        before = page_file.read_text(encoding="utf-8") if page_file.exists() and page_file != STANDARD_OUTPUT else ""
        _, mark, long_runs = before.partition(LONG_RUNS)
        with output_path(page_file) as path:
            path.write_text(page(proof) + (f"\n{mark}{long_runs}" if mark else ""), encoding="utf-8")
    console.print(proof.summary(), markup=False, soft_wrap=True)
    report.conclude(proof.verdict, asdict(proof), json_file)
