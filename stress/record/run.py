# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Record: the recorder over programs that are hard to record, each frame beside the kernel's own answer for it.

The BPF program takes both answers in one sample. An answer of the table is wrong if the kernel has another build ID or
offset, and the table still gives the same afterwards (else the mapping changed between the two).
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pybuildid.record import Recorded
from pybuildid.record._recorder import REASONS, SOURCES, Recorder, Status
from pybuildid.record.recorded import read_result
from stress.record.build import BUILD, LIBRARIES, NEVER, build_work
from stress.record.watch import task_field

HZ = 2000


@dataclass(frozen=True)
class Scenario:
    """What runs, and what has to be reached.

    work: arguments of the program. table: the least share of frames that the table alone resolves.
    """

    name: str
    summary: str
    work: tuple[str, ...] = ()
    table: float = 0.9995  #: 100.0 %
    grows: bool = False
    rescan: bool = False
    in_nmi: bool = False
    milliseconds: int = 0  #: programs of so much CPU time are started all the time


EVERYTHING = ("evict", "storm")
SCENARIOS = (
    Scenario("warm", "nothing changes"),
    Scenario("evicted", "the first pages of the files are not in memory", ("evict",)),
    Scenario("storm", "two threads map and unmap", ("storm",)),
    Scenario("grows", "the table grows from few entries to 100,000, and shrinks, all the time", grows=True),
    Scenario("all", "evicted, storm and grows at once", EVERYTHING, grows=True),
    Scenario("remap", "code is replaced at one address, about 1,000 times a second", ("remap",), table=0.95),
    Scenario("rescan", "the same, and all mappings are entered anew all the time", ("remap",), table=0.95, rescan=True),
    Scenario("many", "300 executable mappings in one process", ("many",)),
    Scenario("compiled", "memory is made code where a file's code was", ("compiled",)),
    Scenario("nmi", "samples in NMI context", in_nmi=True),
    Scenario("nmi-evicted", "the same, and the first pages are not in memory", ("evict",), in_nmi=True),
    Scenario("nmi-all", "the same, and all at once", EVERYTHING, grows=True, in_nmi=True),
    Scenario("short-5", "programs of 5 ms start all the time", table=0.9, milliseconds=5),
    Scenario("short-20", "programs of 20 ms", table=0.9, milliseconds=20),
    Scenario("short-100", "programs of 100 ms", table=0.9, milliseconds=100),
)


@dataclass
class Outcome:
    scenario: str
    summary: str
    seconds: float
    figures: dict[str, float]
    reasons: dict[str, int]
    failures: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        return "FAILURE" if self.failures else "SUCCESS"

    def report(self) -> dict[str, Any]:
        return {**self.__dict__, "verdict": self.verdict}


def find(name: str) -> Scenario:
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def run(scenario: Scenario, *, seconds: float = 10.0, programs: Path | None = None) -> Outcome:
    """Runs one scenario. programs: another object than the package's, as a mutant's."""
    program = build_work(BUILD)
    began = time.monotonic()
    with ExitStack() as stack:
        work = stack.enter_context(working(program, scenario.work)) if not scenario.milliseconds else None
        breakpoint = task_field(work.pid) if scenario.in_nmi and work else 0
        recorder = stack.enter_context(
            Recorder(
                frequency=HZ, only=True, compare=True, clock=True, breakpoint=breakpoint, rescan=scenario.rescan,
                programs=programs,
            )
        )  # fmt: skip
        if work:
            recorder.target(work.pid)
        else:
            recorder.target(os.getpid())
            stack.enter_context(
                _again_and_again([str(program), str(BUILD), str(LIBRARIES), str(scenario.milliseconds)])
            )
        if scenario.grows:
            stack.enter_context(_growing(recorder))
        recorder.start()
        time.sleep(seconds)
        recorder.stop()
        recorded = read_result(recorder, HZ, began, seconds)
    outcome = _judge(scenario, recorded.status, time.monotonic() - began)
    if never := _never_run(recorded):
        outcome.figures["wrong"] += never
        outcome.failures.append(f"{never} frames with the build ID of a file whose code never runs")
    return outcome


# --------------------------------------------------------------------------------------------- what goes on


@contextmanager
def working(program: Path, arguments: tuple[str, ...]) -> Iterator[subprocess.Popen[bytes]]:
    """The program that build_work() makes, when it has loaded its libraries."""
    command = [str(program), str(BUILD), str(LIBRARIES), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            process.stdout.readline()  # it has loaded its libraries
            yield process
        finally:
            process.kill()


@contextmanager
def _meanwhile(step: Callable[[], None]) -> Iterator[None]:
    """Another thread takes one step after the other."""
    over = threading.Event()

    def loop() -> None:
        while not over.is_set():
            step()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _again_and_again(command: list[str]) -> Any:
    def step() -> None:
        subprocess.run(command, check=True, timeout=60)

    return _meanwhile(step)


def _growing(recorder: Recorder) -> Any:
    return _meanwhile(lambda: recorder.churn(100_000))


# ----------------------------------------------------------------------------------------------- the verdict


def _judge(scenario: Scenario, status: Status, seconds: float) -> Outcome:
    counts = status.counts
    frames = counts["frames"]
    reasons = {f"{REASONS[reason]} ({SOURCES[source]})": count for (reason, source), count in status.outcomes.items()}
    shares = {name: counts[f"{name}_valid"] / frames if frames else 0.0 for name in ("table", "kernel")}
    code = _code(status)
    figures = {
        "samples": counts["samples"],
        "frames": frames,
        "table, %": round(100 * shares["table"], 3),
        "table, % of frames that have code": round(100 * counts["table_valid"] / code, 3) if code else 0.0,
        "kernel, %": round(100 * shares["kernel"], 3),
        "with a build ID, %": round(100 * status.with_build_id / frames, 3) if frames else 0.0,
        "both": counts["both_valid"],
        "wrong": counts["wrong"],
        "lost": status.lost,
        "ns a frame, table": round(counts["table_ns"] / frames) if frames else 0,
        "ns a frame, kernel": round(counts["kernel_ns"] / frames) if frames else 0,
    }  # fmt: skip
    failures = []
    if not frames:
        failures.append("no frames")
    if counts["wrong"]:
        failures.append(f"{counts['wrong']} wrong build IDs")
    if code and counts["table_valid"] < scenario.table * code:
        failures.append(f"the table resolves less than {scenario.table:.1%}")
    if status.with_build_id < counts["kernel_valid"]:
        failures.append("fewer frames have a build ID than by the kernel alone")
    if status.lost > 0.01 * counts["samples"]:
        failures.append("more than 1 % of the samples are lost")
    return Outcome(scenario.name, scenario.summary, seconds, figures, reasons, failures)


def _never_run(recorded: Recorded) -> int:
    """Frames of samples in a file that no program runs. Their answers cannot be compared: the kernel has none."""
    wrong = {number for number, file in enumerate(recorded.files) if file.build_id == NEVER}
    return sum(stack.count for stack in recorded.stacks for frame in stack.frames if frame.file in wrong)


def _code(status: Status) -> int:
    """Frames but those that no answer is right for: addresses that are in no executable mapping, which come of code
    without frame pointers (the loader's, in programs that live for milliseconds), and memory without a file."""
    no_code = ("in no executable mapping", "in memory without a file")
    gone = sum(n for (reason, source), n in status.outcomes.items() if not source and REASONS[reason] in no_code)
    return status.counts["frames"] - gone
