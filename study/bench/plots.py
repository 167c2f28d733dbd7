# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plots of ``python -m study bench``, from its JSON document: SVG elements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pybuildid.collisions import plot
from study.bench.contenders import OURS, tableless
from study.bench.result import COLD, FLOOR_HUGE, FLOOR_PLAIN, RESIDENT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = Mapping[str, Any]  #: a figure of the document

#: What is drawn by the number of entries, and in which unit.
PANELS = (
    ("hit", "ns"),
    ("dependent hit", "ns"),
    (COLD, "ns"),
    ("miss", "ns"),
    ("insert", "ns"),
    ("churn", "ns"),
    ("remove", "ns"),
    (RESIDENT, "bytes"),
)
TALL = plot.HEIGHT + 1  # inches: room for everyone's name


def everything(figures: Sequence[Found]) -> str:
    """A panel for each kind of figure."""
    draws = [_panel(figures, what, unit) for what, unit in PANELS if _of(figures, what)]
    return plot.panels(draws, "By entries: medians, with lines from least to most", height=TALL)


def one(figures: Sequence[Found], what: str) -> str:
    """One of the panels."""
    draw = _panel(figures, what, dict(PANELS)[what])
    return plot.svg(draw, f"{what[0].upper()}{what[1:]}, by entries", height=TALL)


def _of(figures: Sequence[Found], what: str) -> list[Found]:
    return [figure for figure in figures if figure["what"] == what]


def looks(found: Sequence[Found]) -> dict[str, dict[str, Any]]:
    """Styles by name. Ours, the best other table at the largest size, and the floor have colours; the rest is grey."""
    everyone = dict.fromkeys(figure["who"] for figure in found)
    largest = max(figure["size"] for figure in found)
    none = (OURS, FLOOR_PLAIN, FLOOR_HUGE, *tableless())
    rivals = [one for one in found if one["size"] == largest and one["who"] not in none]
    best = min(rivals, key=lambda one: one["median"])["who"] if rivals else ""
    floor = next((who for who in (FLOOR_HUGE, FLOOR_PLAIN) if who in everyone), "")
    coloured = {
        OURS: {**plot.style(0), "linewidth": 2.5, "zorder": 4},
        best: {**plot.style(1), "linewidth": 1.6, "zorder": 3},
        floor: {**plot.style(2), "linewidth": 1.6, "zorder": 3, "linestyle": "--"},
    }
    others = [who for who in everyone if who not in coloured]
    grey = {who: {**plot.grey(number), "linewidth": 0.9, "zorder": 2} for number, who in enumerate(others)}
    return {who: {**coloured, **grey}[who] for who in everyone}


def _panel(figures: Sequence[Found], what: str, unit: str) -> plot.Draw:
    found = _of(figures, what)

    def draw(axes: Axes) -> None:
        ends = []
        for who, look in looks(found).items():
            own = sorted((one for one in found if one["who"] == who), key=lambda one: one["size"])
            sizes, medians = [one["size"] for one in own], [one["median"] for one in own]
            spread = [[one["median"] - one["min"] for one in own], [one["max"] - one["median"] for one in own]]
            axes.errorbar(sizes, medians, spread, **look)
            ends.append(plot.End(who, sizes[-1], medians[-1], look["color"]))
        axes.set(xscale="log", yscale="log", xlabel="entries", ylabel=f"{what}, {unit}" if unit == "ns" else what)
        plot.label_ends(axes, ends, TALL)

    return draw
