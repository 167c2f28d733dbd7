# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plot of ``python -m study memory``: an SVG element."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import TYPE_CHECKING, Any

from pybuildid.collisions import plot
from study.memory import OURS, SIZES, Balance, Curve, pointer_bytes
from study.memory.counts import Counts

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MIB = 1 << 20


def by_entries(balance: Balance, curves: Sequence[Curve]) -> str:
    """Memory of each design by mapped ELF files, beside pointers in the counts' open files and inodes: break-evens."""
    counts = balance.counts

    def draw(axes: Axes) -> None:
        ends = []
        for curve, look in zip(curves, _looks(curves)):
            points = [point for point in curve.points if point.entries >= SIZES[0]]
            sizes = [point.bytes / MIB for point in points]
            axes.plot([point.entries for point in points], sizes, **look)
            ends.append(plot.End(curve.design.name, points[-1].entries, sizes[-1], look["color"]))
        for name, objects, dashes, turn in _pointers(counts, balance):
            sizes = [pointer_bytes(objects, entries) / MIB for entries in SIZES]
            axes.plot(SIZES, sizes, color=plot.INK, linestyle=dashes)
            ends.append(plot.End(name, SIZES[-1], sizes[-1], plot.INK))
            for end in turn or ():
                axes.plot(end, pointer_bytes(objects, end) / MIB, color=plot.INK, marker="x", markersize=9)
        axes.set(xscale="log", yscale="log", xlabel="mapped ELF files (x to x: break-even)", ylabel="MiB")
        plot.label_ends(axes, ends, plot.HEIGHT)

    return plot.svg(draw, f"Memory by mapped ELF files: {counts.name}")


def _looks(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """Ours and the best of the other tables in colour, the others grey."""
    best = min((curve for curve in curves if curve.design.name != OURS), key=lambda curve: curve.points[-1].bytes)
    numbers = count()
    return [
        {**plot.style(0), "linewidth": 2.5, "zorder": 4}
        if curve.design.name == OURS
        else plot.style(1)
        if curve is best
        else plot.grey(next(numbers))
        for curve in curves
    ]


def _pointers(counts: Counts, balance: Balance) -> tuple[tuple[str, int, str, tuple[int, int] | None], ...]:
    return (
        (f"pointer in {counts.files:,} files", counts.files, "--", balance.break_even_files),
        (f"pointer in {counts.inodes:,} inodes", counts.inodes, ":", balance.break_even_inodes),
    )
