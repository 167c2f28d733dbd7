# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One storm: start the engine's child, watch it, and judge what came of it."""

from __future__ import annotations

import os
import signal
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stress.report import Judged
from stress.storm import axes
from stress.storm._storm import ffi, lib

SOURCES = {"perf": 1 << lib.STORM_PERF, "timer": 1 << lib.STORM_TIMER, "directed": 1 << lib.STORM_DIRECTED}
TRIALS = {"usual": lib.STORM_USUAL, "handlers-update": lib.STORM_HANDLERS_UPDATE, "stopped": lib.STORM_STOPPED}
PLACES = ("elsewhere", "an update", "a lookup")
BLOCKED_CPU_SECONDS = 1.0  #: so much of its thread's own CPU time inside one call, and the call is blocked
CALLS = (("lookup", "begun", "ended"), ("update", "entered", "left"))  #: the counters of those that began and ended
GRACE_SECONDS = 60.0  #: for the end of a storm: on a busy machine a thread gets a second of CPU time late
LYING = "lying-"  #: how the names of designs begin that are ours but for a lie
ROW = 64  #: bytes of a build ID in the engine's input


@dataclass(frozen=True)
class Design:
    name: str
    summary: str
    lies: bool  #: made to be caught, for tests of the harness


@dataclass
class Outcome(Judged):
    """What one storm came to; the fields are those of the JSON report."""

    design: str
    seed: int
    seconds: float
    threads: int
    trial: str = "usual"  #: of TRIALS
    engines: list[str] = field(default_factory=list)  #: what interrupted
    perf_error: str = ""  #: why perf events did not
    entries_at_start: int = 0
    entries: int = 0
    interruptions: int = 0
    interruptions_by_engine: dict[str, int] = field(default_factory=dict)
    nested: int = 0  #: interruptions of a handler
    landed_in_update: int = 0
    landed_in_resize: int = 0
    landed_in_lookup: int = 0
    lookups: int = 0
    updates: int = 0
    updates_in_handlers: int = 0  #: of them
    updates_full: int = 0  #: that were refused because the table was full
    stopped: int = 0  #: updaters that were stopped for good
    updates_after_stops: int = 0  #: that the others have made since
    refused: int = 0  #: updates that found retired memory waiting for readers, or in a handler no memory at hand
    rates: dict[str, float] = field(default_factory=dict)  #: a second
    wrong: int = 0
    wrong_at_end: int = 0
    errno_changed: int = 0
    update_errors: int = 0
    blocked: int = 0  #: lookups
    blocked_updates: int = 0
    resizes: int = 0
    max_slots_read: int = 0
    max_records_read: int = 0
    options: dict[str, str] = field(default_factory=dict)  #: of the table, where it is ours: see axes.py
    operations: dict[str, int] = field(default_factory=dict)  #: calls, by function of the table
    quiet_threads: int = 0  #: whose lookups and updates for NMI context were watched for system calls
    system_calls: int = 0  #: that these made
    period_us: int = 0  #: of perf events and timers, at the end
    finished: bool = False  #: with all threads joined and the whole table compared
    complaints: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  #: why it is no success, one sentence each


def designs() -> Iterator[Design]:
    """The designs that a storm can run over."""
    number = 0
    while name := lib.storm_design_name(number):
        text = ffi.string(name).decode()
        yield Design(text, ffi.string(lib.storm_design_summary(number)).decode(), text.startswith(LYING))
        number += 1


