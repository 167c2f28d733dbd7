# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a person sees: the live display, the table at the end, and the JSON file."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stress._engine import lib
from stress.collect import Collection
from stress.storm import Outcome, Storm

ROWS = (
    ("interruptions", "interruptions"),
    ("  inside an update", "landed_in_update"),
    ("  while a resize stood half done", "landed_in_resize"),
    ("  inside a lookup", "landed_in_lookup"),
    ("  inside another handler", "nested"),
    ("lookups", "lookups"),
    ("updates", "updates"),
    ("resizes", "resizes"),
    ("wrong answers", "wrong"),
    ("wrong entries at the end", "wrong_at_end"),
    ("blocked lookups", "blocked"),
    ("errno changed", "errno_changed"),
    ("worst lookup, slots read", "max_slots_read"),
    ("worst lookup, records read", "max_records_read"),
)


def processor() -> str:
    """The processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


class Display:
    """Progress of one storm: a bar on a terminal, else a line every few seconds."""

    def __init__(self, console: Console, title: str) -> None:
        self._console, self._title, self._last = console, title, time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task(title, total=1.0, text="")
        if console.is_terminal:
            self._bar.start()

    def tick(self, storm: Storm, elapsed: float, seconds: float) -> None:
        text = f"{storm.interruptions():,} interruptions, {storm.lookups():,} lookups, {storm.updates():,} updates"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=min(elapsed / seconds, 1.0), text=text)
        elif time.monotonic() - self._last >= 5:
            self._last = time.monotonic()
            self._console.print(f"{self._title}: {elapsed:.0f} of {seconds:.0f} s, {text}", highlight=False)

    def close(self) -> None:
        self._bar.stop()


def print_collection(console: Console, files: Collection) -> None:
    console.print(
        f"{len(files.keys):,} ELF files by inode, {files.mapped:,} of them mapped by a process; "
        f"{files.without_id:,} without a build ID. Left out: {files.not_elf:,} files that are not ELF, "
        f"{files.unreadable:,} unreadable, the mappings of {files.denied:,} processes (no permission).",
        highlight=False,
        soft_wrap=True,
    )


def print_outcomes(console: Console, outcomes: Sequence[Outcome]) -> None:
    table = Table(title="signal storm", title_justify="left")
    table.add_column("")
    for outcome in outcomes:
        table.add_column(outcome.design, justify="right")
    for label, name in ROWS:
        table.add_row(label, *(f"{getattr(outcome, name):,}" for outcome in outcomes))
    rates = [outcome.interruptions / outcome.seconds for outcome in outcomes]
    table.add_row("interruptions a second", *(f"{rate:,.0f}" for rate in rates))
    table.add_row("entries, at the start and the end", *(f"{o.entries_at_start:,} / {o.entries:,}" for o in outcomes))
    table.add_row("sources of interruptions", *(", ".join(outcome.sources) for outcome in outcomes))
    console.print(table)
    for outcome in outcomes:
        if outcome.perf_error:
            console.print(f"{outcome.design}: no perf events here ({outcome.perf_error}); see perf_event_paranoid")
        for complaint in outcome.complaints:
            console.print(f"{outcome.design}: {complaint}", highlight=False, soft_wrap=True)


def summary(outcome: Outcome, verdict: str, failures: Sequence[str]) -> str:
    """The last line: it begins with SUCCESS or FAILURE."""
    bounds = f"{outcome.max_slots_read} slots and {outcome.max_records_read} records"
    stated = f"{lib.BID_LOOKUP_MAX_SLOTS} and {lib.BID_LOOKUP_MAX_RECORDS}"
    text = (
        f"{verdict}: seed {outcome.seed}, {outcome.interruptions:,} interruptions in {outcome.seconds:.1f} s, "
        f"{outcome.landed_in_update:,} inside an update, {outcome.landed_in_resize:,} inside a resize, "
        f"{outcome.landed_in_lookup:,} inside a lookup; {outcome.lookups:,} lookups, {outcome.wrong:,} wrong, "
        f"{outcome.blocked:,} blocked; {outcome.resizes:,} resizes; worst lookup {bounds} (bound {stated})"
    )
    return f"{text}. {'; '.join(failures)}" if failures else text


def write_json(path: Path, outcome: Outcome, others: Sequence[Outcome], verdict: str, failures: Sequence[str]) -> None:
    report = {
        **asdict(outcome),
        "verdict": verdict,
        "failures": list(failures),
        "others": [{**asdict(other), "verdict": other.verdict} for other in others],
        "bound_slots": lib.BID_LOOKUP_MAX_SLOTS,
        "bound_records": lib.BID_LOOKUP_MAX_RECORDS,
        "kernel": os.uname().release,
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    path.write_text(json.dumps(report, indent=2) + "\n")
