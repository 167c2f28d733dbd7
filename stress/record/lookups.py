# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a lookup of a BPF program takes, beside one in the kernel's hash map."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from stress.record.build import build_tool


@dataclass(frozen=True)
class Lookups:
    """Nanoseconds, and the median of the ratios of turns."""

    keys: int
    table: float
    map: float
    ratio: float


def lookups() -> list[Lookups]:
    command = [str(path) for path in build_tool("loops")]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    lines = [line.split() for line in found.splitlines()]
    return [Lookups(int(line[0]), *map(float, line[1:])) for line in lines]
