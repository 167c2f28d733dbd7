# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``pybuildid record``: stacks of all processes, or of some, by build ID and file offset."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

import click
from rich.console import Console
from rich.table import Table

from pybuildid._starting import children_are_waited_for, start_command
from pybuildid.cli._errors import complain, explain, printable
from pybuildid.cli._json import write_json
from pybuildid.cli._output import console
from pybuildid.cli._profile_output import name_functions, output_options, report_file
from pybuildid.cli._signals import STEP, Ending, ending
from pybuildid.cli._standard_output import output_path
from pybuildid.cli._types import OutputFile, Pid, Range
from pybuildid.profile._program import find_program
from pybuildid.record import Recorded, RecordError, Recording, Status, check_process

CANNOT = 77  #: exit status: samples cannot be taken here
MOST_ROWS = 30
UNSAFE = (
    "programs that ran before the recording have the kernel's own answers alone, for this kernel's BPF iterator over "
    "mappings may crash it when a process ends: Linux 6.2, or an older one with that repaired, has them from the table"
)


@click.command("record", context_settings={"allow_interspersed_args": False})
@output_options("record.pb.gz")
@click.option("--folded", type=OutputFile(), help="Write folded stacks here as well.")
@click.option("-F", "--frequency", default=99, show_default=True, type=click.IntRange(1, 10_000), help="Samples a "
              "second on each CPU.")  # fmt: skip
@click.option("-a", "--all", "everything", is_flag=True, help="Record all processes, also while COMMAND runs.")
@click.option("-p", "--pid", "pids", multiple=True, type=Pid(), help="Record this process and those that "
              "it starts; may be given several times.")  # fmt: skip
@click.option("--seconds", type=Range(0.01, 1e7), metavar="N", help="End after so many seconds.")
@click.option("--clock", is_flag=True, help="Sample by the clock, also where there is a hardware counter of cycles.")
@click.option("--memory", default=32, show_default=True, type=click.IntRange(1, 4096), metavar="MIB", help="Memory for "
              "the table: 64 bytes a file, several times over while it grows.")  # fmt: skip
@click.option("--processes", is_flag=True, help="Report the samples of each process.")
@click.option("--files", is_flag=True, help="Report the samples of each file.")
@click.argument("arguments", metavar="[COMMAND...]", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...], everything: bool, pids: tuple[int, ...], **options: Any) -> None:
    """Record stacks of all processes, of some, or of COMMAND and what it starts, with a build ID for each frame.

    BPF programs take user and kernel stacks, by frame pointers, and resolve them on the spot: from a table of build
    IDs, and from the mappings of all processes, which the programs keep themselves. No file is looked at, and no lock
    is taken. A frame that they cannot resolve takes the kernel's own answer, where it has one. The report says how many
    frames were resolved how, and why the others were not.

    At the end functions get their names, as `pybuildid symbolize` finds them. Code that a program makes at run time has
    the names that the program writes to /tmp/perf-PID.map, as `node --perf-basic-prof` and `python3 -X perf` do.

    Without -p and COMMAND all processes are recorded, until Ctrl-C or for --seconds. With -p the recording also ends
    when all of these processes have ended. Nothing is changed in the processes that are recorded.

    Needs root (or CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE), libbpf 1, and Linux 6.1 or later
    with type information (BTF).

    \b
    Examples:
      pybuildid record --seconds 10
      pybuildid record -p 4711 --folded stacks.txt
      pybuildid record -- make -j8
      go tool pprof -top record.pb.gz

    Exit status: that of COMMAND, 128 and the signal's number if it was ended by one; 77 if samples cannot be taken
    here, and then COMMAND was not started.
    """
    if pids and (everything or arguments):
        raise click.UsageError("-p goes neither with -a nor with COMMAND.")
    for pid in pids:
        check_process(pid)
    program = _find(arguments)
    try:
        recorded, status = _record(arguments, program, pids, everything, options)
    except RecordError as error:
        click.echo(f"Error: {printable(str(error))}", err=True)
        raise click.exceptions.Exit(CANNOT) from None
    folded_path = output_path(options["folded"]) if options["folded"] else nullcontext(None)
    with output_path(options["output"]) as path, folded_path as folded:
        written, failed = _write(recorded, os.path.realpath(program) if program else "", options, path, folded)
        write_json(options["json_file"], lambda: _document(recorded, options))
        with report_file(options["report_to"]) as stream:
            _report(recorded, written, options, stream)
            if recorded.stacks and not failed and not options["no_symbols"] and path.is_file():
                name_functions(path, stream, quiet=options["text"])
    status = status if status >= 0 else 128 - status
    raise click.exceptions.Exit(status or failed)


