# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One storm: start the engine's child, watch it, and judge what came of it."""

from __future__ import annotations

import os
import signal
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stress._engine import ffi, lib

SOURCES = {"perf": 1 << lib.STORM_PERF, "timer": 1 << lib.STORM_TIMER, "directed": 1 << lib.STORM_DIRECTED}
PLACES = ("elsewhere", "an update", "a lookup")
BLOCKED_CPU_SECONDS = 1.0  #: so much of its own CPU time inside one lookup, and it is blocked
GRACE_SECONDS = 30.0  #: for the end of a storm, on a busy machine
ROW = 64  #: bytes of a build ID in the engine's input


@dataclass(frozen=True)
class Design:
    name: str
    summary: str
    lies: bool  #: made to be caught, for tests of the harness


@dataclass
class Outcome:
    """What one storm came to; the fields are those of the JSON report."""

    design: str
    seed: int
    seconds: float
    threads: int
    sources: list[str] = field(default_factory=list)
    perf_error: str = ""
    entries_at_start: int = 0
    entries: int = 0
    interruptions: int = 0
    interruptions_by_source: dict[str, int] = field(default_factory=dict)
    nested: int = 0
    landed_in_update: int = 0
    landed_in_resize: int = 0
    landed_in_lookup: int = 0
    lookups: int = 0
    updates: int = 0
    refused: int = 0
    wrong: int = 0
    wrong_at_end: int = 0
    errno_changed: int = 0
    update_errors: int = 0
    blocked: int = 0
    resizes: int = 0
    max_slots_read: int = 0
    max_records_read: int = 0
    period_us: int = 0
    complaints: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  #: why it is no success, one sentence each

    @property
    def verdict(self) -> str:
        return "FAILURE" if self.failures else "SUCCESS"


