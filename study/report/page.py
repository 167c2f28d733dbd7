# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The page."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from pybuildid.collisions import plot
from pybuildid.collisions import plots as collision_plots
from study.bench import plots as bench_plots
from study.bench.ahead import SHOWN
from study.bench.result import COLD, RESIDENT
from study.memory import plots as memory_plots
from study.report import plots
from study.report.documents import MAKERS, Document, Documents
from study.report.verdict import judge, missed, storm_problems

DRAWN = ("hit", COLD, "miss", "insert", "remove", "churn", RESIDENT)  # of the comparison, by entries


def render(documents: Documents) -> str:
    """One HTML page with its style and plots inside. Raises ImportError, with what to install, for what is missing."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise ImportError(f"the report needs {error.name}: pip install 'pybuildid[report]'", name=error.name) from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(files("study.report").joinpath("page.html.jinja").read_text("utf-8"))
    return template.render(
        documents=documents,
        verdict=judge(documents),
        problems=storm_problems(documents.storm) if documents.storm else (),
        missed=missed,
        makers=MAKERS,
        commands=documents.commands or {},
        machine_rows=_machine_rows(documents),
        a_second=plots.a_second,
        versus=documents.bench.get("versus", ()) if documents.bench else (),  # not in documents of older versions
        shown=_shown(documents.bench) if documents.bench else (),
        tables=_tables(documents.bench) if documents.bench else (),
        plots=_plots(documents),
        colours=plot.stylesheet(":root"),
    )


def _machine_rows(documents: Documents) -> list[tuple[str, list[str]]]:
    """What each document says of the machine that its figures are from; not of the one that draws the page."""
    rows = []
    for name, label in (
        ("processor", "processor"),
        ("processors", "processors that were used"),
        ("kernel", "kernel"),
        ("memory_bytes", "memory"),
        ("huge_pages", "transparent huge pages"),
        ("python", "Python"),
        ("date", "date"),
    ):
        found = [one.get(name, "") for one in documents.machines.values()]
        texts = [f"{value / 2**30:.1f} GiB" if name == "memory_bytes" and value else str(value) for value in found]
        if any(texts):
            rows.append((label, texts))
    return rows


@dataclass(frozen=True)
class Table:
    """All that was measured at one size: medians."""

    size: int
    whats: tuple[str, ...]
    rows: dict[str, dict[str, str]]  # by who and what


def _shown(bench: Document) -> list[str]:
    """The figures in which ours and others are compared."""
    return [what for what in SHOWN if any(what in one["ratios"] for one in bench.get("versus", ()))]


def _tables(bench: Document) -> list[Table]:
    tables = []
    for size in dict.fromkeys(figure["size"] for figure in bench["figures"]):
        figures = [figure for figure in bench["figures"] if figure["size"] == size]
        rows: dict[str, dict[str, str]] = {}
        for figure in figures:
            rows.setdefault(figure["who"], {})[figure["what"]] = _cell(figure)
        tables.append(Table(size, tuple(dict.fromkeys(figure["what"] for figure in figures)), rows))
    return tables


def _cell(figure: Document) -> str:
    busy = figure.get("busy")  # the share of lookups without an answer: not in documents of older versions
    return f"{figure['median']:,.4g}" + (f" ({busy:.2%} busy)" if busy is not None else "")


def _plots(documents: Documents) -> dict[str, list[str]]:
    """SVG elements for each section."""
    shown: dict[str, list[str]] = {}
    if documents.storm:
        shown["storm"] = [plots.storm(documents.storm)]
    if documents.bench:
        figures = documents.bench["figures"]
        measured = {figure["what"] for figure in figures}
        shown["bench"] = [bench_plots.one(figures, what) for what in DRAWN if what in measured]
        shown["bench"].append(plots.bounds(documents.bench))
    if documents.collisions:
        judgement = documents.collisions.judgement
        pair = judgement.best, judgement.other("mix")
        shown["collisions"] = [collision_plots.by_shift(judgement), collision_plots.lengths(pair)]
    if documents.memory:
        curves = documents.memory.curves
        shown["memory"] = [memory_plots.by_entries(balance, curves) for balance in documents.memory.balances]
    return shown
