# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plot of ``python -m study memory``: an SVG element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybuildid.collisions import plot
from study.memory import SIZES, Balance, Curve, pointer_bytes
from study.memory.counts import Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIB = 1 << 20


def by_entries(balance: Balance, curves: Sequence[Curve]) -> str:
    """Memory of each design by mapped ELF files, with the counts' open files and inodes, and the break-evens."""
    counts = balance.counts

    def draw(axes: Axes) -> None:
        for series, curve in enumerate(curves):
            points = [point for point in curve.points if point.entries >= SIZES[0]]
            sizes = [point.bytes / MIB for point in points]
            axes.plot([point.entries for point in points], sizes, label=curve.design.name, **plot.style(series))
        for name, objects, dashes, turn in _pointers(counts, balance):
            sizes = [pointer_bytes(objects, entries) / MIB for entries in SIZES]
            axes.plot(SIZES, sizes, color=plot.INK, linestyle=dashes, label=name)
            for end in turn or ():
                axes.plot(end, pointer_bytes(objects, end) / MIB, color=plot.INK, marker="x", markersize=9)
        axes.set(xscale="log", yscale="log", xlabel="mapped ELF files (x to x: break-even)", ylabel="MiB")

    return plot.svg(draw, f"Memory by mapped ELF files: {counts.name}")


def _pointers(counts: Counts, balance: Balance) -> tuple[tuple[str, int, str, tuple[int, int] | None], ...]:
    return (
        (f"pointer in {counts.files:,} files", counts.files, "--", balance.break_even_files),
        (f"pointer in {counts.inodes:,} inodes", counts.inodes, ":", balance.break_even_inodes),
    )