def designs() -> Iterator[Design]:
    """The designs that a storm can run over."""
    number = 0
    while name := lib.storm_design_name(number):
        text = ffi.string(name).decode()
        yield Design(text, ffi.string(lib.storm_design_summary(number)).decode(), text.startswith("lying-"))
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
    ) -> None:
        self.outcome = Outcome(design, seed, seconds, lookers + churners, entries_at_start=len(keys))
        self._began = time.monotonic()
        self._stuck: dict[tuple[int, int], tuple[int, float]] = {}
        buffers = (array("Q", keys), b"".join(i.ljust(ROW, b"\0") for i in ids), bytes(map(len, ids)))
        name = ffi.new("char[]", design.encode())
        config = ffi.new("struct storm_config *")
        config.design, config.n, config.seed, config.seconds = name, len(keys), seed, seconds
        config.keys = ffi.from_buffer("uint64_t[]", buffers[0])
        config.ids = ffi.from_buffer("uint8_t[]", buffers[1])
        config.lengths = ffi.from_buffer("uint8_t[]", buffers[2])
        config.lookers, config.churners, config.sources = lookers, churners, sources
        shared = ffi.new("struct storm_shared **")
        self.pid = lib.storm_start(config, shared)
        if self.pid < 0:
            raise OSError(-self.pid, os.strerror(-self.pid))
        self.shared: Any = shared[0]

    # -------------------------------------------------------------------------------------------- watch --

    def _workers(self) -> list[Any]:
        return [self.shared.worker[i] for i in range(self.outcome.threads)]

    def interruptions(self) -> int:
        return sum(sum(worker.interruptions) for worker in self._workers())

    def lookups(self) -> int:
        return sum(worker.lookups for worker in self._workers())

    def updates(self) -> int:
        return sum(worker.updates for worker in self._workers())

    def _cpu_seconds(self, thread: int) -> float:
        fields = Path(f"/proc/{self.pid}/task/{thread}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def blocked(self) -> int:
        """Lookups that have used a second of their thread's own CPU time and have not come back.

        A lookup takes less than a microsecond, so no load on the machine explains that; waiting for a processor does
        not count.
        """
        stuck = 0
        for number, worker in enumerate(self._workers()):
            try:
                cpu = self._cpu_seconds(worker.tid)
            except (OSError, IndexError):
                continue  # not started yet, or gone
            for level in range(lib.STORM_LEVELS):
                begun, ended = worker.begun[level], worker.ended[level]
                known, since = self._stuck.get((number, level), (-1, cpu))
                if begun == ended or begun != known:
                    self._stuck[number, level] = (begun, cpu)
                else:
                    stuck += cpu - since >= BLOCKED_CPU_SECONDS
        return stuck

    def run(self, tick: Callable[[Storm], None] = lambda storm: None) -> Outcome:
        """Waits for the end, or for a blocked lookup; calls `tick` ten times a second."""
        try:
            while True:
                pid, _ = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    break
                late = time.monotonic() - self._began > self.outcome.seconds + GRACE_SECONDS
                self.outcome.blocked = self.blocked()
                if self.outcome.blocked or late:
                    self.kill()
                    if late and not self.outcome.blocked:
                        self.outcome.failures.append("the storm did not come to its end")
                    break
                tick(self)
                time.sleep(0.1)
            self._conclude()
        finally:
            self.kill()
            lib.storm_free(self.shared)
        return self.outcome

    def kill(self) -> None:
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass

    # ------------------------------------------------------------------------------------------ conclude --

    def _conclude(self) -> None:
        outcome, shared, workers = self.outcome, self.shared, self._workers()
        outcome.seconds = round(time.monotonic() - self._began, 3)
        outcome.sources = [name for name, bit in SOURCES.items() if shared.sources & bit]
        outcome.perf_error = os.strerror(shared.perf_errno) if shared.perf_errno else ""
        outcome.interruptions = self.interruptions()
        outcome.interruptions_by_source = {
            name: sum(worker.interruptions[i] for worker in workers) for i, name in enumerate(SOURCES)
        }
        for name in ("nested", "landed_in_update", "landed_in_resize", "landed_in_lookup", "lookups", "updates"):
            setattr(outcome, name, sum(getattr(worker, name) for worker in workers))
        for name in ("refused", "wrong", "errno_changed"):
            setattr(outcome, name, sum(getattr(worker, name) for worker in workers))
        outcome.max_slots_read = max(worker.max_slots for worker in workers)
        outcome.max_records_read = max(worker.max_records for worker in workers)
        outcome.wrong_at_end, outcome.update_errors = shared.wrong_at_end, shared.errors
        outcome.resizes, outcome.entries, outcome.period_us = shared.resizes, shared.entries, shared.period_us
        outcome.complaints = [
            self._describe(shared.complaint[i]) for i in range(min(shared.complaints, lib.STORM_COMPLAINTS))
        ]
        self._judge()

    @staticmethod
    def _describe(complaint: Any) -> str:
        where = f"a handler that interrupted {PLACES[complaint.place]}" if complaint.level else "a thread"
        status = ffi.string(lib.bid_status_name(complaint.status)).decode()
        named = "" if complaint.answered == 2**64 - 1 else f", version {complaint.answered}"
        legal = f"{complaint.lowest} to {complaint.highest}"
        return f"key {complaint.key:#x}: {where} was told {status}{named}; legal were the versions {legal}"

    def _judge(self) -> None:
        outcome, shared = self.outcome, self.shared
        conditions = (
            (shared.state == lib.STORM_FAILED, f"set-up failed: {ffi.string(shared.failed).decode()} ({shared.error})"),
            (outcome.wrong, f"{outcome.wrong} wrong answers"),
            (outcome.wrong_at_end, f"{outcome.wrong_at_end} wrong entries at the end"),
            (outcome.blocked, f"{outcome.blocked} blocked lookups"),
            (outcome.errno_changed, f"errno was changed {outcome.errno_changed} times"),
            (
                outcome.update_errors,
                f"{outcome.update_errors} updates failed, the first with "
                + ffi.string(lib.bid_status_name(shared.first_error)).decode(),
            ),
            (not outcome.landed_in_update, "no interruption landed inside an update"),
            (
                shared.state not in (lib.STORM_DONE, lib.STORM_FAILED) and not outcome.blocked,
                "the storm's process ended early",
            ),
        )
        outcome.failures += [text for failed, text in conditions if failed]
