# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m study bench``: the designs measured side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from textwrap import wrap

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pybuildid.cli._command import command_line
from pybuildid.cli._errors import printable
from pybuildid.cli._json import json_option, write_json
from pybuildid.cli._output import console
from pybuildid.cli._plots import plot_option, write_plot
from pybuildid.cli._types import Range
from study.bench import BenchError, KeysError, Options, Result, UnknownDesignError, plots
from study.bench import run as measure
from study.bench.ahead import LEAST, SHOWN
from study.bench.contenders import DEFAULT
from study.bench.keys import KINDS
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    CYCLE_MEAN,
    INSERT_ALL,
    LOADED_HIT,
    MANY_C,
    MANY_LFHT,
    MANY_LOOP,
    MANY_PYTHON,
    REMOVE_ALL,
    WAITS,
    WHILE_GROWING,
    Figure,
    document,
)

MOST = 1_500_000  # entries: as many keys again are absent, and designs with objects have room for 4 million


@click.command()
@click.option(
    "--rival", "rivals", multiple=True, metavar="NAME", help="Only this design beside ours; may be given again."
)
@click.option(
    "--size",
    "sizes",
    multiple=True,
    type=click.IntRange(64, MOST),
    help="Number of entries; may be given again. [default: 1000, 57000 and 1000000]",
)
@click.option("--threads", type=click.IntRange(1, 64), help="How many look up at once, where several do.")
@click.option(
    "--seconds",
    type=Range(0.1, 86400),
    default=240,
    show_default=True,
    help="Time for everything; at least one round is run.",
)
@click.option("--rounds", type=click.IntRange(1, 99), default=9, show_default=True, help="At most this many rounds.")
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), default=1, show_default=True, help="Seed for keys and their order."
)
@click.option(
    "--patience",
    type=Range(0.1),
    default=120,
    show_default=True,
    help="Seconds without an answer after which a design counts as hung.",
)
@click.option("--keys", default="slabs", show_default=True, metavar="KIND|FILE", help=f"{', '.join(KINDS)}, or a file.")
@json_option
@plot_option("--chart", help='Draw all by entries here, as SVG. Needs the extra "plot".')
@click.option(
    "--against",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Another checkout: measure its table and this one, and no other design.",
)
@click.option("--strict", is_flag=True, help="Exit with 1 if a bound is missed, with 3 if that cannot be said.")
def bench(
    rivals: tuple[str, ...],
    sizes: tuple[int, ...],
    threads: int | None,
    seconds: float,
    rounds: int,
    seed: int,
    patience: float,
    keys: str,
    json_file: Path | None,
    chart: Path | None,
    against: Path | None,
    strict: bool,
) -> None:
    """Measure our table beside every design of the discussion and peers from other libraries, in one run.

    Designs: ours, spinlock, trylock, fixed, rwlock, seqcount, file, inode, reparse. A number of buckets may follow
    those with fixed buckets: fixed:4096, fixed:/16 (one for 16 entries), fixed:x4 (four for each). Peers, where their
    library and a compiler are installed: cds_lfht, ck_ht, ck_hs, tbb.

    \b
    Keys:
      slabs        addresses in made slabs, as recorded with ext4
      machine      the same after this machine's /proc/slabinfo (takes root)
      files        device and inode number of files below /usr
      adversarial  keys that collide in a table that hashes without a seed
      FILE         addresses, one a line in hexadecimal

    A process of its own measures. A design whose call has not come back after --patience seconds hangs: then that
    process is ended, what was measured before is shown, and the exit status is 1.

    Threads stay on a processor each. In each round the designs take turns at each figure, and there are as many rounds
    as --seconds allow. The output has medians, least and most. Compare ratios of one run, never nanoseconds of two.

    With --against, two builds of the table are measured head to head. A figure is worse by more than its spread if it
    is worse in each round, of at least three, and by more than 2 percent in the median.

    \b
    Exit status with --strict:
      0  each bound is met (with --against: no figure is worse by more than its spread)
      1  one is not
      3  cannot be said: too much was left out as interrupted, a bound was not measured, or too few rounds were

    \b
    Examples:
      python -m study bench
      python -m study bench --size 57000 --seconds 60
      python -m study bench --rival cds_lfht --rival fixed:/16 --chart bench.svg
      python -m study bench --keys inode-addresses.txt --json bench.json
      python -m study bench --against ../older --strict
    """
    if against and rivals:
        raise click.UsageError("--against compares two builds of the table alone: without --rival")
    names, other = rivals or DEFAULT, str(against.resolve()) if against else ""
    options = Options(names, sizes or Options.sizes, threads or 0, seconds, rounds, seed, keys, patience, other)
    out, err = console(), console(stderr=True)
    try:
        with err.status("starting") as status:
            result = measure(options, lambda text: status.update(Text(text)))
    except (UnknownDesignError, KeysError) as error:
        raise click.UsageError(str(error)) from None
    except BenchError as error:
        raise click.ClickException(str(error)) from None
    written = document(result, command_line("python -m study"))
    write_json(json_file, lambda: written)  # first: it took minutes
    show(out, result)
    write_plot(chart, lambda: plots.everything(written["figures"]))
    if result.ended_early:
        raise click.ClickException(f"{result.ended_early}; what was measured before is above")
    if strict:
        raise SystemExit(exit_status(result))


