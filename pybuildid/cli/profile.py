# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid profile``: where a command spends its CPU time, by build ID and file offset."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybuildid.cli._errors import printable
from pybuildid.cli._json import write_json
from pybuildid.cli._output import console
from pybuildid.cli._profile_output import name_functions, output_options, report_file
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import Range
from pybuildid.profile import MOST, REASONS, STACK_ENDS, Module, ProfileResult, profile_command

FEW = 5  #: samples: so many periods of CPU time have to pass before none is a fault
MANY = 200  #: periods of CPU time: so many have to be without a sample before that is said


def _no_running_process(ctx: click.Context, parameter: click.Parameter, pid: str | None) -> None:
    """Refuses --pid: a handler can be put into a running process only by stopping it and changing its memory."""
    if pid is not None:
        raise click.ClickException(
            f"a running process would have to be stopped and changed: use `pybuildid record -p {printable(pid)}`, "
            "which samples from outside"
        )


@click.command(context_settings={"allow_interspersed_args": False})
@output_options("profile.pb.gz")
@click.option(
    "--frequency", default=997, show_default=True, type=click.IntRange(1, MOST), help="Samples a second of CPU time."
)
@click.option(
    "--follow",
    default=100.0,
    show_default=True,
    type=Range(1, 3_600_000),
    metavar="MS",
    help="How often to look for newly mapped code, in milliseconds.",
)
@click.option(
    "--stacks/--no-stacks",
    default=True,
    show_default=True,
    help="Take call stacks, by frame pointers: code compiled with -fno-omit-frame-pointer has them.",
)
@click.option("--timer", is_flag=True, help="Use a CPU timer of the process, even where perf events are available.")
@click.option("--parse", is_flag=True, help="For comparison: let each sample also parse its file's first page.")
@click.option("--evict", is_flag=True, help="For comparison: drop these pages from memory, again and again.")
@click.option(
    "-p",
    "--pid",
    metavar="PID",
    expose_value=False,
    is_eager=True,
    callback=_no_running_process,
    help="Not possible: says what to use for a running process instead.",
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def profile(
    output: Path,
    text: bool,
    json_file: Path | None,
    report_to: Path | None,
    frequency: int,
    follow: float,
    stacks: bool,
    timer: bool,
    parse: bool,
    evict: bool,
    no_symbols: bool,
    command: tuple[str, ...],
) -> None:
    """Run COMMAND and sample where it, and the programs it starts, spend CPU time.

    OPTIONS come before COMMAND; what follows it is its own.

    The signal handler that takes a sample also resolves it: from the interrupted instruction pointer to the build ID of
    the file and the offset in it, without a lock and without reading the file. A sample that cannot be resolved is
    counted by the reason. The handler resolves the callers as well, up to 127 frames, as far as frame pointers lead. A
    call stack says why it ends.

    Code compiled with -fno-omit-frame-pointer has frame pointers. Functions of Python have frames, with their names,
    with CPython 3.12 or later, run as `python3 -X perf`, if the interpreter itself was compiled with frame pointers.
    Names of other code that a program makes are taken from /tmp/perf-PID.map as well.

    COMMAND is found and run as env does it: a script without a first line is run by sh. COMMAND gets SIGTERM and SIGHUP
    if the profiler does. It runs as without the profiler, except that LD_PRELOAD and PYBUILDID_PROFILE are in its
    environment.

    Standard output belongs to COMMAND (the JSON of --json - comes after its output). The report goes to standard error,
    or to --report FILE. It lists what could not be sampled, and why. At the end functions get their names, as
    `pybuildid symbolize` finds them.

    --parse and --evict show what happens to a profiler that looks into the file instead: the page may not be in memory.

    \b
    Examples:
      pybuildid profile -- python3 -c 'sum(range(10**8))'
      go tool pprof -top profile.pb.gz
      pybuildid profile --report files.txt --text -- make

    Exit status: that of COMMAND, 128 and the signal's number if it was ended by one; 1 if it cannot be profiled, and
    was not started.
    """
    try:
        result, code = profile_command(
            command, frequency=frequency, follow=follow / 1000, parse=parse, evict=evict, timer=timer, stacks=stacks
        )
    except PermissionError:
        raise click.ClickException(
            f"{command[0] or repr('')}: not a program that may be run: `chmod +x` makes a file one"
        ) from None
    with output_path(output) as path:
        written = _write(result, output, path)
        write_json(json_file, lambda: _document(result, command, code))
        with report_file(report_to) as stream:
            if text:
                _print_files(result, stream)
            else:
                _report(result, written, console(file=stream), console(file=stream, wide=True))
            if result.samples and not no_symbols and path.is_file():
                name_functions(path, stream, quiet=text)
    raise click.exceptions.Exit(code if code >= 0 else 128 - code)


def _print_files(result: ProfileResult, stream: TextIO) -> None:
    for line in result.unstrip_lines():
        click.echo(printable(line) if stream.isatty() else line, file=stream, color=True)  # names stay whole
    _losses(result, console(stderr=True))


def _write(result: ProfileResult, output: Path, path: Path) -> str:
    """Writes the profile, and returns what to say about it. A profile without samples does not replace the last one.
    path: where it is to be for now."""
    if not result.samples:
        return f"Not written: {printable(str(output))}, for there are no samples."
    try:
        result.write_pprof(path)
    except OSError as error:
        error.filename = error.filename or str(output)
        raise
    return f"Written: {printable(str(output))}"


def _document(result: ProfileResult, command: tuple[str, ...], code: int) -> dict[str, Any]:
    return {"command": list(command), "exit_code": code, "in_elf_code": result.in_elf_code, **asdict(result)}


def _report(result: ProfileResult, written: str, out: Console, wide: Console) -> None:
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
        wide.print(table, *([_stacks(result)] if result.stacks else []), _files(result))
    by = f", by {result.source}" if result.source else ""
    out.print(
        f"{result.samples:,} samples in {result.seconds:.1f} s, at {result.frequency} a second of CPU time{by}, of "
        f"{result.processes} process{'es' * (result.processes != 1)}. {written}"
    )
    _losses(result, out)


def _losses(result: ProfileResult, out: Console) -> None:
    """A line for each thing that is not in the profile: what, why, and what would help."""
    if not result.samples:
        out.print(_why_none(result))
    elif (seconds := _unseen(result)) is not None:
        out.print(f"Samples stand for {seconds:.1f} of {result.cpu_seconds:.1f} s of CPU time. {_SHORT_THREADS}")
    for each in result.unwatched:
        who = f"{each.processes:,} process{'es' * (each.processes != 1)}"
        how_long = f", {each.seconds:.1f} s of CPU time" if each.seconds else ""
        example = f" ({printable(each.example)})" if each.example else ""
        out.print(f"Not sampled: {who}{how_long}{example}: {each.reason}.")
    for error, text in (
        (result.perf_error, "No perf events ({}), so a timer was used: {}."),
        (result.timer_error, "No timer ({}): {}."),
        (result.evict_error, "--evict does nothing ({}): {}."),
    ):
        if error:
            out.print(text.format(errno.errorcode.get(error, error), HELP.get(error, os.strerror(error))))
    if result.late:
        out.print(f"{result.late:,} times a thread had SIGTRAP blocked when a sample was due: none is taken there.")
    for lost, what in (
        (result.lost, "samples are in no row: there is room for 65,536 addresses. A lower --frequency helps"),
        (result.stacks_lost, "samples have no callers: there is room for 16,384 stacks of 262,144 frames"),
        (result.modules_lost, "files have no name in the profile: there is room for 4 MiB of names"),
        (result.views_lost, "times there was no room for the mappings of a process: run fewer processes at a time"),
    ):
        if lost:
            out.print(f"Lost: {lost:,} {what}.")


#: What an errno of perf_event_open(), timer_create() or process_madvise() means here, and what helps.
HELP = {
    errno.EACCES: "sysctl kernel.perf_event_paranoid=2 allows them",
    errno.EPERM: "the kernel does not let this user: root may, or kernel.yama.ptrace_scope and "
    "kernel.perf_event_paranoid are too high, or a sandbox forbids it",
    errno.EAGAIN: "no signal may be queued for it: raise `ulimit -i`",
    errno.EMFILE: "no descriptors are left: raise `ulimit -n`",
    errno.ENOTSUP: "they interrupt a thread by a signal from Linux 5.19 on",
    errno.EINVAL: "they interrupt a thread by a signal from Linux 5.19 on",
    errno.ENOSYS: "a sandbox forbids the system call",
    errno.EALREADY: "the program ignores the signal",
}


def _why_none(result: ProfileResult) -> str:
    """Why there are no samples. Names a short CPU time only if it was short."""
    cpu = result.cpu_seconds or 0.0
    if cpu * result.frequency < FEW and not any(each.seconds for each in result.unwatched):
        return f"No samples: the command used {cpu * 1000:.0f} ms of CPU time, too little for this frequency."
    short = " " + _SHORT_THREADS if result.processes and not result.unwatched and not result.late else ""
    return f"No samples, in {cpu:.1f} s of CPU time.{short}"


_SHORT_THREADS = (
    "Threads and processes that end within their first period have none: --timer samples all threads of a process "
    "together."
)


def _unseen(result: ProfileResult) -> float | None:
    """The CPU time that samples stand for, if it is less than half of what the command used and nothing else says so.
    Each thread has perf events of its own, so threads that come and go have few samples, or none."""
    if result.cpu_seconds is None or result.late or result.lost or "perf" not in result.source:
        return None
    seen = result.ticks / result.frequency
    missing = result.cpu_seconds - seen - sum(each.seconds for each in result.unwatched)
    return seen if missing > result.cpu_seconds / 2 and missing * result.frequency > MANY else None


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


def _stacks(result: ProfileResult) -> Table:
    """How far call stacks go."""
    callers = sum(stack.count for stack in result.stacks if len(stack.frames) > 1)
    table = Table("samples", "share", "call stacks", box=None)
    table.add_row(*_share(callers, result.samples), "with callers")
    for end, count in sorted(result.by_stack_end.items(), key=lambda item: -item[1]):
        if count:
            name = end if end == STACK_ENDS[0] else f"end at {end}"
            table.add_row(*_share(count, result.samples), name)
    return table


def _share(count: int, of: int) -> tuple[str, str]:
    return f"{count:,}", f"{100 * count / of:.1f}%" if of else ""
