# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plots of ``python -m study bench``, from its JSON document: SVG elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybuildid.collisions import plot
from study.bench.contenders import OURS
from study.bench.result import FLOOR_HUGE, FLOOR_PLAIN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = Mapping[str, Any]  #: a figure of the document

#: What is drawn by the number of entries, and in which unit.
PANELS = (
    ("hit", "ns"),
    ("dependent hit", "ns"),
    ("miss", "ns"),
    ("insert", "ns"),
    ("churn", "ns"),
    ("remove", "ns"),
    ("bytes an entry, resident", "bytes"),
)


def everything(figures: Sequence[Found]) -> str:
    """A panel for each kind of figure, in which everyone keeps a colour."""
    draws = [_panel(figures, what, unit) for what, unit in PANELS if _of(figures, what)]
    return plot.panels(draws, "By entries: medians, with lines from least to most")


def one(figures: Sequence[Found], what: str) -> str:
    """One of the panels."""
    draw = _panel(figures, what, dict(PANELS)[what])
    return plot.svg(draw, f"{what[0].upper()}{what[1:]}, by entries", height=plot.HEIGHT + 1.5)


def _of(figures: Sequence[Found], what: str) -> list[Found]:
    return [figure for figure in figures if figure["what"] == what]


def _panel(figures: Sequence[Found], what: str, unit: str) -> plot.Draw:
    everyone = dict.fromkeys(figure["who"] for panel, _ in PANELS for figure in _of(figures, panel))

    def draw(axes: Axes) -> None:
        for series, who in enumerate(everyone):
            own = sorted((one for one in _of(figures, what) if one["who"] == who), key=lambda one: one["size"])
            if not own:
                continue
            sizes, medians = [one["size"] for one in own], [one["median"] for one in own]
            spread = [[one["median"] - one["min"] for one in own], [one["max"] - one["median"] for one in own]]
            dashes = "--" if who in (FLOOR_PLAIN, FLOOR_HUGE) else "-"
            width = 2.5 if who == OURS else 1.2
            look = {"linestyle": dashes, "linewidth": width, **plot.style(series)}
            axes.errorbar(sizes, medians, spread, label=who, zorder=3 if who == OURS else 2, **look)
        axes.set(xscale="log", yscale="log", xlabel="entries", ylabel=f"{what}, {unit}" if unit == "ns" else what)

    return draw
