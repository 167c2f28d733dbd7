# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress storm``: the signal storm over the build IDs of this machine's ELF files."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from pybuildid.cli._types import Range
from stress import report
from stress.storm import axes, display
from stress.storm.collect import Collection, collect
from stress.storm.run import SOURCES, Outcome, Storm, designs

SOME_SECONDS = 5.0  #: for the rival that must be caught
RIVAL = "spinlock"


def read_options(context: click.Context, parameter: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Values by axis."""
    chosen = {}
    for text in given:
        axis, _, value = text.partition("=")
        if value not in axes.AXES.get(axis, ()):
            known = "; ".join(f"{name}={'|'.join(values)}" for name, values in axes.AXES.items())
            raise click.BadParameter(f"{text}: the axes and their values are {known}")
        chosen[axis] = value
    return chosen


def run(
    console: Console,
    design: str,
    files: Collection,
    seed: int,
    seconds: float,
    threads: int,
    mask: int,
    options: dict[str, str],
) -> Outcome:
    """One storm over one design, with a display while it runs."""
    lookers = max(threads // 2, 1)
    began = time.monotonic()
    storm = Storm(
        design,
        files.keys,
        files.ids,
        seed=seed,
        seconds=seconds,
        lookers=lookers,
        churners=max(threads - lookers, 1),
        sources=mask,
        options=options,
    )
    bar = display.Display(console, design)
    try:
        return storm.run(lambda storm: bar.tick(storm, time.monotonic() - began, seconds))
    finally:
        bar.close()
        storm.kill()


def gather(console: Console, directories: tuple[Path, ...]) -> Collection:
    with console.status("collecting ELF files") as status:
        note: Callable[[int], None] = lambda found: status.update(f"collecting ELF files: {found:,}")  # noqa: E731
        files = collect(directories, note)
    if not files.keys:
        places = ", ".join(map(str, directories))
        raise click.ClickException(f"no ELF file is mapped by a readable process or lies under {places}: give a --dir")
    display.print_collection(console, files)
    return files


@click.command()
@click.option("--seconds", type=Range(0.1, 86400), default=30.0, show_default=True, help="How many seconds to run.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of every random choice. Default: a new one.")
@click.option(
    "--threads",
    type=click.IntRange(2, 16),
    default=4,
    show_default=True,
    help="Number of threads: half look up, half churn.",
)
@click.option(
    "--dir",
    "directories",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    multiple=True,
    default=("/usr/bin", "/usr/lib"),
    show_default=True,
    help="Where ELF files are looked for, beside those that are mapped; may be given again.",
)
@click.option(
    "--design",
    type=click.Choice([design.name for design in designs()]),
    metavar="[" + "|".join(design.name for design in designs() if not design.lies) + "]",
    help=f"Only this one, judged like ours, so that a FAILURE is what to expect of {RIVAL}. Default: ours, then "
    f"{RIVAL} for {SOME_SECONDS:.0f} seconds, which must be caught.",
)
@click.option(
    "--source",
    "sources",
    type=click.Choice(list(SOURCES)),
    multiple=True,
    help="What interrupts; may be given again. Default: all that this system allows.",
)
@click.option(
    "--option",
    "given",
    multiple=True,
    metavar="AXIS=VALUE",
    callback=read_options,
    help="An option of the table: "
    + "; ".join(f"{axis}={'|'.join(values)}" for axis, values in axes.AXES.items())
    + ". "
    "May be given again. Default: by the seed, the first value of an axis two times in three.",
)
@json_option
def storm(
    seconds: float,
    seed: int | None,
    threads: int,
    directories: tuple[Path, ...],
    design: str | None,
    sources: tuple[str, ...],
    given: dict[str, str],
    json_file: Path | None,
) -> None:
    """Runs a signal storm over a table that holds the build IDs of this machine's ELF files.

    Threads look up and churn (insert, replace, evict, grow, shrink) while signal handlers written in C interrupt them,
    and each other, and look up, insert and remove in turn. An oracle judges every answer. Every function of the table
    is used, and lookups and updates for NMI context must not make a system call. The last line says SUCCESS or FAILURE;
    the exit status is 0 for SUCCESS only.
    """
    console = _output.console()
    seed = secrets.randbits(32) if seed is None else seed
    mask = sum(SOURCES[name] for name in set(sources) or SOURCES)
    files = gather(console, directories)
    options = axes.choose(seed, given)
    outcome = run(console, design or "ours", files, seed, seconds, threads, mask, options)
    failures, others = list(outcome.failures), []
    if design is None:
        others.append(run(console, RIVAL, files, seed, SOME_SECONDS, threads, mask, options))
        if not others[0].blocked:
            failures.append(f"the harness did not notice that {RIVAL} blocks")
    verdict = "FAILURE" if failures else "SUCCESS"
    display.print_outcomes(console, [outcome, *others])
    if others and others[0].blocked:
        console.print(f"{RIVAL} was caught: {', '.join(others[0].failures)}. So the harness can tell.", soft_wrap=True)
    console.print(display.summary(outcome, verdict, failures), highlight=False, markup=False, soft_wrap=True)
    report.conclude(verdict, display.figures(files, outcome, others, failures), json_file)
