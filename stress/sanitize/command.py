# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress sanitize``: the C programs under sanitizers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.sanitize.run import SANITIZERS, names, run


@click.command()
@click.option(
    "--sanitizer", "chosen", type=click.Choice(SANITIZERS), multiple=True, help="Only this one; may be given again."
)
@click.option(
    "--program", "wanted", type=click.Choice(names()), multiple=True, help="Only this one; may be given again."
)
@json_option
def sanitize(chosen: tuple[str, ...], wanted: tuple[str, ...], json_file: Path | None) -> None:
    """Runs the C tests, the storm, histories and faults under ThreadSanitizer, AddressSanitizer and
    UndefinedBehaviorSanitizer.

    What a sanitizer cannot run is named with the reason. The last line says SUCCESS or FAILURE; the exit status is 0
    for SUCCESS only.
    """
    console = _output.console()
    runs = []
    for sanitizer in chosen or SANITIZERS:
        for program in wanted or names():
            with console.status(f"{sanitizer}: {program}"):
                runs.append(run(sanitizer, program))
            last = runs[-1]
            said = f"not run: it {last.left_out}" if last.left_out else last.failure or f"{last.seconds:.1f} s"
            console.print(f"{sanitizer:9}  {program:20} {said}", highlight=False, markup=False, soft_wrap=True)
    failed = [one for one in runs if one.failure]
    ran = [one for one in runs if not one.left_out]
    verdict = "SUCCESS" if ran and not failed else "FAILURE"
    console.print(
        f"{verdict}: {len(ran) - len(failed)} of {len(ran)} programs are clean, {len(runs) - len(ran)} not run"
    )
    report.conclude(verdict, {"runs": [asdict(one) for one in runs]}, json_file)
