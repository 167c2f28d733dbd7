# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every instruction of every operation interrupted: runs the program in this folder, and reads its traces."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from pybuildid._core import lib
from stress import programs
from stress.common.object_file import ATOMICS
from stress.programs import ROOT, Toolchain
from stress.report import Judged
from stress.step import trace, unreached
from stress.step.trace import Coverage, Executed, Trace

#: Addresses of a run are those of the file, those of libc as well (Debian: libc6-dev; Fedora: glibc-static).
FIXED = ("-O2", "-g", "-no-pie", "-fno-pie", "-static")
SECONDS = 900
NEEDS = "stepping needs an x86-64 processor, or AArch64 with the atomic instructions of Armv8.1"
NEEDS_TRAP_FLAG = "stepping by the trap flag needs an x86-64 processor"
MODES = ("looks", "updates", "grows", "collides")
LONGEST = "lookup-longest"  #: the scenario of the longest lookup that there can be
QUICK = ("nothing", "insert-new", "remove-present", "lookup-hit-resizing", "replace-resizing", "pin-temporary", "evict")

#: How the names of scenarios begin in which nothing may run but the table's own code, and no system call: lookups, and
#: updates for NMI context.
QUIET = ("lookup-", "iterate", "keys", "insert-nmi", "remove-nmi", "first-pin", "pin-")

#: An array has records for about that many updates from handlers: for a longer operation they are shared out over
#: several runs, in each of which others of its instructions have their turn.
UPDATES_AT_ONCE = 3000
GROWS_AT_ONCE = 12
COLLIDING = 2000  #: instructions of one operation at which its own key is updated, in the usual form


class StepError(Exception):
    """The stepper could not run."""


@dataclass(frozen=True)
class Effort:
    """How much of what has no end to it."""

    count_every: int  #: a lookup of the handler is stepped in turn at each of that many instructions
    updating: int | None  #: runs of a scenario with updates from the handler; None: one for every instruction
    growing: int | None
    colliding: int | None  #: instructions at which a child of a fork updates the operation's own key; None: every one
    stepped: int  #: instructions that may be stepped in these children: so not all of them are
    seconds: int = SECONDS  #: a run that has not ended by then never will


