# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The argument about memory in numbers: a table on the side beside a pointer in every struct file or inode.

Tables are built and measured, pointers are computed.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import log2
from typing import Any

from pybuildid.collisions import slab
from study import rivals
from study._measure import ffi, lib
from study.memory.counts import Counts

POINTER = 8  # bytes
ID_OBJECT = 32  # what the pointer leads to: 20 bytes and their length, in an allocator of powers of two
OVERSIZED = 1_000_000  # entries that a fixed table is made for by someone who wants no collisions, ever
SIZES = (1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000)
FINE = 8  # sizes in each doubling, of ours: what it takes for an entry goes up and down with each grow

_ERRORS = {
    lib.BID_RESIDENT_E_SYSTEM: "the child process that measures it failed",
    lib.BID_RESIDENT_E_SMAPS: "/proc/self/smaps_rollup cannot be read: Linux 4.14 and /proc are needed",
    lib.BID_RESIDENT_E_CREATE: "it could not be created: no memory",
    lib.BID_RESIDENT_E_INSERT: "an insert failed",
}


class MeasureError(RuntimeError):
    """A design could not be measured: its message says which one, and why."""


@dataclass(frozen=True)
class Design:
    name: str
    summary: str
    grows: bool  # else it is created for the entries that it is to hold


@dataclass(frozen=True)
class Point:
    entries: int
    bytes: int


@dataclass(frozen=True)
class Curve:
    """Resident bytes of one design by its entries, measured."""

    design: Design
    points: tuple[Point, ...]  # by entries

    def at(self, entries: int) -> int:
        """In bytes; a line between what was measured beside it."""
        points = self.points
        if entries <= points[0].entries:
            return points[0].bytes
        for left, right in zip(points, points[1:]):
            if entries <= right.entries:
                share = (entries - left.entries) / (right.entries - left.entries)
                return round(left.bytes + share * (right.bytes - left.bytes))
        raise ValueError(f"{entries} entries are more than the {points[-1].entries} that were measured")


@dataclass(frozen=True)
class Cost:
    """What one design takes for given counts."""

    design: str
    measured: bool  # else computed
    bytes: int
    note: str


@dataclass(frozen=True)
class Balance:
    """All designs for given counts."""

    counts: Counts
    costs: tuple[Cost, ...]
    #: (A, B): up to A mapped ELF files our table is always smaller than pointers in struct file, from B on never, and
    #: in between now and then; None: there are no such sizes among those that were measured.
    break_even_files: tuple[int, int] | None
    break_even_inodes: tuple[int, int] | None  # the same for pointers in inodes

    def cost(self, design: str) -> int:
        return next(cost.bytes for cost in self.costs if cost.design == design)


TODAY, FILE_POINTER, INODE_POINTER = "parse when asked, as today", "pointer in struct file", "pointer in the inode"
OURS = "ours"


def designs() -> tuple[Design, ...]:
    """The designs that this build has, ours first."""
    return tuple(
        Design(name, rivals.text(design.summary), bool(design.traits & lib.RIVAL_GROWS))
        for name, design in _tables().items()
    )


@lru_cache(maxsize=32)
def _keys(entries: int) -> array[int]:
    """The same for every design; making them takes as long as measuring one."""
    return slab.made(slab.RECORDED, entries)


def measure(name: str, entries: int, expected: int | None = None) -> int:
    """Resident bytes of a design with so many 20-byte IDs, keyed by made inode addresses.

    Built in a child process, and read from the kernel there (anonymous memory in /proc/self/smaps_rollup). A design
    that grows is created empty, another for `expected` entries, by default those that it is to hold. Raises
    MeasureError; ValueError for an unknown name.
    """
    tables = _tables()
    if name not in tables:
        raise ValueError(f"there is no design {name!r}: only {', '.join(tables)}")
    design = tables[name]
    if expected is None:
        expected = 0 if design.traits & lib.RIVAL_GROWS else entries
    result = ffi.new("uint64_t *")
    with ffi.from_buffer("uint64_t[]", _keys(entries)) as pointer:
        status = lib.bid_resident(design, expected, pointer, entries, result, ffi.NULL)
    if status != lib.BID_RESIDENT_OK:
        raise MeasureError(f"{name} with {entries:,} entries: {_ERRORS[status]}")
    return int(result[0])


def curve(design: Design, sizes: Sequence[int] = SIZES) -> Curve:
    """Measures a design at some sizes, in order."""
    return Curve(design, tuple(Point(size, measure(design.name, size)) for size in sizes))


