# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Threads stopped for good after instruction k of an operation, for every k: runs the program in this folder."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from stress import programs
from stress.programs import ROOT, Toolchain
from stress.report import Judged
from stress.step.run import FIXED, NEEDS_TRAP_FLAG, StepError

#: Those after the first line begin with a table that is full, or in the middle of a resize.
OPERATIONS = (
    *("insert", "replace", "remove", "lookup", "grow", "shrink", "reclaim"),
    *("insert-growing", "insert-resizing", "replace-resizing", "remove-resizing", "lookup-resizing"),
    *("insert-nmi-full", "insert-nmi-resizing", "remove-nmi-resizing"),
)
DESIGNS = ("ours", "spinlock")
RIVAL = "spinlock"  #: must be caught
RIVAL_OPERATION = "lookup"  #: which takes a lock there, and calls nothing that has locks of its own
POINTS = 1000  #: of each operation in the usual form: all instructions of the short ones
NO_STRIDE = 1 << 60


@dataclass(frozen=True)
class Result:
    design: str
    operation: str
    instructions: int  #: of the operation, as far as it was stepped
    whole: bool  #: up to its end
    points: int  #: instructions after which a thread was stopped for good, and the others went on
    last: int  #: the last of them
    in_resize: int  #: points at which a resize stood half done
    operations: int  #: that the others finished
    limits: int  #: points at which they then resized until the limit on retired memory stopped them
    max_retired: int  #: bytes
    blocked: int
    wrong: int
    quiet_calls: int  #: system calls in lookups and updates for NMI context: of the stopped thread, and of the others

    def __add__(self, other: Result) -> Result:
        """Of other points of the same operation."""
        sums = {name: getattr(self, name) + getattr(other, name) for name in SUMS}
        most = {name: max(getattr(self, name), getattr(other, name)) for name in MOST}
        return replace(self, whole=self.whole and other.whole, **sums, **most)


SUMS = ("points", "in_resize", "operations", "limits", "blocked", "wrong", "quiet_calls")
MOST = ("instructions", "last", "max_retired")


@dataclass
class Outcome(Judged):
    results: list[Result] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        ours = [result for result in self.results if result.design != RIVAL]
        return {
            "failures": self.failures,
            **{name: sum(getattr(result, name) for result in ours) for name in SUMS},
            "instructions": sum(result.instructions for result in ours),
            "max_retired": max((result.max_retired for result in ours), default=0),
            "rival_blocked": sum(result.blocked for result in self.results if result.design == RIVAL),
            "results": [asdict(result) for result in self.results],
        }


def program(csrc: Path = ROOT / "csrc") -> Path:
    if platform.machine() != "x86_64":
        raise StepError(NEEDS_TRAP_FLAG)
    sources = programs.c_files(ROOT / "stress" / "freeze", ROOT / "stress" / "common")
    rivals = [programs.RIVALS / f"{name}.c" for name in DESIGNS]
    return programs.build("freeze", [*sources, *rivals], Toolchain(flags=FIXED, csrc=csrc))


def freeze(binary: Path, design: str, operation: str, first: int = 1, stride: int = 1) -> Result:
    """Stops a thread after instruction first, first + stride, ... of an operation, each time in a new process."""
    command = [str(binary), design, operation, str(first), str(stride)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise StepError(f"{' '.join(command)}: {run.stderr.strip()}")
    return Result(**json.loads(run.stdout.splitlines()[-1]))


def shares(binary: Path, operation: str, points: int | None, jobs: int, turn: int = 0) -> list[tuple[int, int]]:
    """The first point and the stride of each of `jobs` searches. Together they have about `points` points, and in each
    turn others."""
    instructions = freeze(binary, "ours", operation, stride=NO_STRIDE).instructions
    stride = instructions // points + 1 if points else 1
    return [(1 + turn % stride + job * stride, jobs * stride) for job in range(jobs)]


def run(
    operations: Sequence[str] = OPERATIONS,
    points: int | None = POINTS,
    csrc: Path = ROOT / "csrc",
    tick: Callable[[str], None] = lambda name: None,
    turn: int = 0,
) -> Outcome:
    """Our table at about that many points of each operation (None: all), and the rival, which must be caught."""
    outcome, binary, jobs = Outcome(), program(csrc), os.cpu_count() or 1
    with ThreadPoolExecutor(jobs) as pool:
        for operation in operations:
            tick(operation)
            searches = [
                pool.submit(freeze, binary, "ours", operation, first, stride)
                for first, stride in shares(binary, operation, points, jobs, turn)
            ]
            outcome.results.append(reduce(add, (search.result() for search in searches)))
    for result in outcome.results:
        if result.blocked or result.wrong or not result.whole:
            how = "others were blocked" if result.blocked else "others found a wrong answer"
            outcome.failures.append(f"{result.operation}: {how} by a thread stopped after instruction {result.last:,}")
        if result.quiet_calls:
            outcome.failures.append(f"{result.operation}: {result.quiet_calls:,} system calls where there may be none")
    tick(RIVAL)
    rival = freeze(binary, RIVAL, RIVAL_OPERATION)
    outcome.results.append(rival)
    if not rival.blocked:
        outcome.failures.append(f"{RIVAL} was not caught, so the check cannot tell")
    return outcome