def _find(arguments: tuple[str, ...]) -> str:
    """The file of COMMAND, before anything is started; "" without one."""
    if not arguments:
        return ""
    path = find_program(arguments[0], os.environ)
    if path is None:
        raise click.ClickException(f"{arguments[0] or repr('')}: no such command, or it may not be run")
    return path


# ------------------------------------------------------------------------------------------------- recording


def _record(
    arguments: tuple[str, ...], program: str, pids: tuple[int, ...], everything: bool, options: dict[str, Any]
) -> tuple[Recorded, int]:
    only = bool(pids or arguments) and not everything
    with (
        Named(pids) as named,
        Recording(
            frequency=options["frequency"], only=only, clock=options["clock"], memory=options["memory"] << 20
        ) as recording,
    ):
        for pid in pids:
            recording.target(pid)
        with children_are_waited_for() as ignored, ending() as over:
            recording.start()
            if not arguments:
                _watch(recording, over, named, options["seconds"])
                return recording.stop(), 0
            recording.target(os.getpid())  # which is not sampled, but its children are
            with start_command(arguments, program, ignored=(*ignored, *over.ignored)) as process:
                status = _wait(process, over, options["seconds"])
                return recording.stop(), status


def _wait(process: subprocess.Popen[bytes], over: Ending, seconds: float | None) -> int:
    """Until COMMAND ends, or the recording; then COMMAND goes on without it. Its status."""
    end = time.monotonic() + seconds if seconds else None
    while not over.is_set():
        try:
            return process.wait(0.05 if end is None else max(0.0, min(0.05, end - time.monotonic())))
        except subprocess.TimeoutExpired:
            if end is not None and time.monotonic() >= end:
                break
    try:
        return process.wait(0.2)  # Ctrl-C ends COMMAND as well, and its status is then that of this command
    except subprocess.TimeoutExpired:
        process.returncode = 0  # it is left alone
        return 0


