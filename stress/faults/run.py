# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Faults: memory that fails, limits, threads that come and go, forks and a reader that stands still.

Each scenario is a C program in this folder, which checks everything itself and prints figures.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stress import programs
from stress.programs import ROOT, Toolchain
from stress.report import Judged

MARGIN_SECONDS = 900  #: a program that takes longer than this stands still
QUICK_SECONDS = 300  #: the same of a quick form


@dataclass(frozen=True)
class Scenario:
    name: str
    program: str
    summary: str
    arguments: tuple[int, ...]
    quick: tuple[int, ...]  #: the arguments of the form that takes seconds
    x86_only: bool = False

    @property
    def missing(self) -> str:
        """Why it cannot run here."""
        return "needs the trap flag of x86-64" if self.x86_only and platform.machine() != "x86_64" else ""


SCENARIOS = (
    Scenario(
        "allocation",
        "allocation",
        "the n-th request for memory fails, for every n of every operation, at many fill levels",
        (1, 0),
        (60, 0),
    ),
    Scenario("mlock", "allocation", "the same for a table whose memory is locked", (3, 2), (150, 2)),
    Scenario(
        "max-entries", "max_entries", "a limit on entries is reached, again and again, and kept", (80, 10), (30, 1)
    ),
    Scenario(
        "threads",
        "threads",
        "threads come and go by the ten thousand while others update",
        (50_000, 8),
        (3000, 8),
    ),
    Scenario(
        "fork",
        "fork",
        "a fork after every instruction of an update; the child looks up and updates",
        (1, 100),
        (16, 0),
        x86_only=True,
    ),
    Scenario(
        "stalled-reader", "stalled_reader", "a reader stands still for a minute, with churn beside it", (60,), (1,)
    ),
)


@dataclass
class Outcome(Judged):
    """What a scenario came to; the fields are those of the JSON report."""

    scenario: str
    summary: str
    seconds: float = 0.0
    figures: dict[str, int] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        return {"verdict": self.verdict, **vars(self)}


def sources(program: str) -> list[Path]:
    """A file for each; one of them steps."""
    stepper = [ROOT / "stress" / "common" / "stepper.c"] if program == "fork" else []
    return [ROOT / "stress" / "faults" / f"{program}.c", *stepper]


def find(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def _how_it_ended(returncode: int, stderr: str) -> str:
    if returncode < 0:
        return f"died of {signal.Signals(-returncode).name}; {stderr.strip()}"
    return stderr.strip() or f"ended with status {returncode}"


def run(scenario: Scenario, *, quick: bool = False, toolchain: Toolchain | None = None) -> Outcome:
    """Runs one scenario in a process of its own."""
    outcome = Outcome(scenario.name, scenario.summary)
    if scenario.missing:
        outcome.failures.append(scenario.missing)
        return outcome
    program = programs.build(scenario.program, sources(scenario.program), toolchain)
    command = [str(program), *map(str, scenario.quick if quick else scenario.arguments)]
    seconds = QUICK_SECONDS if quick else MARGIN_SECONDS
    began = time.monotonic()
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        outcome.failures.append(f"did not end in {seconds} s")
        return outcome
    outcome.seconds = round(time.monotonic() - began, 2)
    lines = [line.split() for line in result.stdout.splitlines()]
    outcome.figures = {words[1]: int(words[2]) for words in lines if words[:1] == ["figure"]}
    if result.returncode:
        outcome.failures.append(_how_it_ended(result.returncode, result.stderr))
    elif not outcome.figures:
        outcome.failures.append("printed no figures: nothing was tested")
    return outcome
