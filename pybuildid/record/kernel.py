# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Which build of the kernel, or of a module of it, an address of kernel code is in, and in which function."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pybuildid.elf import ElfError, read_build_id
from pybuildid.stacks.model import Line

KERNEL = "[kernel.kallsyms]"  #: as perf calls it
KERNEL_HALF = 1 << 63  #: addresses from here on are the kernel's


@dataclass(frozen=True)
class KernelPart:
    """The kernel, or a module. start, end: addresses. build_id: None if it cannot be read."""

    name: str
    start: int
    end: int
    build_id: bytes | None


class KernelMap:
    """The parts of the running kernel, as they were when this was made."""

    def __init__(self) -> None:
        self.kernel = KernelPart(KERNEL, KERNEL_HALF, (1 << 64) - 1, _notes("/sys/kernel/notes"))
        self._modules = sorted(_modules(), key=lambda part: part.start)
        self._starts = [part.start for part in self._modules]

    def part_of(self, address: int) -> KernelPart:
        """The module that an address is in, or else the kernel."""
        at = bisect_right(self._starts, address) - 1
        if at >= 0 and address < self._modules[at].end:
            return self._modules[at]
        return self.kernel

    def function_at(self, address: int) -> Line | None:
        """The function that an address is in. Asked while this kernel runs: the next boot has it at another address."""
        starts, names = self._functions
        at = bisect_right(starts, address) - 1
        if at < 0 or self.part_of(starts[at]) != self.part_of(address):
            return None
        return Line(names[at], names[at])

    @cached_property
    def _functions(self) -> tuple[list[int], list[str]]:
        functions = sorted(_functions())
        return [start for start, _ in functions], [name for _, name in functions]


def _notes(path: str) -> bytes | None:
    try:
        return read_build_id(path)
    except (OSError, ElfError):
        return None


def _modules() -> list[KernelPart]:
    """From /proc/modules, which shows addresses to those who may see them; zeros to others."""
    parts = []
    with suppress(OSError):
        for line in Path("/proc/modules").read_text().splitlines():
            name, size, *_, address = line.split()[:6]
            start = int(address, 16)
            if start:
                notes = f"/sys/module/{name}/notes/.note.gnu.build-id"
                parts.append(KernelPart(f"[{name}]", start, start + int(size), _notes(notes)))
    return parts


def _functions() -> Iterator[tuple[int, str]]:
    """Where functions begin, from /proc/kallsyms, which shows addresses to those who may see them; zeros to others."""
    with suppress(OSError):
        for line in Path("/proc/kallsyms").read_text().splitlines():
            address, kind, name = line.split()[:3]
            if kind in "tTwW" and (start := int(address, 16)):
                yield start, name
