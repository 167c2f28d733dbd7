# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Samples that are lost while user space updates: the kernel's hash map, or the table, on the sampled processor."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from stress.record.build import build_tool

WHAT = ("nothing", "BPF_MAP_TYPE_HASH", "the table, as often", "the table, as often as can be")


@dataclass(frozen=True)
class Updates:
    what: str  #: that was updated
    due: int  #: samples, by the time that the thread ran
    taken: int
    updates: int

    @property
    def lost(self) -> float:
        return max(0.0, 1 - self.taken / self.due) if self.due else 0.0


def updates(seconds: float = 4.0) -> tuple[list[Updates], int]:
    """seconds: of processor time for each. Second: what the verifier visits for a program with a lookup."""
    command = [*map(str, build_tool("updates")), str(seconds)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240).stdout
    *lines, verified = found.splitlines()
    return [Updates(what, *map(int, line.split())) for what, line in zip(WHAT, lines)], int(verified)
