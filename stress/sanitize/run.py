# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The C tests and programs of the harness under ThreadSanitizer, AddressSanitizer and UndefinedBehaviorSanitizer.

What each sanitizer cannot tell:

ThreadSanitizer knows C11's orders, but neither fences nor membarrier(). The table needs these for (S) alone, which
decides what a reader reads, and orders no conflicting accesses. So ThreadSanitizer reports nothing wrongly, but it
would not notice a missing barrier; the model checker does (make verify). It delivers signals late, when the thread
calls libc, so handlers interrupt no update there. Only SIGTRAP comes at once, also in the middle of the sanitizer
itself, because it takes SIGTRAP for a fault of the thread; so its storm has no perf events.

AddressSanitizer watches the heap, the stack and globals. The table's arrays come from mmap(): it sees accesses to them
after they were unmapped, but none past an end within a mapping.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from stress import programs
from stress.faults import run as faults
from stress.histories import run as histories
from stress.programs import ROOT, Toolchain
from stress.step import run as step
from stress.storm import build

SANITIZERS = ("thread", "address", "undefined")
FLAGS = (
    "-O1",
    "-g",
    "-fno-sanitize-recover=all",
    "-Wno-tsan",
)  #: gcc warns of each fence that -fsanitize=thread ignores
LIMIT_SECONDS = 300
HISTORIES = 300
SIGNALS = "is about signals, which come late under it, at a call of libc, and interrupt no update"
FORKS = "forks in handlers beside other threads, and a child fails now and then under it: the cause is not known"
LOCKS = "says what is locked in memory, and under this sanitizer mlock() does nothing"
THREAD = "counts its threads, and gives them capabilities; this sanitizer has one more, which goes without"
COUNTS = "counts page faults or forbids system calls, and code that is not built as usual takes some"

STORM_SECONDS = 10
SOURCES, SOURCES_WITHOUT_PERF = 7, 6  #: of signals: bits of enum storm_source

#: Which programs a sanitizer cannot run, and why.
LEFT_OUT = {
    ("thread", "step"): SIGNALS,
    ("thread", "test_fork"): SIGNALS,
    ("thread", "test_nothing_needed"): COUNTS,
    ("address", "test_fork"): COUNTS,
    ("address", "test_nothing_needed"): COUNTS,
    ("undefined", "test_fork"): COUNTS,
    ("thread", "test_resolve_interrupted"): SIGNALS,
    ("thread", "test_resolve_harmless"): THREAD,
    ("thread", "test_resolve_order"): FORKS,
    ("thread", "test_pages"): LOCKS,
    ("address", "test_pages"): LOCKS,
}


@dataclass(frozen=True)
class Run:
    """One program under one sanitizer."""

    sanitizer: str
    program: str
    seconds: float = 0.0
    left_out: str = ""  #: why it was not run
    failure: str = ""  #: the first lines of what the sanitizer or the program said


def toolchain(sanitizer: str) -> Toolchain:
    return Toolchain(flags=(*FLAGS, f"-fsanitize={sanitizer}"))


def storm_sources() -> list[Path]:
    return [*build.storm_sources(), *programs.c_files(ROOT / "stress" / "sanitize", programs.RIVALS)]


def _programs(sanitizer: str = "") -> Iterator[tuple[str, list[Path], list[str]]]:
    """Name, sources and arguments: the C tests, the storm, histories, and threads that come and go among updates."""
    sources = SOURCES_WITHOUT_PERF if sanitizer == "thread" else SOURCES
    for source in sorted((ROOT / "tests" / "c").glob("test_*.c")):
        yield source.stem, [source], []
    yield "step", step.sources(), ["replace-resizing", "updates", "61", "0", "0", "/dev/null"]
    yield "storm", storm_sources(), [str(STORM_SECONDS), str(sources)]
    yield "histories", histories.sources(), ["record", "1", "0", str(HISTORIES)]
    yield "threads", faults.sources("threads"), ["2000", "8"]


def names() -> list[str]:
    return [name for name, _, _ in _programs()]


def _failure(result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode == 0 and "figure illegal" in result.stdout and "figure illegal 0\n" not in result.stdout:
        return "histories are not linearizable"
    if result.returncode == 0 and '"wrong"' in result.stdout and '"wrong": 0,' not in result.stdout:
        return result.stdout
    said = (result.stderr or result.stdout).strip().splitlines()[:12]
    return "\n".join(said) or f"status {result.returncode}" if result.returncode else ""


def run(sanitizer: str, program: str) -> Run:
    if reason := LEFT_OUT.get((sanitizer, program)):
        return Run(sanitizer, program, left_out=reason)
    _, sources, arguments = next(found for found in _programs(sanitizer) if found[0] == program)
    tools = toolchain(sanitizer)
    binary = programs.build(program, sources, tools, tools.sources(programs.CORE))
    began = time.monotonic()
    try:
        with TemporaryDirectory() as folder:  # a program that fails leaves its files behind
            command = [str(binary), *arguments]
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_SECONDS)
        failure = _failure(result)
    except subprocess.TimeoutExpired:
        failure = f"did not end in {LIMIT_SECONDS} s"
    return Run(sanitizer, program, round(time.monotonic() - began, 1), failure=failure)
