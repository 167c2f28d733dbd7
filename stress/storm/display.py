# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a person sees of a storm: the live display, the table at the end, and the JSON file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from pybuildid._core import lib
from pybuildid.cli._errors import printable
from pybuildid.cli._output import print_table
from stress.storm import axes
from stress.storm.collect import Collection
from stress.storm.run import Outcome, Storm

ROWS = (
    ("interruptions", "interruptions"),
    ("  inside an update", "landed_in_update"),
    ("  while a resize stood half done", "landed_in_resize"),
    ("  inside a lookup", "landed_in_lookup"),
    ("  inside another handler", "nested"),
    ("lookups", "lookups"),
    ("updates", "updates"),
    ("  from a handler", "updates_in_handlers"),
    ("  refused, the table is full", "updates_full"),
    ("resizes", "resizes"),
    ("wrong answers", "wrong"),
    ("wrong entries at the end", "wrong_at_end"),
    ("blocked lookups", "blocked"),
    ("blocked updates", "blocked_updates"),
    ("errno changed", "errno_changed"),
    ("system calls where there may be none", "system_calls"),
    ("worst lookup, slots read", "max_slots_read"),
    ("worst lookup, records read", "max_records_read"),
)

TRIALS = {"handlers-update": "when handlers update", "stopped": "when updaters are stopped for good"}

LINE_SECONDS = 5  #: between two lines of progress where there is no terminal
SHOWN = 3  #: names of files and processes that were left out


class Display:
    """Progress of one storm: a bar on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title, self._last = console, title, time.monotonic()
        columns = (TextColumn("{task.description}"), BarColumn(16), TextColumn("{task.fields[text]}"))
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task(title, total=1.0, text="")
        if console.is_terminal:
            self._bar.start()

    def tick(self, storm: Storm, elapsed: float, seconds: float) -> None:
        numbers = f"{storm.interruptions():,} interruptions, {storm.lookups():,} lookups"
        text = f"{elapsed:.0f} of {seconds:.0f} s, {numbers}"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=min(elapsed / seconds, 1.0), text=text)
        elif time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            self._console.print(f"{self._title}: {text}", highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._console.is_terminal:
            self._bar.stop()


def some(names: Sequence[str]) -> str:
    """How many, and the first few of them by name."""
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names):,}: {shown}" if names else "0"


def print_collection(console: Console, files: Collection) -> None:
    lines = [
        f"{len(files.keys):,} ELF files by inode, {files.mapped:,} of them mapped by a process; "
        f"{files.without_id:,} without a build ID. {files.not_elf:,} other files are not ELF."
    ]
    left_out = (
        (files.malformed, "malformed ELF files"),
        (files.unreadable, "could not be read"),
        (files.hidden, "mappings that could not be read"),
    )
    lines += [f"Left out, {what}: {some(names)}" for names, what in left_out if names]
    console.print("\n".join(map(printable, lines)), highlight=False, soft_wrap=True)


def caught(rival: Outcome) -> str:
    when = f" {TRIALS[rival.trial]}" if rival.trial in TRIALS else ""
    return f"{rival.design} was caught{when}: {', '.join(rival.failures)}. So the harness can tell."


def hardship(trial: str, outcome: Outcome, trials: Sequence[Outcome]) -> str:
    """What became of a design in a trial: a cell of the table. Handlers always update ours."""
    if trial == "handlers-update" and outcome.options:
        return "goes on" if outcome.updates_in_handlers and not outcome.blocked_updates else "blocked"
    for one in trials:
        if (one.trial, one.design) == (trial, outcome.design):
            stopped = f"{one.stopped} stopped, " if one.stopped else ""
            return stopped + ("blocked" if one.blocked_updates or one.blocked else "goes on")
    return "not tried"


def print_outcomes(console: Console, outcomes: Sequence[Outcome], trials: Sequence[Outcome]) -> None:
    table = Table(title="signal storm", title_justify="left")
    table.add_column("", no_wrap=True)
    for outcome in outcomes:
        table.add_column(outcome.design, justify="right")
    for label, name in ROWS:
        table.add_row(label, *(f"{getattr(outcome, name):,}" for outcome in outcomes))
    if trials:
        for trial, when in TRIALS.items():
            table.add_row(when, *(hardship(trial, outcome, trials) for outcome in outcomes))
    table.add_row("interruptions a second", *(f"{outcome.rates['interruptions']:,.0f}" for outcome in outcomes))
    table.add_row("entries at the start", *(f"{outcome.entries_at_start:,}" for outcome in outcomes))
    table.add_row(
        "entries at the end", *(f"{outcome.entries:,}" if outcome.finished else "not reached" for outcome in outcomes)
    )
    table.add_row("interrupted by", *(", ".join(outcome.engines) for outcome in outcomes))
    print_table(console, table)
    for outcome in outcomes:
        notes = list(outcome.complaints)
        if outcome.options:
            notes.insert(0, f"options: {axes.describe(outcome.options)}")
            if not outcome.quiet_threads:
                notes.append("nobody watched for system calls: that needs Linux 5.11 on x86-64")
        if outcome.perf_error:
            notes.insert(0, f"no perf events here ({outcome.perf_error}); see /proc/sys/kernel/perf_event_paranoid")
        for note in notes:
            console.print(f"{outcome.design}: {note}", highlight=False, soft_wrap=True)


def summary(outcome: Outcome, verdict: str, failures: Sequence[str]) -> str:
    """The last line: it begins with SUCCESS or FAILURE."""
    bounds = f"{outcome.max_slots_read} slots and {outcome.max_records_read} records"
    stated = f"{lib.BID_LOOKUP_MAX_SLOTS} and {lib.BID_LOOKUP_MAX_RECORDS}"
    rates = ", ".join(f"{rate:,.0f} {name}" for name, rate in outcome.rates.items())
    text = (
        f"{verdict}: seed {outcome.seed}, {outcome.interruptions:,} interruptions in {outcome.seconds:.1f} s, "
        f"{outcome.landed_in_update:,} inside an update, {outcome.landed_in_resize:,} inside a resize, "
        f"{outcome.landed_in_lookup:,} inside a lookup; {outcome.lookups:,} lookups, {outcome.wrong:,} wrong, "
        f"{outcome.blocked:,} blocked; {outcome.resizes:,} resizes; worst lookup {bounds} (bound {stated}); "
        f"a second: {rates}"
    )
    return f"{text}. {'; '.join(failures)}" if failures else text


def figures(
    files: Collection,
    outcome: Outcome,
    others: Sequence[Outcome],
    trials: Sequence[Outcome],
    failures: Sequence[str],
) -> dict[str, object]:
    """Of the JSON report."""
    return {
        **asdict(outcome),
        "failures": list(failures),
        "files": {
            "mapped": files.mapped,
            "without_id": files.without_id,
            "not_elf": files.not_elf,
            "malformed": files.malformed,
            "unreadable": files.unreadable,
            "hidden": files.hidden,
        },
        "others": [{**asdict(other), "verdict": other.verdict} for other in others],
        "trials": [{**asdict(trial), "verdict": trial.verdict} for trial in trials],
        "bound_slots": lib.BID_LOOKUP_MAX_SLOTS,
        "bound_records": lib.BID_LOOKUP_MAX_RECORDS,
    }
