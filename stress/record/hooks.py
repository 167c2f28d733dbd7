# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What mapping memory takes while the recorder's hooks are attached, and with an empty program in their place."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import IO

from pybuildid.record._recorder import Recorder
from stress.record.build import LIBRARIES, build_tool, build_work

WHAT = ("mmap() and munmap() of a page", "the same, and the page is written", "mmap() and munmap() of a page of code")
TURNS = 15


@dataclass(frozen=True)
class Mapping:
    """Medians over turns. quiet: nanoseconds without a hook. empty, hooks: what the time is multiplied by with an empty
    program at the tracepoint, and with the recorder's; spread: half of the turns' factors of hooks lie in it."""

    what: str
    quiet: float
    empty: float
    hooks: float
    spread: tuple[float, float]


class _Tool:
    """A process that measures on one processor."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._to: IO[str] = process.stdin
        self._from: IO[str] = process.stdout

    def ask(self, what: str) -> list[float]:
        self._to.write(f"{what}\n")
        self._to.flush()
        return [float(word) for word in self._from.readline().split()]

    def measure(self) -> list[float]:
        found = self.ask("measure")
        if len(found) != len(WHAT):
            raise RuntimeError("the program that measures has ended")
        return found


@contextmanager
def _tool() -> Iterator[_Tool]:
    program, loaded = build_tool("hooks")
    library = build_work(loaded.parent).parent / f"l{LIBRARIES - 1:02}.so"
    processor = max(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(processor), str(program), str(loaded), str(library)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield _Tool(process)
        finally:
            process.kill()


def _turn(tool: _Tool) -> tuple[list[float], list[float], list[float]]:
    """Without a hook (before and after, so that a slow change counts for nothing), with an empty one, with ours."""
    before = tool.measure()
    tool.ask("attach")
    empty = tool.measure()
    tool.ask("detach")
    with Recorder(frequency=99):
        hooks = tool.measure()
    quiet = [(one + other) / 2 for one, other in zip(before, tool.measure())]
    return quiet, empty, hooks


def hooks(turns: int = TURNS) -> list[Mapping]:
    with _tool() as tool:
        tool.measure()
        measured = [_turn(tool) for _ in range(turns)]
    found = []
    for i, what in enumerate(WHAT):
        empty = [turn[1][i] / turn[0][i] for turn in measured]
        ours = sorted(turn[2][i] / turn[0][i] for turn in measured)
        spread = ours[len(ours) // 4], ours[len(ours) * 3 // 4]
        found.append(Mapping(what, median(turn[0][i] for turn in measured), median(empty), median(ours), spread))
    return found