MISSED, UNDECIDED = 1, 3  #: exit statuses with --strict


def exit_status(result: Result) -> int:
    """The exit status with --strict."""
    if result.unusable:
        return UNDECIDED
    if any(one.ok is False for one in result.ratios) or any(one.worse for one in result.head_to_head):
        return MISSED
    unknown = any(one.ok is None for one in result.ratios)
    unseen = any(one.worse is None and not one.once for one in result.head_to_head)
    return UNDECIDED if unknown or unseen or not (result.ratios or result.head_to_head) else 0


def show(out: Console, result: Result) -> None:
    """Prints all of it."""
    if result.unusable:
        out.print(Text(f"THIS RUN IS NOT USABLE: {result.unusable}.", "bold red"), soft_wrap=True)
    processors = ", ".join(map(str, result.processors))
    out.print(
        f"{result.machine.processor}, {result.machine.kernel}; processors {processors}; {result.took:.0f} seconds"
    )
    out.print(
        f"keys: {printable(result.keys)}; left out as interrupted: {result.left_out:.1%} of the time of "
        "lookups alone, nothing of those in company"
    )
    for one in result.missing:
        out.print(f"not here: {one.name}: apt-get install {one.package} ({one.reason})")
    for size in dict.fromkeys(figure.size for figure in result.figures):
        _all_figures(out, result, size)
    _interruptions(out, result)
    _worst(out, result)
    for note in result.notes:
        out.print(f"Note: {printable(note)}.", soft_wrap=True)
    if result.against:
        _head_to_head(out, result)
        return
    _versus(out, result)
    _ahead(out, result)
    _ratios(out, result)


def _number(value: float, decimals: int) -> str:
    return f"{value:,.{decimals if value < 100 else 0}f}"


def _spread(samples: tuple[float, ...], decimals: int) -> Text:
    middle, least, most = (_number(value, decimals) for value in (median(samples), min(samples), max(samples)))
    return Text(middle) if len(samples) == 1 else Text.assemble(middle, " ", (f"({least}..{most})", "dim"))


def _busy(figure: Figure) -> Text:
    """The share of "busy" answers, beside the time: they took no time to find an ID."""
    return Text("" if figure.busy is None else f" {figure.busy:.2%} busy", "yellow")


def _table(title: str, *columns: str, head: int = 22) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(_folded(column, head), justify="left" if number == 0 else "right", overflow="fold")
    return table


LABEL = 46  #: characters of a row's head


def _folded(text: str, width: int) -> str:
    """The text in lines, so that a table has at most 120 columns, also in a file, where nothing else folds it."""
    return "\n".join(wrap(text, width))


def _figures(out: Console, title: str, figures: Sequence[Figure], decimals: int) -> None:
    """A table of one size: a row for each design, a column for each figure."""
    columns = list(dict.fromkeys(one.what for one in figures))
    if not columns:
        return
    table = _table(title, "design", *columns)
    for who in dict.fromkeys(one.who for one in figures):
        own = {one.what: _spread(one.samples, decimals) + _busy(one) for one in figures if one.who == who}
        table.add_row(who, *(own.get(what, "") for what in columns))
    out.print(table)


#: Titles, and how the names of their figures begin: in this order, the first that fits.
GROUPS = (
    ((AFTER_GROW, CYCLE_MEAN, BEFORE_GROW, WHILE_GROWING), "{size:,} entries: memory in a cycle of growth"),
    ("bytes a", "{size:,} entries: memory"),
    ("lookup while", "Lookups while another thread inserts up to {size:,} entries: ns"),
    (("hit before", "hit beside"), "{size:,} entries: hits before another thread works, and beside it: ns"),
    (LOADED_HIT, "{size:,} entries, the starts of loaded objects: ns"),
    ("hit, ", "{size:,} entries: hits by several threads: ns"),
    ((INSERT_ALL, REMOVE_ALL), "{size:,} entries: ns an update, of all threads"),
    (("insert", "churn", "remove"), "{size:,} entries: ns an update"),
    (WAITS, "{size:,} entries: cache lines"),
    ((MANY_PYTHON, MANY_C, MANY_LOOP, MANY_LFHT), "{size:,} entries: ns a key, many at a call"),
    ("", "{size:,} entries: ns a lookup, median (least..most)"),
)


