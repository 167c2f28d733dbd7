# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m stress step``: a handler after every single instruction of every operation."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from pybuildid.cli import _output
from pybuildid.cli._json import json_option
from stress import report
from stress.step import run as stepping

HANDLERS = {"looks": "looks up", "updates": "updates", "grows": "grows", "collides": "updates the key"}


def print_results(console: Console, outcome: stepping.Outcome) -> None:
    table = Table(title="a handler after every instruction", title_justify="left", box=None, padding=(0, 1, 0, 0))
    for name in ("scenario", "handler"):
        table.add_column(name, no_wrap=True)
    for name in ("executed", "interrupted", "updates", "wrong", "longest lookup"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in outcome.results:
        counts = (result.executed, result.interrupted, result.updates, result.wrong)
        instructions = f"/{result.max_instructions:,}" if result.max_instructions else ""
        longest = f"{result.max_slots}/{result.max_records}{instructions}"
        table.add_row(result.name, HANDLERS[result.mode], *(f"{count:,}" for count in counts), longest)
    _output.print_table(console, table)
    console.print("longest lookup: slots / records / instructions", highlight=False)


def print_coverage(console: Console, outcome: stepping.Outcome) -> None:
    instructions = sum(function.instructions for function in outcome.coverage)
    missed = sum(function.missed for function in outcome.coverage)
    table = Table(
        title=f"never reached: {missed:,} of the {instructions:,} instructions of the table's functions",
        title_justify="left",
        box=None,
        padding=(0, 1, 0, 0),
    )
    table.add_column("function", no_wrap=True)
    table.add_column("missed", justify="right", no_wrap=True)
    table.add_column("of", justify="right", no_wrap=True)
    table.add_column("at")
    for function in outcome.coverage:
        if function.missed:
            lines = " ".join(dict.fromkeys(line.where for line in function.never_reached))
            table.add_row(function.function, f"{function.missed:,}", f"{function.instructions:,}", lines)
    _output.print_table(console, table)


def summary(outcome: stepping.Outcome) -> str:
    found = outcome.report()
    text = f"{outcome.verdict}: {found['executed']:,} instructions executed, {found['interrupted']:,} interrupted "
    text += f"(the other {found['system_calls']:,} are libc's, after its system calls), {found['lookups']:,} lookups "
    text += f"and {found['updates']:,} updates while they stood still, {found['wrong']:,} wrong; the longest lookup: "
    text += f"{found['max_slots_read']} slots of at most {found['bound_slots']}, "
    text += f"{found['max_records_read']} records of at most {found['bound_records']}, "
    text += f"{found['lookup_instructions']:,} instructions"
    if found["bound_instructions"]:
        text += f", and {found['bound_instructions']:,} on the longest probe sequences that could be made"
    return text


@click.command()
@click.option(
    "--scenario", "names", multiple=True, metavar="NAME", help="Only this one; may be given again. See --list."
)
@click.option("--list", "listing", is_flag=True, help="Show the scenarios and end.")
@click.option("--lookups-only", is_flag=True, help="Leave out the runs in which the handler also updates.")
@click.option("--quick", is_flag=True, help="A few short scenarios, in seconds, unless --scenario names others.")
@click.option("--every", is_flag=True, help="An update at every instruction of the longest operations too: many hours.")
@click.option(
    "--turn",
    type=click.IntRange(1),
    metavar="N",
    help="Step one scenario alone: the N-th of --list; after the last comes the first again, with updates at other "
    "instructions.",
)
@click.option(
    "--parent", is_flag=True, help="Step from a parent process (ptrace), as on processors without a trap flag to set."
)
@json_option
def step(
    names: tuple[str, ...],
    listing: bool,
    lookups_only: bool,
    quick: bool,
    every: bool,
    turn: int | None,
    parent: bool,
    json_file: Path | None,
) -> None:
    """Interrupts every operation after every single instruction.

    A handler runs after each instruction, by the processor's trap flag (x86-64; elsewhere a parent process steps). It
    looks up the key of the operation, other keys of its probe sequence, absent keys, and a key of a second table. The
    key of the operation must have its state before or after the operation, and never go back.

    Then comes the same with updates at every instruction, while the operation stands still. In "updates" the handler
    inserts and removes. In "grows" it waits for another thread, whose updates are of all kinds, growing and shrinking
    too. Long operations are updated at some of their instructions only, unless --every is given.

    Last comes an update of the operation's own key ("updates the key"), at exactly one instruction, for each in turn.
    There the process forks. The child inserts, removes, or lets another thread replace and grow. Then the operation
    goes on in the child. Both answers must be right for one after the other, in some order.

    "Executed" is counted from the program's disassembly, which must lead from each place where the handler ran to the
    next. With the trap flag the one instruction after a system call cannot be interrupted: the kernel's trap comes
    after it. Any other instruction that was not interrupted is a failure.

    The last table says which instructions of the table's functions no scenario reached. If all scenarios were run, each
    of them is a failure, unless stress/step/unreached.py names its line and says why. The exit status is 0 for SUCCESS
    only.
    """
    console = _output.console()
    effort = stepping.QUICKLY if quick else stepping.EVERY if every else stepping.DEFAULT
    try:
        known = stepping.scenarios()
        if listing:
            for scenario in known.values():
                console.print(f"{scenario.name:<22} {scenario.summary}", highlight=False)
            return
        unknown = set(names) - known.keys()
        if unknown:
            raise click.BadParameter(f"{', '.join(sorted(unknown))}: see --list", param_hint="--scenario")
        if quick and not names:
            names = stepping.QUICK
        around = 0
        if turn is not None:
            around, number = divmod(turn - 1, len(known))
            names = (list(known)[number],)
        modes = () if lookups_only else stepping.MODES
        with console.status("stepping") as status:
            outcome = stepping.run(
                names, modes, effort, tick=lambda name: status.update(f"stepping {name}"), turn=around, parent=parent
            )
    except stepping.StepError as error:
        raise click.ClickException(str(error)) from None
    print_results(console, outcome)
    print_coverage(console, outcome)
    console.print("; ".join([summary(outcome), *outcome.failures]), markup=False, highlight=False, soft_wrap=True)
    report.conclude(outcome.verdict, outcome.report(), json_file)