class Named:
    """The processes of -p, by descriptors: a number may be another process's by and by."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._descriptors = {os.pidfd_open(pid) for pid in pids}
        self._poll = select.poll()
        for descriptor in self._descriptors:
            self._poll.register(descriptor, select.POLLIN)
        self._any = bool(self._descriptors)

    def wait(self, seconds: float) -> bool:
        """For so many seconds, or until one ends. Whether all have ended, if there were any."""
        for descriptor, _ in self._poll.poll(max(0.0, seconds) * 1000):
            self._poll.unregister(descriptor)
            self._descriptors.remove(descriptor)
            os.close(descriptor)
        return self._any and not self._descriptors

    def __enter__(self) -> Named:
        return self

    def __exit__(self, *exception: object) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


def _watch(recording: Recording, over: Ending, named: Named, seconds: float | None) -> None:
    """Until it is to end, the time is over, or the processes that were named have ended."""
    began = shown = time.monotonic()
    err = console(stderr=True)
    ended = False
    with err.status("Recording") as live:
        while not ended and not over.is_set() and (seconds is None or time.monotonic() - began < seconds):
            left = STEP if seconds is None else seconds - (time.monotonic() - began)
            ended = named.wait(min(STEP, left))
            if (now := time.monotonic()) - shown >= 1:
                shown = now
                live.update(_line(recording.status(), now - began))


def _line(status: Status, seconds: float) -> str:
    share = f", {status.with_build_id / status.frames:.1%} with a build ID" if status.frames else ""
    return (
        f"Recording: {seconds:.0f} s, {status.samples:,} samples, {status.frames:,} user frames{share}, "
        f"{status.lost:,} lost; {status.cpu_seconds / max(seconds, 0.001):.1%} of a CPU used"
    )


# ------------------------------------------------------------------------------------------------ the report


def _write(
    recorded: Recorded, program: str, options: dict[str, Any], path: Path, folded: Path | None
) -> tuple[str, bool]:
    """What is to be said of it, and whether it failed: what was recorded is reported all the same. A recording of
    nothing does not take the place of the last one. path, folded: where each is to be for now."""
    if not recorded.stacks:
        return f"Not written: {printable(str(options['output']))}, for there are no samples.", False
    written: list[str] = []
    try:
        for name, where, write in (
            (options["output"], path, lambda path: recorded.write_pprof(path, main=program)),
            (options["folded"], folded, recorded.write_folded),
        ):
            if where:
                write(where)
                written.append(printable(str(name)))
    except OSError as error:
        error.filename = error.filename or str(name)
        complain(f"not written: {explain(error)}")
    return f"Written: {' and '.join(written) or 'nothing'}", len(written) < 1 + bool(options["folded"])


def _document(recorded: Recorded, options: dict[str, Any]) -> dict[str, Any]:
    status = recorded.status
    return {
        "seconds": recorded.seconds,
        "frequency": recorded.frequency,
        "hardware": status.hardware,
        "cpus": status.cpus,
        "samples": status.samples,
        "lost": status.lost,
        "user_frames": status.frames,
        "with_build_id": status.with_build_id,
        "outcomes": [{"reason": reason, "source": by, "frames": n} for reason, by, n in recorded.outcomes()],
        "counts": status.counts,
        "stacks": len(recorded.stacks),
        "files": {"known": status.files, "read": status.read, "unreadable": status.unreadable, "silent": status.silent},
        "cpu_seconds": status.cpu_seconds,
        "by_process": [[pid, name, n] for (pid, name), n in recorded.by_process().most_common()],
        "by_file": recorded.by_file().most_common(),
    }


def _report(recorded: Recorded, written: str, options: dict[str, Any], stream: TextIO) -> None:
    out, wide = console(file=stream), console(file=stream, wide=True)
    if options["text"]:
        for line in recorded.unstrip_lines():
            click.echo(printable(line) if stream.isatty() else line, file=stream, color=True)
    else:
        if recorded.status.frames:
            wide.print(_outcomes(recorded))
        if options["processes"]:
            rows = [(f"{pid} {printable(name)}", n) for (pid, name), n in recorded.by_process().most_common()]
            wide.print(_samples("process", rows, recorded.status.samples))
        if options["files"]:
            rows = [(printable(name), n) for name, n in recorded.by_file().most_common()]
            wide.print(_samples("file of the innermost frame", rows, recorded.status.samples))
        _summary(recorded, written, out)
    _losses(recorded.status, out)


def _outcomes(recorded: Recorded) -> Table:
    table = Table("user frames", "share", "of which", box=None)
    text: dict[str, Callable[[str], str]] = {
        "table": lambda reason: "resolved from the table",
        "kernel": lambda reason: f"by the kernel's own answer: {reason}",
        "none": lambda reason: f"not resolved: {reason}",
    }
    for reason, source, count in recorded.outcomes():
        table.add_row(f"{count:,}", f"{count / recorded.status.frames:.1%}", text[source](reason))
    return table


def _samples(what: str, rows: list[tuple[str, int]], samples: int) -> Table:
    table = Table("samples", "share", what, box=None)
    for name, count in rows[:MOST_ROWS]:
        table.add_row(f"{count:,}", f"{count / max(samples, 1):.1%}", name)
    if rows[MOST_ROWS:]:
        rest = sum(count for _, count in rows[MOST_ROWS:])
        table.add_row(f"{rest:,}", f"{rest / max(samples, 1):.1%}", f"({len(rows) - MOST_ROWS:,} others)")
    return table


def _summary(recorded: Recorded, written: str, out: Console) -> None:
    status = recorded.status
    by = "a hardware counter of cycles" if status.hardware else "the clock"
    share = f" ({status.with_build_id / status.frames:.1%} with a build ID)" if status.frames else ""
    out.print(
        f"{status.samples:,} samples in {recorded.seconds:.1f} s, {recorded.frequency} a second on each of "
        f"{status.cpus} CPU{'s' * (status.cpus != 1)}, by {by}; {status.frames:,} user frames{share} in "
        f"{len(recorded.stacks):,} different stacks; {status.files:,} files; "
        f"{status.cpu_seconds / max(recorded.seconds, 0.001):.2%} of a CPU used. {written}"
    )


def _losses(status: Status, out: Console) -> None:
    """A line for each thing that is not in the recording, and what would help."""
    counts = status.counts
    for lost, what in (
        (status.lost, "samples: the recorder did not get to run in time. A lower --frequency helps"),
        (counts["no_stack"], "user stacks could not be read: their memory was not present"),
        (counts["events_lost"], "changes of mappings were not heard of in time: their frames took the kernel's answer"),
        (counts["no_room"], "mappings: there was no memory for them in the kernel"),
        (status.refused, "build IDs: there is no room for them in the table. More --memory helps"),
        (status.unreadable, "files could not be read, for their processes had ended"),
        (status.silent, "files could not be read, for their file systems do not answer"),
        (status.denied, "files may not be read: run with all capabilities, outside of containers"),
    ):
        if lost:
            out.print(f"Lost: {lost:,} {what}.")
    if not status.areas:
        out.print(f"Not from the table: {UNSAFE}.")
