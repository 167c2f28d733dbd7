# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every instruction of every operation interrupted: runs the program in stress/stepper, and reads its coverage."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stress import programs
from stress._engine import lib
from stress.programs import ROOT, Toolchain

FIXED = ("-O2", "-g", "-no-pie", "-fno-pie")  #: addresses of a run are those of the file
MODULES = ("table", "inode")
UPDATE_EVERY = 61  #: a prime, so that in the course of a resize every kind of instruction has its turn
SECONDS = 600
NEEDS = "single-stepping by the trap flag needs an x86-64 processor"
NEEDS_BINUTILS = "coverage needs objdump and nm (Debian: apt-get install binutils)"


class StepError(Exception):
    """The stepper could not run."""


@dataclass(frozen=True)
class Result:
    """One scenario, with a handler after each instruction. Counts, but for the texts."""

    name: str
    updating: bool  #: the handler also inserts and removes
    interrupted: int  #: instructions executed with the trap flag set: each is interrupted
    lookups: int
    in_resize: int
    updates: int
    refused: int
    wrong: int
    max_slots: int
    max_records: int
    first_wrong: str


@dataclass(frozen=True)
class Coverage:
    """Of one function of the table: its instructions, and those that no scenario was interrupted after."""

    function: str
    instructions: int
    missed: int


@dataclass
class Outcome:
    results: list[Result] = field(default_factory=list)
    coverage: list[Coverage] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    lookup_instructions: int = 0  #: of the longest lookup that was stepped itself

    @property
    def verdict(self) -> str:
        return "FAILURE" if self.failures else "SUCCESS"

    def total(self, name: str) -> int:
        return sum(getattr(result, name) for result in self.results)

    def report(self) -> dict[str, Any]:
        counts = ("interrupted", "lookups", "in_resize", "updates", "refused", "wrong")
        return {
            "verdict": self.verdict,
            "failures": self.failures,
            **{name: self.total(name) for name in counts},
            "executed": self.total("interrupted"),
            "lookup_instructions": self.lookup_instructions,
            "max_slots_read": max((result.max_slots for result in self.results), default=0),
            "bound_slots": lib.BID_LOOKUP_MAX_SLOTS,
            "max_records_read": max((result.max_records for result in self.results), default=0),
            "bound_records": lib.BID_LOOKUP_MAX_RECORDS,
            "scenarios": [asdict(result) for result in self.results],
            "coverage": [asdict(function) for function in self.coverage],
        }


def program(csrc: Path = ROOT / "csrc") -> Path:
    if platform.machine() != "x86_64":
        raise StepError(NEEDS)
    sources = sorted((ROOT / "stress" / "stepper").glob("*.c"))
    return programs.build("step", sources, Toolchain(flags=FIXED, csrc=csrc))


def scenarios() -> dict[str, str]:
    """Names and what each does."""
    text = subprocess.run([program(), "LIST"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in text.splitlines())


def _run(binary: Path, name: str, updating: bool, reached: Path) -> Result:
    every = UPDATE_EVERY if updating else 0
    command = [str(binary), name, str(every), str(reached)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return Result(name, updating, 0, 0, 0, 0, 0, 1, 0, 0, f"no end after {SECONDS} s: something blocks")
    if run.returncode:
        why = run.stderr.strip() or f"it ended with status {run.returncode}"
        return Result(name, updating, 0, 0, 0, 0, 0, 1, 0, 0, why)
    return Result(updating=updating, **json.loads(run.stdout))


def _functions(binary: Path) -> dict[str, tuple[int, int]]:
    """Those of the table and the protocol on inodes: name to first address and size."""
    defined = set()
    for module in MODULES:
        for source in (ROOT / "csrc" / module).glob("*.c"):
            defined.add(source.name)
    found = {}
    text = subprocess.run(["nm", "-S", "-l", str(binary)], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        match = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tT] (\S+)\t(\S+):\d+$", line)
        if match and Path(match[4]).name in defined and Path(match[4]).parent.name in MODULES:
            found[match[3]] = (int(match[1], 16), int(match[2], 16))
    return found


def coverage(binary: Path, reached: set[int]) -> list[Coverage]:
    """Which instructions of each function the processor was about to execute when a handler ran."""
    if not shutil.which("objdump") or not shutil.which("nm"):
        raise StepError(NEEDS_BINUTILS)
    command = ["objdump", "-d", "--no-show-raw-insn", str(binary)]
    listing = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = (re.match(r" +([0-9a-f]+):\t(\S+)", line) for line in listing.stdout.splitlines())
    code = {int(m[1], 16): m[2] for m in lines if m and not m[2].startswith(("nop", "data16", "cs", "xchg"))}
    found = []
    for name, (first, size) in sorted(_functions(binary).items()):
        inside = [address for address in code if first <= address < first + size]
        found.append(Coverage(name, len(inside), sum(address not in reached for address in inside)))
    return found


def run(
    names: Sequence[str] = (),
    updates: bool = True,
    csrc: Path = ROOT / "csrc",
    tick: Callable[[str], None] = lambda name: None,
) -> Outcome:
    """Steps the scenarios, all by default, with lookups from the handler and, if asked, with updates as well."""
    outcome, binary, reached = Outcome(), program(csrc), set[int]()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reached"
        for updating in (False, True) if updates else (False,):
            for name in names or scenarios():
                tick(name)
                result = _run(binary, name, updating, file)
                outcome.results.append(result)
                if file.exists():
                    reached |= {int(line, 16) for line in file.read_text().split()}
                    file.unlink()
    outcome.coverage = coverage(binary, reached)
    _judge(outcome)
    return outcome


def _judge(outcome: Outcome) -> None:
    for result in outcome.results:
        if result.wrong:
            outcome.failures.append(f"{result.name}: {result.wrong:,} wrong, first: {result.first_wrong}")
    plain = {result.name: result.interrupted for result in outcome.results if not result.updating}
    lookups = [count for name, count in plain.items() if name.startswith("lookup-")]
    if lookups and "nothing" in plain:
        outcome.lookup_instructions = max(lookups) - plain["nothing"]
    if not outcome.total("interrupted"):
        outcome.failures.append("no instruction was interrupted")
