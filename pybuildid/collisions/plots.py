# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plots of ``pybuildid collisions``: SVG elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybuildid.collisions import Chains, plot
from pybuildid.collisions.middle_bits import Judgement

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = 12  # from here on chains share a place


def by_shift(judgement: Judgement) -> str:
    """Mean probes of a hit for each shift, beside the other hashes and the ideal."""

    def draw(axes: Axes) -> None:
        shifts = [chains.shift or 0 for chains in judgement.by_shift]
        means = [chains.probes.mean for chains in judgement.by_shift]
        axes.plot(shifts, means, label="middle bits", **plot.style(0))
        for series, chains in enumerate(judgement.others, 1):
            style = {**plot.style(series), "marker": ""}
            axes.axhline(chains.probes.mean, label=chains.hash, linestyle="--", **style)
        axes.axhline(judgement.best.ideal.mean, label="ideal (Poisson)", color=plot.INK, linestyle=":")
        axes.set(yscale="log", xlabel="shift of the middle bits", ylabel="probes a hit, mean")

    return plot.svg(draw, "Probes a hit with middle bits, by shift")


def lengths(shown: Sequence[Chains]) -> str:
    """Chains by their length for some hashes, beside the ideal; keys and buckets are the same for all."""
    rows = rows_of(shown)

    def draw(axes: Axes) -> None:
        width = 0.8 / len(shown)
        columns = list(zip(*(counts for _, counts in rows)))
        for series, chains in enumerate(shown):
            places = [n + (series - (len(shown) - 1) / 2) * width for n in range(len(rows))]
            axes.bar(places, columns[series], width, label=chains.label, color=plot.style(series)["color"])
        axes.plot(columns[-1], color=plot.INK, marker="_", markersize=16, linestyle="", label="ideal")
        axes.set_xticks(range(len(rows)), [name for name, _ in rows])
        axes.set(yscale="log", ylim=(0.5, None), xlabel="keys in a chain", ylabel="chains")

    return plot.svg(draw, "Chains by length, beside an ideal hash")


def rows_of(shown: Sequence[Chains]) -> list[tuple[str, list[float]]]:
    """Keys in a chain, and how many chains there are: for each of those shown, then for the ideal."""
    lengths: list[Sequence[float]] = [*(chains.lengths for chains in shown), shown[0].ideal_lengths]
    seen = max(n + 1 for row in lengths for n, count in enumerate(row) if count >= 0.5)
    rows = [(str(n), [row[n] if n < len(row) else 0.0 for row in lengths]) for n in range(min(seen, SHOWN))]
    if seen > SHOWN:
        rows.append((f"{SHOWN}+", [sum(row[SHOWN:]) for row in lengths]))
    return rows