def _all_figures(out: Console, result: Result, size: int) -> None:
    groups: dict[str, list[Figure]] = {title: [] for _, title in reversed(GROUPS)}
    for figure in result.figures:
        if figure.size == size:
            groups[next(title for begin, title in GROUPS if figure.what.startswith(begin))].append(figure)
    for title, figures in groups.items():
        _figures(out, title.format(size=size), figures, 1)


def _interruptions(out: Console, result: Result) -> None:
    columns = ("interruptions", "in an update", "answered", "busy", "blocked", "wrong")
    table = _table("Lookups from a signal handler that interrupts the updater", "design", *columns)
    for one in result.interruptions:
        cells = (one.interruptions, one.in_update, one.answered, one.busy, one.blocked, one.wrong)
        bad = ("", "", "", "yellow", "bold red", "bold red")
        table.add_row(one.who, *(Text(f"{n:,}", style if n else "") for n, style in zip(cells, bad)))
    out.print(table)


def _worst(out: Console, result: Result) -> None:
    for size, keys in dict.fromkeys((one.size, one.keys) for one in result.worst):
        columns = ("slots", "records", "records, mean", "instructions")
        table = _table(f"The worst lookup, {size:,} entries: {printable(keys)}", "design", *columns)
        for one in result.worst:
            if (one.size, one.keys) == (size, keys):
                mean = "" if one.mean_records is None else f"{one.mean_records:.2f}"
                counts = ["not exposed" if n is None else f"{n:,}" for n in (one.slots, one.records, one.instructions)]
                table.add_row(one.who, *counts[:2], mean, counts[2])
        out.print(table)


def _versus(out: Console, result: Result) -> None:
    """A row for each of the others at each size."""
    whats = [what for what in SHOWN if any(what in one.ratios for one in result.versus)]
    if not whats:
        return
    title = f"Ours / theirs, medians of ratios of the same round; * above {LEAST}: ours is behind"
    table = _table(title, "design", "entries", *whats, head=10)
    for number, one in enumerate(result.versus):
        last = number + 1 == len(result.versus) or result.versus[number + 1].who != one.who
        cells = (_part(one.ratios.get(what)) for what in whats)
        table.add_row(one.who, f"{one.size:,}", *cells, end_section=last)
    out.print(table)


def _part(ratio: float | None) -> Text:
    if ratio is None:
        return Text()
    return Text(f"{ratio:.2f}*", "bold yellow") if ratio > LEAST else Text(f"{ratio:.2f} ")


def _ahead(out: Console, result: Result) -> None:
    """Why ours is behind, and at what price."""
    for one in result.ahead:
        out.print(f"{one.who} is ahead: {'; '.join(one.why)}. {one.price}", soft_wrap=True)
    if not result.ahead:
        out.print("Nobody is ahead of ours.")


def _ratios(out: Console, result: Result) -> None:
    """The bounds, last: what a reader looks for first."""
    columns = ("ratio of the same round", "entries", "bound", "median", "spread", "")
    table = _table("To reach: at most the bound", *columns)
    for one in result.ratios:
        cells = (_folded(one.label, LABEL), f"{one.size:,}", f"{one.bound:.3g}")
        if one.median is None or one.min is None or one.max is None:
            table.add_row(*cells, "", "", Text("not measured", "yellow"))
            continue
        spread = "" if one.min == one.max else f"{_number(one.min, 3)}..{_number(one.max, 3)}"
        verdict = Text("met", "green") if one.ok else Text("MISSED", "bold red")
        table.add_row(*cells, _number(one.median, 3), spread, verdict)
    out.print(table)
    counts = [sum(one.ok is ok for one in result.ratios) for ok in (True, False, None)]
    for reason in dict.fromkeys(f"{one.label}: {one.reason}" for one in result.ratios if one.ok is None):
        out.print(f"not measured: {reason}", soft_wrap=True)
    out.print(f"Of {len(result.ratios)} bounds: {counts[0]} met, {counts[1]} missed, {counts[2]} not measured.")


def _head_to_head(out: Console, result: Result) -> None:
    title = f"This build / {printable(result.against)}: below 1 this one is better"
    table = _table(title, "figure", "entries", "median", "spread", "rounds", "")
    for one in result.head_to_head:
        spread = "" if one.min == one.max else f"{one.min:.3f}..{one.max:.3f}"
        verdict = Text("WORSE", "bold red") if one.worse else Text("" if one.worse is False else "not judged", "dim")
        table.add_row(_folded(one.what, LABEL), f"{one.size:,}", f"{one.median:.3f}", spread, f"{one.rounds}", verdict)
    out.print(table)
    worse = sum(one.worse is True for one in result.head_to_head)
    out.print(f"Of {len(result.head_to_head)} figures {worse} are worse by more than their spread.")
