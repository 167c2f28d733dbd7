# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid profile``: where a command spends its CPU time, by build ID and file offset."""

from __future__ import annotations

import errno
import os
import sys
from collections import Counter
from dataclasses import asdict
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import printable
from pybuildid.cli._output import console, print_json
from pybuildid.cli._types import Range
from pybuildid.profile import MOST, REASONS, Module, ProfileResult, profile_command

NOBODY_COUNTED = (
    "the command was not profiled: is it linked statically, or set-user-ID, or did it clear LD_PRELOAD? Those do not "
    "load the profiler's library"
)
GO = (
    "the command was not profiled: it is written in Go, whose run time keeps all signals to itself; its own package "
    "runtime/pprof can profile it"
)


@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "-o",
    "--output",
    default="profile.pb.gz",
    show_default=True,
    type=click.Path(dir_okay=False, writable=True),
    help="Write the profile here, for pprof.",
)
@click.option(
    "--text",
    is_flag=True,
    help="Print the sampled files in the format of `eu-unstrip -n`, no report. Spaces in names are \\040.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a report.")
@click.option(
    "--frequency", default=997, show_default=True, type=click.IntRange(1, MOST), help="Samples a second of CPU time."
)
@click.option(
    "--follow",
    default=100.0,
    show_default=True,
    type=Range(1, 3_600_000),
    metavar="MS",
    help="How often to look for code that was mapped since, in milliseconds.",
)
@click.option("--timer", is_flag=True, help="Use a CPU timer of the process, even where perf events are to be had.")
@click.option("--parse", is_flag=True, help="For comparison: let each sample also parse its file's first page.")
@click.option("--evict", is_flag=True, help="For comparison: drop these pages from memory, again and again.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def profile(
    output: str,
    text: bool,
    as_json: bool,
    frequency: int,
    follow: float,
    timer: bool,
    parse: bool,
    evict: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND and sample where it, and the programs it starts, spend CPU time.

    OPTIONS come before COMMAND; what follows it is its own.

    Each sample is resolved in the signal handler that takes it: from the interrupted instruction pointer to the build
    ID of the file and the offset in it, without a lock or a look at the file. What cannot be resolved is counted by
    reason. Instruction pointers only: no call stacks.

    --parse and --evict show what a profiler meets that looks into the file instead: the page may not be in memory.

    \b
    Examples:
      pybuildid profile -- python3 -c 'sum(range(10**8))'
      go tool pprof -top profile.pb.gz
      pybuildid profile --text -- make

    Exit status: that of COMMAND, 128 and the signal's number if it was ended by one; 1 if it was not profiled.
    """
    _check_output(output)
    try:
        result, code = profile_command(
            command, frequency=frequency, follow=follow / 1000, parse=parse, evict=evict, timer=timer
        )
    except PermissionError:
        raise click.ClickException(
            f"{command[0]}: not a program that may be run: `chmod +x` makes a file one"
        ) from None
    if not result.processes:
        raise click.ClickException(GO if result.refused else NOBODY_COUNTED)
    try:
        result.write_pprof(output)
    except OSError as error:
        error.filename = error.filename or output
        raise
    if as_json:
        print_json(_document(result, command, code))
    elif text:
        for line in result.unstrip_lines():
            click.echo(printable(line) if sys.stdout.isatty() else line, color=True)  # names are not to be stripped
    else:
        _report(result, output)
    raise click.exceptions.Exit(code if code >= 0 else 128 - code)


def _check_output(path: str) -> None:
    """Before the command runs, which may take long, rather than after it."""
    directory = os.path.dirname(path) or "."
    if not os.path.isdir(directory):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
    if not os.path.exists(path) and not os.access(directory, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def _document(result: ProfileResult, command: tuple[str, ...], code: int) -> dict[str, Any]:
    return {"command": list(command), "exit_code": code, "in_elf_code": result.in_elf_code, **asdict(result)}


def _report(result: ProfileResult, output: str) -> None:
    out = console()
    table = Table("samples", "share", "of which", box=None)
    for reason in REASONS:
        if result.by_reason[reason]:
            name = "resolved in the signal handler" if reason == REASONS[0] else f"not resolved: {reason}"
            table.add_row(*_share(result.by_reason[reason], result.samples), name)
    if result.parsed or result.not_in_memory or result.not_parsed:
        table.add_section()
        table.add_row(*_share(result.parsed, result.samples), "found by parsing the file's first page instead")
        table.add_row(*_share(result.not_in_memory, result.samples), "not found so: that page was not in memory")
        table.add_row(*_share(result.not_parsed, result.samples), "not found so: it is not mapped, or has no note")
    if result.samples:
        console(wide=True).print(table, _files(result))
    out.print(
        f"{result.samples:,} samples in {result.seconds:.1f} s, at {result.frequency} a second of CPU time, by "
        f"{result.source}, of {result.processes} process{'es' * (result.processes > 1)}; {result.lost} lost. "
        f"Written: {printable(output)}"
    )
    if not result.samples:
        out.print("No samples: the command used too little CPU time for this frequency.")
    if result.late:
        out.print(f"{result.late:,} times a thread had SIGTRAP blocked when a sample was due: none is taken there.")
    if result.refused:
        out.print(f"Not profiled, since they are written in Go: {result.refused:,} of the programs that were started.")


def _files(result: ProfileResult) -> Table:
    """The files in which most samples are."""
    counts: Counter[bytes | str] = Counter()
    first: dict[bytes | str, Module] = {}
    for sample in result.counts:
        if module := result.module_of(sample):
            counts[module.file] += sample.count
            first.setdefault(module.file, module)
    table = Table("samples", "share", "build ID", "file", box=None)
    for file, count in counts.most_common(10):
        build_id = first[file].build_id
        text = Text(printable(first[file].path))
        table.add_row(*_share(count, result.samples), build_id.hex() if build_id else "-", text)
    return table


def _share(count: int, of: int) -> tuple[str, str]:
    return f"{count:,}", f"{100 * count / of:.1f}%" if of else ""
