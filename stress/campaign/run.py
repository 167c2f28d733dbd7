# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The long form: storms, histories, steps, frozen threads and faults by the seed, for hours, split over processes and
resumable.

A unit is one kind of check with one seed, run as a command of this harness. What each found is a line of the state
file, written as it ends; a campaign that is started again with the same file goes on after the last seed of each kind.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stress.programs import ROOT

SECONDS = 1800  #: for one unit, on a busy machine

#: Arguments of the harness by kind; SEED and FILE are filled in.
KINDS = {
    "storm": ("storm", "--design", "ours", "--seconds", "60", "--seed", "SEED", "--json", "FILE"),
    "histories": ("histories", "--histories", "5000", "--seed", "SEED", "--json", "FILE"),
    "step": ("step", "--turn", "SEED", "--json", "FILE"),
    "freeze": ("freeze", "--turn", "SEED", "--json", "FILE"),
    "faults": ("faults", "--json", "FILE"),
}
#: What of a unit's JSON is added up.
SUMS = (
    *("interruptions", "interrupted", "points", "lookups", "updates", "resizes", "wrong", "blocked"),
    *("histories", "illegal", "undecided"),
)


class StateError(ValueError):
    """A file that no campaign wrote, or that is damaged."""


@dataclass(frozen=True)
class Unit:
    kind: str
    seed: int


@dataclass(frozen=True)
class Result:
    kind: str
    seed: int
    verdict: str
    seconds: float
    sums: dict[str, int]
    output: str = ""  #: the end of what it printed, if it failed
    machine: str = ""  #: where it ran


@dataclass
class Campaign:
    results: list[Result] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        bad = any(result.verdict != "SUCCESS" for result in self.results)
        return "FAILURE" if bad or not self.results else "SUCCESS"

    def sums(self) -> dict[str, int]:
        return {name: sum(result.sums.get(name, 0) for result in self.results) for name in SUMS}

    def report(self) -> dict[str, Any]:
        failed = [asdict(result) for result in self.results if result.verdict != "SUCCESS"]
        kinds = {kind: sum(result.kind == kind for result in self.results) for kind in KINDS}
        return {"units": kinds, **self.sums(), "failed": failed}


LONG_RUNS = "## Long runs"


def with_long_runs(page: str, campaign: Campaign) -> str:
    """docs/proof.md with this campaign as its last part, instead of an earlier one."""
    machines = {result.machine for result in campaign.results if result.machine}
    lines = [
        page.split(LONG_RUNS, 1)[0].rstrip(),
        "",
        LONG_RUNS,
        "",
        f"**{campaign.verdict}**: {len(campaign.results):,} units of `python -m stress campaign`, "
        f"{sum(result.seconds for result in campaign.results) / 3600:,.1f} hours in all, on {len(machines)} "
        f"machine{'s' * (len(machines) != 1)}.",
        "",
        "| kind | units | seeds | failed |",
        "|---|---|---|---|",
    ]
    for kind in KINDS:
        found = [result for result in campaign.results if result.kind == kind]
        if found:
            seeds = f"{min(r.seed for r in found)} to {max(r.seed for r in found)}"
            failed = [str(result.seed) for result in found if result.verdict != "SUCCESS"]
            lines.append(f"| {kind} | {len(found):,} | {seeds} | {', '.join(failed) or 'none'} |")
    lines += ["", "In all: " + ", ".join(f"{value:,} {name}" for name, value in campaign.sums().items()) + "."]
    return "\n".join(lines) + "\n"


def run_unit(unit: Unit, arguments: tuple[str, ...]) -> Result:
    """Runs in a worker process, perhaps on another machine with the same checkout."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "found.json"
        filled = {"SEED": str(unit.seed), "FILE": str(file)}
        command = [sys.executable, "-m", "stress", *(filled.get(word, word) for word in arguments)]
        try:
            run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
            failed, output = run.returncode != 0, (run.stdout + run.stderr)[-2000:]
        except subprocess.TimeoutExpired:
            failed, output = True, f"no end after {SECONDS} s"
        found = json.loads(file.read_text()) if file.exists() else {}
    sums = {name: found[name] for name in SUMS if isinstance(found.get(name), int)}
    verdict = "FAILURE" if failed else "SUCCESS"
    return Result(
        unit.kind,
        unit.seed,
        verdict,
        round(time.monotonic() - began, 1),
        sums,
        output if failed else "",
        platform.node(),
    )


def read_state(file: Path) -> list[Result]:
    """A last line that was cut off when a campaign was killed is left out, and done again. Raises StateError."""
    results = []
    lines = file.read_text().splitlines() if file.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            results.append(Result(**json.loads(line)))
        except (ValueError, TypeError):
            if number < len(lines) or not line.startswith("{"):
                raise StateError(
                    f"{file}, line {number}: no unit of a campaign: take another file, or mend it"
                ) from None
    return results


def units(kinds: tuple[str, ...], seed: int, done: list[Result]) -> Iterator[Unit]:
    """Without end: each kind in turn, each with its next seed."""
    following = {kind: max([seed - 1, *(r.seed for r in done if r.kind == kind)]) + 1 for kind in kinds}
    while True:
        for kind in kinds:
            yield Unit(kind, following[kind])
            following[kind] += 1


def run(
    executor: Executor,
    workers: int,
    seconds: float,
    state: Path,
    kinds: tuple[str, ...] = tuple(KINDS),
    seed: int = 1,
    say: Callable[[Result], None] = lambda result: None,
) -> Campaign:
    """Begins units until the time is up, and waits for those that are under way."""
    campaign = Campaign(read_state(state))
    todo, end = units(kinds, seed, campaign.results), time.monotonic() + seconds
    running: set[Future[Result]] = set()
    with state.open("a") as file:
        file.truncate(state.read_bytes().rfind(b"\n") + 1)  # without a line that was cut off
        while running or time.monotonic() < end:
            while len(running) < workers and time.monotonic() < end:
                unit = next(todo)
                running.add(executor.submit(run_unit, unit, KINDS[unit.kind]))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                campaign.results.append(future.result())
                file.write(json.dumps(asdict(campaign.results[-1])) + "\n")
                file.flush()
                say(campaign.results[-1])
    return campaign
