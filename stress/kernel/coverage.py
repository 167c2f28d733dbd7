# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Which instructions of the table thread context executed, by QEMU's record, and which of them NMIs interrupted."""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: What the compiler puts between functions, and where the kernel patches calls of the tracer.
PADDING = re.compile(r"(int3|nop|nopw|nopl|xchg\s+%ax,%ax|data16|cs nopw)\b")


def instructions(module: Path) -> dict[int, str]:
    """The function of each instruction in the text of a module, by its offset."""
    command = ["objdump", "-d", "--no-show-raw-insn", "-j", ".text", str(module)]
    found, function = {}, ""
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        if match := re.match(r"[0-9a-f]+ <(\S+)>:", line):
            function = match[1]
        elif (match := re.match(r"\s+([0-9a-f]+):\s+(\S.*)", line)) and not PADDING.match(match[2]):
            found[int(match[1], 16)] = function
    return found


def text_size(module: Path) -> int:
    """Bytes of the text of a module."""
    sections = subprocess.run(["objdump", "-h", "-w", str(module)], capture_output=True, text=True, check=True).stdout
    return int(next(line.split()[2] for line in sections.splitlines() if " .text " in line), 16)


def hits(log: str) -> dict[int, int]:
    """NMIs at each offset, as the torture prints them."""
    found: dict[int, int] = {}
    for line in re.findall(r"bid_torture: hits (.*)", log):
        found.update((int(offset, 16), int(times)) for offset, times in re.findall(r"([0-9a-f]+):(\d+)", line))
    return found


def executed(record: Path, text: int, size: int, mark: int) -> set[int]:
    """Offsets of what was translated, and so executed, before the mark was: by threads alone."""
    before: list[int] = []
    end = 0
    with record.open(errors="replace") as lines:
        for line in lines:
            if not line.startswith("0x"):
                continue
            address = int(line[: line.index(":")], 16)
            if address == mark:
                end = len(before)
            elif text <= address < text + size:
                before.append(address - text)
    return set(before[:end])


@dataclass(frozen=True)
class Coverage:
    executed: int  #: instructions that thread context executes
    interrupted: int  #: of those
    spared: dict[str, list[int]]  #: the others, by function: offsets

    @property
    def share(self) -> float:
        return self.interrupted / self.executed if self.executed else 0.0

    def report(self) -> dict[str, Any]:
        spared = {name: [f"{offset:x}" for offset in offsets] for name, offsets in self.spared.items()}
        return {"instructions": self.executed, "interrupted": self.interrupted, "spared": spared}


def measure(functions: dict[int, str], by_threads: Iterable[int], struck: Iterable[int]) -> Coverage:
    """What an NMI has interrupted a thread had come to, so it counts as executed, too."""
    interrupted = set(functions).intersection(struck)
    by_thread = set(functions).intersection(by_threads) | interrupted
    spared: dict[str, list[int]] = defaultdict(list)
    for offset in sorted(by_thread - interrupted):
        spared[functions[offset]].append(offset)
    return Coverage(len(by_thread), len(interrupted), dict(spared))
