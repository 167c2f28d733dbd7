# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Plots as SVG that follow the reader's choice of light or dark. Needs the extra "plot" (Matplotlib).

Matplotlib draws with stand-in colours; in the SVG they become CSS variables, with values for light and dark beside
them, so that a plot is readable on any page, and a page that sets the variables has its own colours.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Role of a colour: (stand-in, light, dark). Ours, and the others in an order in which neighbours differ.
COLOURS = {
    "ink": ("#010101", "#1a1a1a", "#e8e8e8"),
    "paper": ("#000001", "#ffffff", "#161616"),
    "grid": ("#020202", "#d9d9d9", "#444444"),
    "series-0": ("#030303", "#0b62c4", "#6cb2ff"),
    "series-1": ("#040404", "#c4440b", "#ff9a5c"),
    "series-2": ("#050505", "#1b7f3b", "#62d68a"),
    "series-3": ("#060606", "#8a3ab8", "#d49bf5"),
    "series-4": ("#070707", "#8a6d00", "#e3c341"),
    "series-5": ("#080808", "#b0195e", "#ff85b8"),
    "series-6": ("#090909", "#3f6f75", "#86c7cf"),
    "series-7": ("#0a0a0a", "#666666", "#aaaaaa"),
}
INK, GRID = COLOURS["ink"][0], COLOURS["grid"][0]
SERIES = tuple(colour for role, (colour, _, _) in COLOURS.items() if role.startswith("series"))
GREY = SERIES[-1]
MARKERS = "os^Dv*PX"  # told apart without colour, too
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.5)), (0, (6, 1.5, 1, 1.5)))
LABEL_POINTS = 9  # of names beside lines
AXES_PART = 0.75  # of a plot's height that is between its axes, about
WIDTH, HEIGHT = 5.2, 3.9  # inches: readable at the width of a telephone, with text of 10 points
PAPER = "svg.pybuildid-plot{background:var(--paper)}"
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
METADATA = ("Creator", "Date", "Format", "Type")  # of the file: left out
LOOKS: Any = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 10,
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
}

_numbers = count(1)


def stylesheet(selector: str = "svg.pybuildid-plot") -> str:
    """The variables for light and dark, as CSS."""
    light = "".join(f"--{role}:{colour};" for role, (_, colour, _) in COLOURS.items())
    dark = "".join(f"--{role}:{colour};" for role, (_, _, colour) in COLOURS.items())
    return f"{selector}{{{light}}}@media (prefers-color-scheme:dark){{{selector}{{{dark}}}}}"


Draw = Callable[["Axes"], None]


def svg(draw: Draw, title: str, height: float = HEIGHT) -> str:
    """One plot as an SVG element, with its title for those who cannot see it; usable as a file and inside a page.

    Raises ImportError, with what to install, where Matplotlib is missing.
    """
    return panels([draw], title, columns=1, height=height)