QUICKLY = Effort(count_every=499, updating=1, growing=1, colliding=COLLIDING, stepped=5_000, seconds=300)
DEFAULT = Effort(count_every=499, updating=1, growing=1, colliding=COLLIDING // 3, stepped=10_000)
EVERY = Effort(count_every=29, updating=None, growing=None, colliding=None, stepped=1_000_000)


@dataclass
class Result:
    """One scenario in one mode, over all its runs. Counts, but for the texts."""

    name: str
    mode: str  #: the handler looks; and updates; and lets another thread update, grow and shrink; and updates the key
    runs: int = 0
    interrupted: int = 0
    executed: int = 0  #: that and the next three, by the trace
    system_calls: int = 0  #: each of them hides the instruction after it
    skipped: int = 0
    unverified: int = 0
    lookups: int = 0
    in_resize: int = 0
    updates: int = 0
    refused: int = 0  #: of the updates: they would have had to allocate
    updated_at: int = 0  #: instructions at which the handler updated
    wrong: int = 0
    max_slots: int = 0
    max_records: int = 0
    max_instructions: int = 0  #: of a lookup of the handler, where it was stepped in turn
    longest: int = 0  #: instructions of one run
    quiet_threads: int = 0  #: whose handlers' lookups and updates were watched for system calls
    quiet_calls: int = 0  #: that these made
    foreign: str = ""  #: what ran, where nothing may run but the table's own code
    first_wrong: str = ""

    def add(self, found: dict[str, Any], executed: Executed) -> None:
        for name, value in found.items():
            if name in ("longest", "max_slots", "max_records", "max_instructions"):
                setattr(self, name, max(getattr(self, name), value))
            elif name not in ("name", "first_wrong"):
                setattr(self, name, getattr(self, name) + value)
        self.runs += 1
        self.executed += executed.executed
        self.system_calls += executed.system_calls
        self.skipped += executed.skipped
        self.unverified += executed.unverified
        self.first_wrong = self.first_wrong or found["first_wrong"] or executed.first_skipped


@dataclass
class Outcome(Judged):
    results: list[Result] = field(default_factory=list)
    coverage: list[Coverage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def total(self, name: str) -> int:
        return sum(getattr(result, name) for result in self.results)

    def highest(self, name: str, of: str = "") -> int:
        return max((getattr(result, name) for result in self.results if of in ("", result.name)), default=0)

    def report(self) -> dict[str, Any]:
        counts = (
            "interrupted",
            "executed",
            "system_calls",
            "skipped",
            "unverified",
            "lookups",
            "in_resize",
            "quiet_calls",
        )
        return {
            "failures": self.failures,
            **{name: self.total(name) for name in (*counts, "updates", "refused", "updated_at", "wrong")},
            "max_slots_read": self.highest("max_slots"),
            "bound_slots": lib.BID_LOOKUP_MAX_SLOTS,
            "max_records_read": self.highest("max_records"),
            "bound_records": lib.BID_LOOKUP_MAX_RECORDS,
            "lookup_instructions": self.highest("max_instructions"),
            "bound_instructions": self.highest("max_instructions", LONGEST),
            "scenarios": [asdict(result) for result in self.results],
            "coverage": [asdict(function) for function in self.coverage],
        }


def sources(parent: bool = False) -> list[Path]:
    """parent: that step from a parent process; else, on x86-64, by the trap flag."""
    other = "stepper" if parent or platform.machine() != "x86_64" else "parent"
    found = programs.c_files(ROOT / "stress" / "step", ROOT / "stress" / "common")
    return [file for file in found if file.stem != other]


def program(csrc: Path = ROOT / "csrc", parent: bool = False) -> Path:
    """The stepper; parent: see sources()."""
    machine = platform.machine()
    if machine not in ATOMICS:
        raise StepError(NEEDS)
    try:
        toolchain = Toolchain(flags=(*FIXED, *ATOMICS[machine]), csrc=csrc)
        whole = [*sources(parent), *toolchain.sources()]  # also what it does not call: coverage is of all functions
        return programs.build("step", whole, toolchain, library=())
    except programs.CompilerError as error:
        raise StepError(f"{error}\n(a static libc is needed: Debian libc6-dev, Fedora glibc-static)") from None


@dataclass(frozen=True)
class Scenario:
    name: str
    modes: tuple[str, ...]  #: that it allows
    summary: str


def scenarios() -> dict[str, Scenario]:
    """By name."""
    text = subprocess.run([program(), "LIST"], capture_output=True, text=True, check=True).stdout
    lines = (line.split("\t") for line in text.splitlines())
    return {name: Scenario(name, tuple(modes.split()), summary) for name, modes, summary in lines}


def phases(every: int, most: int | None, turn: int = 0) -> list[int]:
    """The first instruction to update at, for each of at most that many runs, spread out; others in each turn."""
    runs = every if most is None else min(every, most)
    return [(run * every // runs + turn) % every for run in range(runs)]


class Stepper:
    """Runs scenarios, and keeps what their traces have in common."""

    def __init__(self, csrc: Path, folder: Path, parent: bool = False, seconds: int = SECONDS) -> None:
        self.seconds = seconds
        self.binary = program(csrc, parent)
        self.disassembly = trace.disassemble(self.binary)
        self.scenarios = scenarios()
        self.folder = folder
        self.trace: Trace = Counter()
        self.beside: Trace = Counter()  # of no operation
        self.lock = Lock()
        self.run(Result("nothing", "looks"))
        self.beside = self.trace.copy()

    def run(self, result: Result, every: int = 1, phase: int = 0, count_every: int = 0) -> None:
        """Adds one run to a result."""
        file = self.folder / f"{result.name}-{result.mode}-{phase}"
        command = [self.binary, result.name, result.mode, every, phase, count_every, file]
        words = [str(word) for word in command]
        try:
            run = subprocess.run(words, capture_output=True, text=True, timeout=self.seconds)
        except subprocess.TimeoutExpired:
            result.wrong, result.first_wrong = result.wrong + 1, f"no end after {self.seconds} s: something blocks"
            return
        if run.returncode:
            why = run.stderr.strip() or f"it ended with status {run.returncode}"
            result.wrong, result.first_wrong = result.wrong + 1, result.first_wrong or why
            return
        found = trace.read(file)
        file.unlink()
        result.add(json.loads(run.stdout), trace.executed(self.disassembly, found))
        if result.name.startswith(QUIET) and result.mode == "looks":
            result.foreign = trace.foreign(self.disassembly, found, self.beside)
        with self.lock:
            self.trace.update(found)

    def scenario(self, name: str, modes: Iterable[str], effort: Effort, turn: int) -> list[Result]:
        """Looks first: that says how long the operation is. Of the other modes those that the scenario allows."""
        modes = [mode for mode in modes if mode in self.scenarios[name].modes]
        looks = Result(name, "looks")
        self.run(looks, count_every=effort.count_every)
        results = [looks]
        if "collides" in modes and not looks.wrong:
            every = looks.longest // effort.colliding + 1 if effort.colliding else 1
            one_in = looks.longest**2 // every // effort.stepped + 1  # from each, half of the operation is to come
            results.append(Result(name, "collides"))
            self.run(results[-1], every, turn % every, one_in)
        shares = {"updates": (UPDATES_AT_ONCE, effort.updating), "grows": (GROWS_AT_ONCE, effort.growing)}
        for mode, (at_once, most) in shares.items():
            if mode not in modes or looks.wrong:
                continue
            result, every = Result(name, mode), looks.longest // at_once + 1
            for phase in phases(every, most, turn):
                self.run(result, every, phase)
            results.append(result)
        return results


def run(
    names: Sequence[str] = (),
    modes: Sequence[str] = MODES,
    effort: Effort = DEFAULT,
    csrc: Path = ROOT / "csrc",
    tick: Callable[[str], None] = lambda name: None,
    turn: int = 0,
    parent: bool = False,
) -> Outcome:
    """Steps the scenarios, all by default: with lookups from the handler, and with updates as well: at other
    instructions in each turn. parent: see sources()."""
    outcome = Outcome()
    try:
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count()) as pool:
            stepper = Stepper(csrc, Path(folder), parent, effort.seconds)

            def one(name: str) -> list[Result]:
                tick(name)
                return stepper.scenario(name, modes, effort, turn)

            for results in pool.map(one, names or stepper.scenarios):
                outcome.results += results
            outcome.coverage = trace.coverage(stepper.disassembly, csrc, stepper.trace)
    except trace.BinutilsError as error:
        raise StepError(str(error)) from None
    judge(outcome)
    if not names:
        outcome.failures += unreached.wrong(outcome.coverage)
    return outcome


def judge(outcome: Outcome) -> None:
    bound = outcome.highest("max_instructions", LONGEST)
    for result in outcome.results:
        where = f"{result.name}, {result.mode}"
        if result.wrong:
            outcome.failures.append(f"{where}: {result.wrong:,} wrong, first: {result.first_wrong}")
        if result.skipped:
            outcome.failures.append(f"{where}: {result.skipped:,} not interrupted, first: {result.first_wrong}")
        if result.foreign:
            outcome.failures.append(f"{where}: other code than the table's ran: {result.foreign}")
        if result.quiet_calls:
            outcome.failures.append(
                f"{where}: a handler's lookups and updates made {result.quiet_calls:,} system calls"
            )
        if result.max_instructions > bound > 0:
            outcome.failures.append(f"{where}: a lookup took {result.max_instructions:,} instructions, over {bound:,}")
        if result.mode != "looks" and not result.updated_at:
            outcome.failures.append(f"{where}: no update was done")
    if not outcome.total("interrupted"):
        outcome.failures.append("no instruction was interrupted")