class Storm:
    """A storm under way, in a child process that shares its counters."""

    def __init__(
        self,
        design: str,
        keys: list[int],
        ids: list[bytes],
        *,
        seed: int,
        seconds: float,
        lookers: int,
        churners: int,
        sources: int = sum(SOURCES.values()),
        options: Mapping[str, str] | None = None,
        trial: str = "usual",
    ) -> None:
        """options: values on the axes of axes.py; the usual ones for the others. trial: one of TRIALS."""
        self.outcome = Outcome(design, seed, seconds, lookers + churners, trial, entries_at_start=len(keys))
        self._began = time.monotonic()
        self._inside: dict[tuple[int, int, str], tuple[int, float]] = {}  # thread, level, kind: call, CPU time then
        buffers = (array("Q", keys), b"".join(i.ljust(ROW, b"\0") for i in ids), bytes(map(len, ids)))
        name = ffi.new("char[]", design.encode())
        config = ffi.new("struct storm_config *")
        config.design, config.n, config.seed, config.seconds = name, len(keys), seed, seconds
        config.keys = ffi.from_buffer("uint64_t[]", buffers[0])
        config.ids = ffi.from_buffer("uint8_t[]", buffers[1])
        config.lengths = ffi.from_buffer("uint8_t[]", buffers[2])
        config.lookers, config.churners, config.sources, config.trial = lookers, churners, sources, TRIALS[trial]
        if design == "ours" or design.startswith(LYING):
            self.outcome.options = {**axes.usual(), **(options or {})}
            axes.apply(self.outcome.options, config.options, seed, len(keys))
        shared = ffi.new("struct storm_shared **")
        self.pid = lib.storm_start(config, shared)
        if self.pid < 0:
            raise OSError(-self.pid, os.strerror(-self.pid))
        self.shared: Any = shared[0]
        self._status: int | None = None  # of the child that has ended, as from waitpid

    # -------------------------------------------------------------------------------------------- watch --

    def _tallies(self) -> list[Any]:
        workers = [self.shared.worker[i] for i in range(self.outcome.threads)]
        return [tally for worker in workers for tally in worker.tally]

    def _sum(self, name: str) -> int:
        return sum(getattr(tally, name) for tally in self._tallies())

    def interruptions(self) -> int:
        return sum(sum(tally.interruptions) for tally in self._tallies())

    def lookups(self) -> int:
        return self._sum("ended")

    def updates(self) -> int:
        return self._sum("updates")

    def faults(self) -> int:
        """Wrong answers, changes of errno, failed updates and system calls where there may be none, so far."""
        found = self.shared
        return self._sum("wrong") + self._sum("errno_changed") + int(found.errors) + int(found.quiet.calls)

    def _cpu_seconds(self, thread: int) -> float:
        fields = Path(f"/proc/{self.pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def blocked(self) -> tuple[int, int]:
        """In how many threads a lookup, and an update, has used a second of the thread's own CPU time and is not back.

        A lookup takes less than a microsecond and an update seldom more than a millisecond, so no load on the machine
        explains that; waiting for a processor does not count. Of calls that interrupt each other the innermost counts.
        """
        kinds = [self._blocked_in(number) for number in range(self.outcome.threads)]
        return kinds.count("lookup"), kinds.count("update")

    def _blocked_in(self, number: int) -> str | None:
        """What a thread is blocked in."""
        worker, innermost = self.shared.worker[number], None
        try:
            cpu = self._cpu_seconds(worker.tid)
        except (OSError, IndexError):
            return None  # not started yet, or gone
        for level, tally in enumerate(worker.tally):
            for kind, begin, end in CALLS:
                begun, ended = getattr(tally, begin), getattr(tally, end)
                known, since = self._inside.get((number, level, kind), (begun, cpu))
                if begun == ended or begun != known:
                    since = cpu
                self._inside[number, level, kind] = (begun, since)
                if cpu - since >= BLOCKED_CPU_SECONDS:
                    innermost = kind
        return innermost

    def run(self, tick: Callable[[Storm], None] = lambda storm: None) -> Outcome:
        """Waits for the end, or for a blocked lookup; calls `tick` ten times a second. To be called once."""
        try:
            while not self._ended():
                self.outcome.blocked, self.outcome.blocked_updates = self.blocked()
                late = time.monotonic() - self._began > self.outcome.seconds + GRACE_SECONDS
                if self.outcome.blocked or self.outcome.blocked_updates or late:
                    break
                tick(self)
                time.sleep(0.1)
            self._conclude()
        finally:
            self.kill()
            lib.storm_free(self.shared)
        return self.outcome

    def _ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def kill(self) -> None:
        """Ends the child, if it has not ended by itself."""
        if not self._ended():
            os.kill(self.pid, signal.SIGKILL)
            self._status = os.waitpid(self.pid, 0)[1]

    # ------------------------------------------------------------------------------------------ conclude --

    def _conclude(self) -> None:
        outcome, shared = self.outcome, self.shared
        outcome.seconds = round(shared.seconds or time.monotonic() - self._began, 3)
        outcome.finished = shared.state == lib.STORM_DONE
        outcome.engines = [name for name, bit in SOURCES.items() if shared.sources & bit]
        outcome.perf_error = os.strerror(shared.perf_errno) if shared.perf_errno else ""
        outcome.interruptions, outcome.lookups = self.interruptions(), self.lookups()
        outcome.interruptions_by_engine = {
            name: sum(tally.interruptions[i] for tally in self._tallies()) for i, name in enumerate(SOURCES)
        }
        levels = [
            [self.shared.worker[i].tally[level] for i in range(outcome.threads)] for level in range(lib.STORM_LEVELS)
        ]
        outcome.nested = sum(sum(tally.interruptions) for tallies in levels[2:] for tally in tallies)
        outcome.updates_in_handlers = sum(tally.updates for tallies in levels[1:] for tally in tallies)
        for name in ("landed_in_update", "landed_in_resize", "landed_in_lookup", "updates", "refused"):
            setattr(outcome, name, self._sum(name))
        outcome.updates_full, outcome.stopped = self._sum("full"), shared.stopped
        outcome.updates_after_stops = outcome.updates - shared.updates_before if shared.stopped else 0
        outcome.wrong, outcome.errno_changed = self._sum("wrong"), self._sum("errno_changed")
        for name in ("interruptions", "lookups", "updates"):
            outcome.rates[name] = round(getattr(outcome, name) / outcome.seconds, 1)
        outcome.max_slots_read = max(tally.max_slots for tally in self._tallies())
        outcome.max_records_read = max(tally.max_records for tally in self._tallies())
        outcome.operations = {
            ffi.string(lib.storm_operation_name(i)).decode(): sum(tally.operations[i] for tally in self._tallies())
            for i in range(lib.STORM_OPERATIONS)
        }
        outcome.quiet_threads, outcome.system_calls = shared.quiet.threads, shared.quiet.calls
        outcome.wrong_at_end, outcome.update_errors = shared.wrong_at_end, shared.errors
        outcome.resizes, outcome.entries, outcome.period_us = shared.resizes, shared.entries, shared.period_us
        outcome.complaints = [
            self._describe(shared.complaint[i]) for i in range(min(shared.complaints, lib.STORM_COMPLAINTS))
        ]
        outcome.failures = [text for failed, text in self._conditions() if failed]

    @staticmethod
    def _describe(complaint: Any) -> str:
        where = f"a handler that interrupted {PLACES[complaint.place]}" if complaint.level else "a thread"
        status = ffi.string(lib.bid_status_name(complaint.status)).decode()
        named = "" if complaint.answered == 2**64 - 1 else f", version {complaint.answered}"
        legal = f"{complaint.lowest} to {complaint.highest}"
        function = ffi.string(lib.storm_operation_name(complaint.operation)).decode()
        said = f"{where} was told {status}{named} by {function}()"
        return f"key {complaint.key:#x}: {said}; legal were the versions {legal}"

    def _end(self) -> str:
        """How it ended, if not as it should have."""
        if self.shared.state == lib.STORM_FAILED:
            return f"set-up failed: {ffi.string(self.shared.failed).decode()}"
        if self._status is None:
            return f"the storm did not end within {GRACE_SECONDS:.0f} seconds of its time"
        if os.WIFSIGNALED(self._status):
            return f"the storm died of {signal.Signals(os.WTERMSIG(self._status)).name}"
        return "the storm's process ended early"

    def _conditions(self) -> list[tuple[object, str]]:
        """All that makes a storm a failure, and whether it did."""
        outcome, shared = self.outcome, self.shared
        first_error = ffi.string(lib.bid_status_name(shared.first_error)).decode()
        slots, records = lib.BID_LOOKUP_MAX_SLOTS, lib.BID_LOOKUP_MAX_RECORDS
        return [
            (not outcome.finished and not outcome.blocked and not outcome.blocked_updates, self._end()),
            (outcome.wrong, f"{outcome.wrong:,} wrong answers"),
            (outcome.wrong_at_end, f"{outcome.wrong_at_end:,} wrong entries at the end"),
            (outcome.blocked, f"{outcome.blocked} blocked lookup{'s' * (outcome.blocked != 1)}"),
            (
                outcome.blocked_updates,
                f"{outcome.blocked_updates} blocked update{'s' * (outcome.blocked_updates != 1)}",
            ),
            (outcome.trial == "stopped" and not outcome.stopped, "no updater was stopped"),
            (outcome.stopped and not outcome.updates_after_stops, "the updaters that were not stopped made no update"),
            (outcome.errno_changed, f"errno was changed {outcome.errno_changed:,} times"),
            (
                outcome.system_calls,
                f"{outcome.system_calls:,} system calls in lookups and updates for NMI context, the first with number "
                f"{shared.quiet.first}",
            ),
            (outcome.update_errors, f"{outcome.update_errors:,} updates failed, the first with {first_error}"),
            (
                outcome.finished and not outcome.stopped and shared.count != outcome.entries,
                f"the table counts {shared.count:,} entries",
            ),
            (outcome.max_slots_read > slots, f"a lookup read more than {slots} slots"),
            (outcome.max_records_read > records, f"a lookup read more than {records} records"),
            (not outcome.landed_in_update, "no interruption landed inside an update"),
        ]
