# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m study report``: one HTML page from the JSON documents of the other commands."""

from __future__ import annotations

from pathlib import Path

import click

from pybuildid.cli._errors import printable
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import OutputFile
from study import report as pages

file_option = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--storm", type=file_option, help="JSON of `python -m stress --json FILE`.")
@click.option("--bench", type=file_option, help="JSON of `python -m study bench --json FILE`.")
@click.option("--collisions", type=file_option, help="JSON of `pybuildid collisions --json FILE`.")
@click.option("--memory", type=file_option, help="JSON of `python -m study memory --json FILE`.")
@click.option(
    "--output",
    type=OutputFile(),
    default=Path("report.html"),
    show_default=True,
    help="The page.",
)
def report(storm: Path | None, bench: Path | None, collisions: Path | None, memory: Path | None, output: Path) -> None:
    """One HTML page to send around: the verdict, the storm, the comparison, collisions, memory, and the machine.

    The page needs no network and no other file. What was not measured is named in it. The last line says SUCCESS,
    FAILURE, or UNDECIDED without a storm; the exit status is 0 if the page was written, whatever it says.

    In a checkout, `make report` measures everything first, in some minutes.

    \b
    Example:
      pybuildid collisions --json collisions.json
      python -m study memory --json memory.json
      python -m study report --collisions collisions.json --memory memory.json
    """
    files = {"storm": storm, "bench": bench, "collisions": collisions, "memory": memory}
    try:
        documents = pages.read({name: file for name, file in files.items() if file is not None})
    except pages.DocumentError as error:
        raise click.ClickException(str(error)) from None
    with output_path(output) as path:
        path.write_text(pages.render(documents), encoding="utf-8")
    verdict = pages.judge(documents)
    for name, file in files.items():
        if file is None:
            click.echo(f"Not in the report: {name}. It comes from `{pages.MAKERS[name]}`.")
    click.echo(f"{printable(str(output))}: {verdict.word}: {' '.join(verdict.sentences)}")
