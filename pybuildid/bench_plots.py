# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plot of ``pybuildid bench``: an SVG element."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pybuildid import plot
from pybuildid.bench.result import FLOOR_PLAIN, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def hits(result: Result) -> str:
    """Nanoseconds of a hit by the number of entries: medians, and lines from least to most."""
    figures = [figure for figure in result.figures if figure.what == "hit"]

    def draw(axes: Axes) -> None:
        for series, who in enumerate(dict.fromkeys(figure.who for figure in figures)):
            own = sorted((figure for figure in figures if figure.who == who), key=lambda figure: figure.size)
            sizes, medians = [figure.size for figure in own], [figure.median for figure in own]
            spread = [
                [figure.median - min(figure.samples) for figure in own],
                [max(figure.samples) - figure.median for figure in own],
            ]
            dashes = "--" if who == FLOOR_PLAIN else "-"
            axes.errorbar(sizes, medians, spread, label=who, linestyle=dashes, **plot.style(series))
        axes.set(xscale="log", yscale="log", xlabel="entries", ylabel="ns a hit: median, least and most")

    return plot.svg(draw, "A hit, by entries", height=plot.HEIGHT + 1.5)
