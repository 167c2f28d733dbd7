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

SOME_SECONDS = 5.0  #: for a rival that must be caught, at most
FEW_SECONDS = 3.0  #: where nobody is to be caught
RIVAL = "spinlock"  #: whose lookups block
READERS = "rcu"  #: whose lookups do not, but its updates
TRIES = 3  #: to stop an updater of it inside its lock
STOPPED_THREADS = 16  #: one looks up, two more are never stopped


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
    trial: str = "usual",
) -> Outcome:
    """One storm over one design, with a display while it runs."""
    lookers = max(threads // 2, 1)
    if trial == "stopped":
        lookers, threads = 1, STOPPED_THREADS
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
        trial=trial,
    )
    bar = display.Display(console, design if trial == "usual" else f"{design}, {display.TRIALS[trial]}")
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


Run = Callable[..., Outcome]  #: of the design, the seconds and the trial; with the rest of a storm's arguments


def try_hardships(start: Run, seed: int) -> tuple[list[Outcome], list[str]]:
    """What a table that is not lock-free cannot do: ours must go on, the rival with lock-free readers must not.

    Returns the storms, and what failed. Where a thread is stopped is left to chance, so there are some tries.
    """
    ours = start("ours", FEW_SECONDS, "stopped", seed)
    failures = [f"with updaters that were stopped for good: {failure}" for failure in ours.failures]
    outcomes = [ours]
    for trial in ("handlers-update", "stopped"):
        for number in range(TRIES):
            rival = start(READERS, SOME_SECONDS, trial, seed + number)
            if rival.blocked_updates:
                break
        outcomes.append(rival)
        if not rival.blocked_updates:
            failures.append(f"the harness did not notice that {READERS} blocks, {display.TRIALS[trial]}")
    return outcomes, failures


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
    help=f"Only this one, judged like ours, so that a FAILURE is what to expect of {RIVAL}. Default: ours, then for "
    f"some seconds {READERS} and {RIVAL}, each of which must be caught.",
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
    is used, and lookups and updates for NMI context must not make a system call.

    Then come the rivals. The lookups of spinlock (fixed buckets with a lock each) must be found blocked. The lookups of
    rcu (fixed buckets, lock-free readers, a lock for updaters) are right. But it refuses what it has no room for, and
    its updates must be found blocked when handlers update, and when updaters are stopped for good. Ours has to go on in
    both cases.

    The last line says SUCCESS or FAILURE; the exit status is 0 for SUCCESS only.
    """
    console = _output.console()
    seed = secrets.randbits(32) if seed is None else seed
    mask = sum(SOURCES[name] for name in set(sources) or SOURCES)
    files = gather(console, directories)
    options = axes.choose(seed, given)

    def start(design: str, seconds: float, trial: str = "usual", seed: int = seed) -> Outcome:
        return run(console, design, files, seed, seconds, threads, mask, options, trial)

    outcome = start(design or "ours", seconds)
    failures, others, trials = list(outcome.failures), list[Outcome](), list[Outcome]()
    if design is None:
        trials, failed = try_hardships(start, seed)
        others = [start(READERS, FEW_SECONDS), start(RIVAL, SOME_SECONDS)]
        failures += failed
        failures += [f"{READERS} gave {others[0].wrong:,} wrong answers"] if others[0].wrong else []
        failures += [] if others[1].blocked else [f"the harness did not notice that {RIVAL} blocks"]
    verdict = "FAILURE" if failures else "SUCCESS"
    display.print_outcomes(console, [outcome, *others], trials)
    for caught in (rival for rival in (*others, *trials) if rival.blocked or rival.blocked_updates):
        console.print(display.caught(caught), highlight=False, soft_wrap=True)
    console.print(display.summary(outcome, verdict, failures), highlight=False, markup=False, soft_wrap=True)
    report.conclude(verdict, display.figures(files, outcome, others, trials, failures), json_file)