def pointer_bytes(objects: int, elf_files: int) -> int:
    """A pointer in each object of a kind, and an ID for each mapped ELF file.

    So many IDs there are where inodes have the pointer. Where struct file has it, as in the patches of March 2023, each
    opening that is mapped has an ID of its own: how many those are nobody counts, so this is the least.
    """
    return POINTER * objects + ID_OBJECT * elf_files


def break_even(ours: Curve, objects: int) -> tuple[int, int] | None:
    """Between how many mapped ELF files a table gets larger than pointers in so many objects: see Balance. As exact as
    the sizes are close to each other that were measured."""
    points = [point for point in ours.points if point.entries >= SIZES[0]]  # below, most is what a process pays once
    larger = [point.bytes > pointer_bytes(objects, point.entries) for point in points]
    if not any(larger) or larger[0] or not larger[-1]:
        return None
    never = max(i for i, is_larger in enumerate(larger) if not is_larger) + 1
    return points[larger.index(True) - 1].entries, points[never].entries


def fine_sizes() -> list[int]:
    """FINE in each doubling, from the least size to the largest."""
    least, most = SIZES[0], SIZES[-1]
    return [round(least * 2 ** (step / FINE)) for step in range(int(FINE * log2(most / least)) + 1)]


def compare(all_counts: Sequence[Counts]) -> tuple[tuple[Balance, ...], tuple[Curve, ...]]:
    """Measures every design, and gives what it takes for each of these counts."""
    sizes = {*SIZES, *(max(counts.elf_files, 1) for counts in all_counts)}
    finer = {*sizes, *fine_sizes()}
    curves = tuple(curve(design, sorted(finer if design.name == OURS else sizes)) for design in designs())
    return tuple(balance(counts, curves) for counts in all_counts), curves


def balance(counts: Counts, curves: Sequence[Curve]) -> Balance:
    """What each design takes. The curves must reach the counts' ELF files."""
    n = counts.elf_files
    ours = next(curve for curve in curves if curve.design.name == OURS)
    costs = [
        Cost(TODAY, False, 0, "no answer where the page is not in memory"),
        _pointers(FILE_POINTER, counts.files, n, "IDs, at least"),
        _pointers(INODE_POINTER, counts.inodes, n, "IDs"),
    ]
    for each in curves:
        costs.append(Cost(each.design.name, True, each.at(n), f"{each.at(n) / max(n, 1):,.1f} bytes an entry"))
        if not each.design.grows and n < OVERSIZED:
            oversized = measure(each.design.name, n, OVERSIZED)
            costs.append(
                Cost(
                    f"{each.design.name}, oversized",
                    True,
                    oversized,
                    f"buckets for {OVERSIZED:,}; only those in use count",
                )
            )
    return Balance(counts, tuple(costs), break_even(ours, counts.files), break_even(ours, counts.inodes))


def _pointers(design: str, objects: int, elf_files: int, ids: str) -> Cost:
    return Cost(design, False, pointer_bytes(objects, elf_files), f"{POINTER} bytes x {objects:,} + {ids}")


def verdict(result: Balance) -> str:
    """Who needs less memory for these counts, and where that turns: a sentence."""
    ours = result.cost(OURS)
    parts = []
    for name, turn in ((FILE_POINTER, result.break_even_files), (INODE_POINTER, result.break_even_inodes)):
        ratio = ours / result.cost(name)
        text = f"{f'{ratio:.2g}' if ratio < 10 else f'{ratio:,.0f}'} times the memory of a {name}"
        parts.append(text + (f" ({_range(*turn)})" if turn is not None else ""))
    return f"{result.counts.name}, {result.counts.elf_files:,} mapped ELF files: our table takes {' and '.join(parts)}."


def _range(always: int, never: int) -> str:
    return f"always less up to {always:,} mapped ELF files, never from {never:,} on"


def document(balances: Sequence[Balance], curves: Sequence[Curve]) -> dict[str, object]:
    """For programs."""
    return {
        "balances": [{**asdict(balance), "verdict": verdict(balance)} for balance in balances],
        "curves": [asdict(curve) for curve in curves],
        "paid_once_bytes": measure(OURS, 1),
    }


def _tables() -> dict[str, Any]:
    """Those that are tables: pointers in objects are computed."""
    return {name: design for name, design in rivals.designs().items() if design.object == ffi.NULL}
