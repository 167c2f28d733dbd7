# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The plots of the storm and of the comparison: SVG elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pybuildid.collisions import plot
from study.report.documents import Document

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLACES = (
    ("landed_in_update", "inside an update"),
    ("landed_in_resize", "in a resize half done"),
    ("landed_in_lookup", "inside a lookup"),
    ("nested", "in another handler"),
)
BAR_INCHES = 0.42  # with its name above it


def storm(document: Document) -> str:
    """Where interruptions landed, for each design: a second, for a run ends with the first blocked lookup."""
    designs = [document, *document["others"]]

    def draw(axes: Axes) -> None:
        thick = 0.8 / len(designs)
        for series, design in enumerate(designs):
            places = [i + (series - (len(designs) - 1) / 2) * thick for i in range(len(PLACES))]
            rates = [a_second(design, name) for name, _ in PLACES]
            bars = axes.barh(places, rates, thick, label=design["design"], color=plot.SERIES[series])
            axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=3, color=plot.INK)
        axes.set_yticks(range(len(PLACES)), [label for _, label in PLACES])
        axes.set(xscale="symlog", xlabel="interruptions a second")
        axes.invert_yaxis()
        axes.margins(x=0.25)

    return plot.svg(draw, "Where interruptions landed")


def a_second(run: Document, name: str) -> float:
    """Of a run of the storm."""
    return float(run[name] / max(run["seconds"], 0.001))


def bounds(document: Document) -> str:
    """Ratios as parts of their bounds, of those of one kind and size the worst: beyond 1 it is missed."""
    ratios = _worst(
        [ratio for ratio in document["ratios"] if ratio["bound"] is not None and ratio["median"] is not None]
    )

    def draw(axes: Axes) -> None:
        parts = [ratio["median"] / ratio["bound"] for ratio in ratios]
        colours = [plot.SERIES[1] if part > 1 else plot.SERIES[0] for part in parts]
        bars = axes.barh(range(len(parts)), parts, 0.4, align="edge", color=colours)
        labels = [_figure(ratio) + (" missed" if part > 1 else "") for ratio, part in zip(ratios, parts)]
        axes.bar_label(bars, labels, padding=3, color=plot.INK)
        for place, ratio in enumerate(ratios):
            label = axes.text(
                0, place - 0.04, f"{ratio['label']}, {_short(ratio['size'])}", va="bottom", color=plot.INK
            )
            label.set_in_layout(False)  # a long one must not take the bars' room
        axes.axvline(1, color=plot.GRID, linestyle="--", zorder=0)
        axes.set_yticks([])
        axes.set(xlabel="ratio / its bound", xlim=(0, max(parts, default=1) * 1.35), ylim=(len(parts) - 0.5, -1))

    return plot.svg(draw, "The worst ratio of each kind, as a part of its bound", height=1 + BAR_INCHES * len(ratios))


def _figure(ratio: Document) -> str:
    return f"{ratio['median']:.2g}" + (f" {ratio['unit']}" if ratio.get("unit") else "")


def _worst(ratios: Sequence[Document]) -> list[Document]:
    worst: dict[tuple[str, int], Document] = {}
    for ratio in ratios:
        kind = ratio["label"].partition(" / ")[0], ratio["size"]
        if kind not in worst or ratio["median"] / ratio["bound"] > worst[kind]["median"] / worst[kind]["bound"]:
            worst[kind] = ratio
    return list(worst.values())


def _short(size: int) -> str:
    return f"{size // 1_000_000}M" if size % 1_000_000 == 0 else f"{size // 1000}k" if size % 1000 == 0 else f"{size}"