def panels(draws: Sequence[Draw], title: str, columns: int = 2, height: float = HEIGHT) -> str:
    """Several plots as one, with one legend for all; otherwise as svg(). height: of a row, in inches."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(f"plots need {error.name}: pip install 'pybuildid[plot]'", name=error.name) from None
    rows = -(-len(draws) // columns)
    with matplotlib.rc_context(LOOKS):
        figure = Figure(figsize=(columns * WIDTH, rows * height), layout="constrained")
        legend: dict[str, Any] = {}
        for number, draw in enumerate(draws):
            axes = figure.add_subplot(rows, columns, number + 1)
            draw(axes)
            _finish(axes)
            handles, labels = axes.get_legend_handles_labels()
            legend.update(zip(labels, handles))
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold")
        if legend:
            ncols = 2 * columns
            names = list(legend)
            figure.legend(
                [legend[name] for name in names], names, loc="outside lower center", ncols=ncols, frameon=False
            )
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(METADATA), transparent=True)
    return _themed(text.getvalue(), title)


def standalone(element: str) -> str:
    """An SVG element as the text of a file, with its colours."""
    head, _, rest = element.partition(">")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{head}>\n<style>{stylesheet()}{PAPER}</style>{rest}'


def style(series: int) -> dict[str, Any]:
    """Colour and marker of a series, for a line. The first colour is ours alone. The others are one less than the
    markers, so that 56 pairs go by before one comes again."""
    colour = SERIES[1 + (series - 1) % (len(SERIES) - 1)] if series else SERIES[0]
    return {"color": colour, "marker": MARKERS[series % len(MARKERS)], "markersize": 5}


def grey(series: int) -> dict[str, Any]:
    """The look of a line that is there for comparison, each with its own marker and dashes: 32 of them."""
    dashes = DASHES[series // len(MARKERS) % len(DASHES)]
    return {"color": GREY, "marker": MARKERS[series % len(MARKERS)], "markersize": 4, "linestyle": dashes}


@dataclass(frozen=True)
class End:
    """The right end of a line, and its name."""

    name: str
    x: float
    y: float
    colour: str


def label_ends(axes: Axes, ends: Sequence[End], height: float) -> None:
    """Names beside the ends of lines instead of a legend, moved apart where they would cover each other.

    height: of the plot, in inches. The axes have their scales and limits already.
    """
    scale = axes.transData.transform
    low, high = (scale((1, limit))[1] for limit in axes.get_ylim())
    wanted = {end: (scale((end.x, end.y))[1] - low) / (high - low) for end in ends}
    order = sorted(ends, key=wanted.__getitem__)
    gap = LABEL_POINTS * 1.25 / (height * 72 * AXES_PART)
    for end, place in zip(order, apart([wanted[end] for end in order], gap)):
        axes.annotate(
            end.name,
            (end.x, end.y),
            (1.05, place),
            textcoords="axes fraction",
            va="center",
            fontsize=LABEL_POINTS,
            color=end.colour,
            arrowprops={"arrowstyle": "-", "color": end.colour, "linewidth": 0.5, "relpos": (0, 0.5), "shrinkB": 2},
        )


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Places in order, moved so that none is nearer than a gap to the next, about the middle of each crowd."""
    groups = [[place] for place in places]
    starts = list(places)
    number = 0
    while number + 1 < len(groups):
        if starts[number] + len(groups[number]) * gap <= starts[number + 1]:
            number += 1
            continue
        groups[number] += groups.pop(number + 1)
        del starts[number + 1]
        own = groups[number]
        starts[number] = sum(own) / len(own) - (len(own) - 1) * gap / 2
        number = max(number - 1, 0)
    return [start + i * gap for start, group in zip(starts, groups) for i in range(len(group))]


def short(value: float) -> str:
    """A number for an axis: 1,000, but 10k and 1M."""
    for unit, name in ((1_000_000, "M"), (1_000, "k")):
        if abs(value) >= max(unit, 10_000):
            return f"{value / unit:,.10g}{name}"
    return f"{value:,.10g}"


def _finish(axes: Axes) -> None:
    from matplotlib.ticker import LogFormatter

    class Minor(LogFormatter):
        """Labels where Matplotlib finds them useful, in our way of writing numbers."""

        def __call__(self, value: float, position: int | None = None) -> str:
            return short(value) if super().__call__(value, position) else ""

    axes.grid(True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() in ("log", "symlog"):
            axis.set_major_formatter(lambda value, _: short(value))
            axis.set_minor_formatter(Minor())
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _themed(text: str, title: str) -> str:
    """Matplotlib's file as an element: colours as variables, identifiers that are unique on a page, no fixed size."""
    element = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    for role, (stand_in, _, _) in COLOURS.items():
        element = element.replace(stand_in, f"var(--{role})")
    prefix = f"plot{next(_numbers)}-"
    element = re.sub(r'\bid="', f'id="{prefix}', element)
    element = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", element)
    element = re.sub(r"font-family: [^;\"]*", "font-family: system-ui, sans-serif", element)
    element = re.sub(r"font: (\S+) '[^;\"]*", r"font: \1 system-ui, sans-serif", element)
    view = re.search(r'viewBox="[^"]*"', element)
    assert view
    head = f'<svg class="pybuildid-plot" {NAMESPACES} {view[0]} role="img" stroke-linejoin="round">'
    return re.sub(r"<svg[^>]*>", f"{head}<title>{escape(title)}</title>", element, count=1).strip()
