# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Threads stopped for good after instruction k of an operation, for every k: runs the program in stress/freezer."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stress import programs
from stress.programs import ROOT, Toolchain
from stress.step import NEEDS, StepError

OPERATIONS = ("insert", "replace", "remove", "lookup", "grow", "shrink")
DESIGNS = ("ours", "spinlock")
RIVAL = "spinlock"  #: must be caught
POINTS = 250  #: of each operation in the quick form
INSTRUCTIONS = {"grow": 135_000, "shrink": 10_000}  #: about that many; others have a thousand
RIVAL_STRIDE = 29


@dataclass(frozen=True)
class Result:
    design: str
    operation: str
    points: int  #: instructions after which a thread was stopped for good, and the others went on
    last: int  #: the last of them
    whole: bool  #: up to the operation's end
    blocked: int
    wrong: int


@dataclass
class Outcome:
    results: list[Result] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "FAILURE" if self.failures else "SUCCESS"

    def report(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "failures": self.failures,
            "points": sum(result.points for result in self.results if result.design != RIVAL),
            "blocked": sum(result.blocked for result in self.results if result.design != RIVAL),
            "rival_blocked": sum(result.blocked for result in self.results if result.design == RIVAL),
            "results": [asdict(result) for result in self.results],
        }


def program(csrc: Path = ROOT / "csrc") -> Path:
    if platform.machine() != "x86_64":
        raise StepError(NEEDS)
    sources = [ROOT / "stress" / "freezer" / "freeze.c", ROOT / "stress" / "stepper" / "stepper.c"]
    rivals = [csrc / "rivals" / f"{name}.c" for name in DESIGNS]
    return programs.build("freeze", [*sources, *rivals], Toolchain(csrc=csrc))


def freeze(binary: Path, design: str, operation: str, stride: int = 1, first: int = 1) -> Result:
    """Stops a thread after instruction first, first + stride, ... of an operation, each time in a new process."""
    command = [str(binary), design, operation, str(first), str(stride), str(10_000_000)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise StepError(f"{' '.join(command)}: {run.stderr.strip()}")
    return Result(**json.loads(run.stdout.splitlines()[-1]))


def run(
    operations: Sequence[str] = OPERATIONS,
    points: int | None = POINTS,
    csrc: Path = ROOT / "csrc",
    tick: Callable[[str], None] = lambda name: None,
) -> Outcome:
    """Our table at about that many points of each operation (None: all), and the rival, which must be caught."""
    outcome, binary = Outcome(), program(csrc)

    def one(operation: str) -> Result:
        tick(operation)
        stride = max(INSTRUCTIONS.get(operation, 1000) // points, 1) if points else 1
        return freeze(binary, "ours", operation, stride)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        outcome.results = list(pool.map(one, operations))
    for result in outcome.results:
        if result.blocked or result.wrong or not result.whole:
            how = "others were blocked" if result.blocked else "others found a wrong answer"
            outcome.failures.append(f"{result.operation}: {how} by a thread stopped after instruction {result.last:,}")
    tick(RIVAL)
    rival = freeze(binary, RIVAL, "insert", RIVAL_STRIDE)
    outcome.results.append(rival)
    if not rival.blocked:
        outcome.failures.append(f"{RIVAL} was not caught, so the check cannot tell")
    return outcome
