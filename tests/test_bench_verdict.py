# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What `python -m study bench` says of its figures: bounds, leads, two builds, --strict. On made numbers."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import fields, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pybuildid.cli._machine import this as this_machine
from pybuildid.cli._output import console
from study import bench
from study.__main__ import main
from study.bench import against
from study.bench.ahead import SHOWN, versus
from study.bench.bounds import ratios
from study.bench.command import GROUPS, exit_status, show
from study.bench.contenders import AGAINST, OURS, choose
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    COLD,
    CYCLE_MEAN,
    FLOOR_HUGE,
    FLOOR_PLAIN,
    INSERT_ALL,
    LEFT_OUT_MOST,
    MANY_C,
    MANY_LFHT,
    MANY_LOOP,
    MANY_PYTHON,
    REMOVE_ALL,
    RESIDENT,
    WAITS,
    WHILE_GROWING,
    Figure,
    HeadToHead,
    Interruption,
    Ratio,
    Worst,
)

ROOT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 57_000, 1_000_000)
COLUMNS = 120


def made(**changed: Any) -> bench.Result:
    """A result without anything but this."""
    nothing: Any = dict.fromkeys((field.name for field in fields(bench.Result)), ())
    numbers = {"seed": 1, "rounds": 1, "seconds": 1.0, "took": 1.0, "threads": 1, "left_out": 0.0}
    texts = {"keys": "made", "ended_early": "", "against": ""}
    return bench.Result(**{**nothing, **numbers, **texts, "machine": this_machine(), **changed})


def met() -> tuple[Ratio, ...]:
    """Each bound, met exactly."""
    found = ratios([], (), SIZES)
    return tuple(replace(one, median=one.bound, min=one.bound, max=one.bound, reason="") for one in found)


def alone(bound_name: str, size: int, left: Mapping[tuple[str, str], float]) -> Ratio:
    figures = [Figure(what, who, size, (value,)) for (what, who), value in left.items()]
    return next(one for one in ratios(figures, (), [size]) if one.label == bound_name)


# ------------------------------------------------------------------------------------------------------ bounds


@pytest.mark.parametrize(
    ("label", "what", "divisor", "bounds"),
    [
        ("dependent hit / dependent load", "dependent hit", ("dependent hit", FLOOR_HUGE), (None, None, 1.4)),
        ("dependent hit / that of rwlock", "dependent hit", ("dependent hit", "rwlock"), (None, None, 1.2)),
        ("hit / that of cds_lfht", "hit", ("hit", "cds_lfht"), (0.6, 0.25, 0.35)),
        ("cold hit / that of inode", COLD, (COLD, "inode"), (None, 1.3, 1.3)),
        ("cold hit / that of cds_lfht", COLD, (COLD, "cds_lfht"), (0.6, 0.6, 0.6)),
        ("miss / that of cds_lfht", "miss", ("miss", "cds_lfht"), (0.6, 0.6, 0.6)),
        ("insert / that of cds_lfht", "insert", ("insert", "cds_lfht"), (0.8, 0.8, 0.8)),
        ("insert, all threads / that of cds_lfht", INSERT_ALL, (INSERT_ALL, "cds_lfht"), (None, 0.5, 0.5)),
        ("remove / that of cds_lfht", "remove", ("remove", "cds_lfht"), (0.8, 0.8, 0.8)),
        ("churn / that of ck_ht", "churn", ("churn", "ck_ht"), (1.0, 1.0, 1.0)),
        (
            "hit beside resizes / the quiet one",
            "hit beside resizes",
            ("hit before resizes", OURS),
            (1.5, 1.5, 1.5),
        ),
        (f"{MANY_C} / {MANY_LFHT}", MANY_C, (MANY_LFHT, "cds_lfht"), (0.12, 0.12, 0.12)),
    ],
)
def test_each_bound_is_met_up_to_it_and_missed_above(
    label: str, what: str, divisor: tuple[str, str], bounds: tuple[float | None, ...]
) -> None:
    for size, bound in zip(SIZES, bounds):
        if bound is None:
            assert label not in [one.label for one in ratios([], (), [size])]
            continue
        for part, ok in ((0.99, True), (1.01, False)):
            found = alone(label, size, {(what, OURS): 500 * bound * part, divisor: 500.0})
            assert (found.bound, found.ok) == (bound, ok), (label, size, part)
        assert alone(label, size, {(what, OURS): 1.0}).ok is None, "half of it measured"


@pytest.mark.parametrize(
    ("label", "bound"),
    [
        ("bytes an entry, right after a grow", 70),
        ("bytes an entry, mean of a cycle of growth", 58),
        ("bytes an entry, just before a grow", 52),
        (WAITS, 2),
    ],
)
def test_what_is_counted_is_bounded_by_itself(label: str, bound: float) -> None:
    assert alone(label, 57_000, {(label, OURS): bound}).ok is True
    assert alone(label, 57_000, {(label, OURS): bound + 1}).ok is False
    assert alone(label, 57_000, {}).ok is None


def test_a_round_that_was_given_up_shifts_no_other() -> None:
    """The machine is four times slower from the second round on, and liburcu's first one was given up."""
    figures = [
        Figure("insert", OURS, 100, (100.0, 400.0, 400.0)),
        Figure("insert", "cds_lfht", 100, (800.0,) * 2, (1, 2)),
    ]

    def insert() -> Ratio:
        return next(one for one in ratios(figures, (), [100]) if one.label == "insert / that of cds_lfht")

    assert (insert().min, insert().max) == (0.5, 0.5)
    figures[1] = replace(figures[1], rounds=(7, 8))
    assert insert().reason == "never in the same round"


def test_why_a_bound_was_not_measured() -> None:
    missing = (bench.Missing("cds_lfht", "liburcu-dev", "no header"),)
    reasons = {one.label: one.reason for one in ratios([], missing, [57_000])}
    assert reasons["miss / that of cds_lfht"] == "apt-get install liburcu-dev"
    assert reasons["churn / that of ck_ht"] == "ck_ht is not among those measured"
    assert reasons["hit beside resizes / the quiet one"] == "needs a second processor"


# ------------------------------------------------------------------------------------------ beside the others


def test_updates_are_shown_as_lookups_are_also_where_ours_is_behind() -> None:
    contenders, _ = choose(["fixed", "inode"])
    figures = [Figure(what, OURS, 57_000, (200.0, 100.0)) for what in SHOWN]
    figures += [Figure(what, who, 57_000, (50.0, 25.0)) for what in SHOWN for who in ("fixed", "inode")]
    figures += [Figure("hit", FLOOR_PLAIN, 57_000, (10.0, 5.0)), Figure(COLD, FLOOR_HUGE, 57_000, (100.0, 50.0))]
    fixed, inode, plain, huge = versus(figures, contenders, [57_000])
    assert fixed.ratios == dict.fromkeys(SHOWN, 4.0)
    assert inode.ratios == dict.fromkeys((what for what in SHOWN if what != RESIDENT), 4.0), "it keeps no table"
    assert (plain.ratios, huge.ratios) == ({"hit": 20.0}, {COLD: 2.0})
    text = shown(made(figures=tuple(figures), versus=(fixed,)))
    row = next(line for line in text.splitlines() if line.startswith("│ fixed") and "57,000" in line)
    assert row.count("4.00*") == len(SHOWN)


# ------------------------------------------------------------------------------------------------ two builds


@pytest.mark.parametrize(
    ("own", "other", "worse"),
    [
        ((110.0, 105.0, 120.0), (100.0, 100.0, 100.0), True),
        ((110.0, 99.0, 120.0), (100.0, 100.0, 100.0), False),
        ((101.0, 101.0, 101.0), (100.0, 100.0, 100.0), False),
        ((50.0, 50.0, 50.0), (100.0, 100.0, 100.0), False),
        ((110.0, 120.0), (100.0, 100.0), None),
    ],
    ids=["in each round", "within its spread", "by a percent", "better", "too few rounds"],
)
def test_a_figure_is_worse_by_more_than_its_spread(own: Any, other: Any, worse: bool | None) -> None:
    (found,) = against.judge([Figure("hit", OURS, 57_000, own), Figure("hit", AGAINST, 57_000, other)])
    assert found.worse is worse
    status = {True: 1, False: 0, None: 3}[worse]
    assert exit_status(made(against="older", head_to_head=(found,))) == status


def test_bytes_are_judged_by_one_sample_where_they_are_not_those_of_a_page() -> None:
    for size, worse in ((1000, None), (57_000, True)):
        (found,) = against.judge([Figure(RESIDENT, OURS, size, (60.0,)), Figure(RESIDENT, AGAINST, size, (50.0,))])
        assert found.worse is worse


def test_another_build_is_compiled_and_measured(tmp_path: Path) -> None:
    result = bench.run(bench.Options(sizes=[100], seconds=0.1, rounds=1, against=str(ROOT)))
    assert {one.name for one in result.contenders} == {OURS, AGAINST}
    assert {one.what for one in result.head_to_head} >= {"hit", COLD, "remove", MANY_C, RESIDENT}
    assert not result.ratios
    (tmp_path / "csrc").mkdir()
    for part in ("include", "table", "process", "note"):
        subprocess.run(["cp", "-r", ROOT / "csrc" / part, tmp_path / "csrc"], check=True)
    lookup = tmp_path / "csrc/table/lookup.c"
    lookup.write_text(lookup.read_text() + "\n#error broken on purpose\n")
    with pytest.raises(bench.BenchError, match=r"cannot be compiled: .*broken on purpose"):
        bench.run(bench.Options(sizes=[100], against=str(tmp_path)))
    with pytest.raises(bench.BenchError, match="has no csrc/table"):
        bench.run(bench.Options(sizes=[100], against=tempfile.gettempdir()))


# ---------------------------------------------------------------------------------------------------- --strict


def test_the_status_with_strict() -> None:
    good = made(ratios=met(), sizes=SIZES)
    assert all(one.ok for one in good.ratios)
    assert exit_status(good) == 0
    for number, one in enumerate(good.ratios):
        assert one.median is not None
        missed = replace(one, median=one.median * 1.01)
        assert exit_status(replace(good, ratios=(*good.ratios[:number], missed, *good.ratios[number + 1 :]))) == 1
        unknown = replace(one, median=None)
        assert exit_status(replace(good, ratios=(*good.ratios[:number], unknown))) == 3
    assert exit_status(made()) == 3, "nothing was measured"


def test_a_run_in_which_too_much_was_interrupted_says_so_first() -> None:
    missed = Ratio("hit / that of cds_lfht", 57_000, 0.9, 0.9, 0.9, 0.25)
    for left_out, status in ((LEFT_OUT_MOST, 1), (LEFT_OUT_MOST + 0.01, 3)):
        result = made(ratios=(missed,), left_out=left_out)
        assert exit_status(result) == status
        assert shown(result).startswith("THIS RUN IS NOT USABLE: 6% of the time") == (status == 3)


@pytest.mark.parametrize(("left_out", "status"), [(0.01, 1), (0.2, 3)])
def test_the_command_exits_so(left_out: float, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    missed = Ratio("hit / that of cds_lfht", 57_000, 0.9, 0.9, 0.9, 0.25)
    result = made(ratios=(missed,), left_out=left_out)
    monkeypatch.setattr("study.bench.command.measure", lambda options, report: result)
    assert CliRunner().invoke(main, ["bench", "--strict"]).exit_code == status
    done = CliRunner().invoke(main, ["bench"])
    assert (done.exit_code, "MISSED" in done.output) == (0, True)


def test_against_is_for_two_builds_alone() -> None:
    done = CliRunner().invoke(main, ["bench", "--against", str(ROOT), "--rival", "fixed"])
    assert done.exit_code == 2
    assert "without --rival" in done.output


# ------------------------------------------------------------------------------------------------------- tables


def shown(result: bench.Result) -> str:
    show(console(file=(file := StringIO())), result)
    return file.getvalue()


def test_tables_have_at_most_120_columns() -> None:
    """With the longest names and numbers that a run has, also where nothing but the table itself folds lines."""
    contenders, _ = choose([])
    names = (OURS, "fixed:/16", "_dl_find_object", FLOOR_PLAIN)
    whats = [
        *("hit", "dependent hit", "miss", COLD, "hit, 64 threads at once", "hit, loaded objects", WAITS),
        *("insert", INSERT_ALL, "churn", "remove", REMOVE_ALL),
        *(f"hit {how} {what}" for what in ("churn", "resizes") for how in ("before", "beside")),
        *(f"lookup while it grows, {what}" for what in ("mean", "99.9 %", "worst")),
        *(RESIDENT, "bytes an entry, allocated", "bytes an entry, resident, mean of an octave"),
        *(AFTER_GROW, CYCLE_MEAN, BEFORE_GROW, WHILE_GROWING),
        *(MANY_C, MANY_LOOP, MANY_LFHT, MANY_PYTHON),
    ]
    busy = ("hit, 64 threads at once", "hit beside churn", "lookup while it grows, mean")
    figures = [
        Figure(what, who, 1_000_000, (4321.0, 1234.0, 9876.0))
        for what in whats
        for who in (names if what.endswith(("hit", "miss", "objects")) else names[:2])
    ]
    figures += [Figure(what, "tbb", 1_000_000, (9.0,)) for what in SHOWN]  # ours takes 480 times as long
    figures += [Figure(what, "trylock", 1_000_000, (4321.0, 1234.0, 9876.0), busy=0.1) for what in busy]
    others = [replace(contenders[0], name=name) for name in ("fixed:/16", "tbb")]
    found = versus(figures, (*contenders, *others), [1_000_000])
    result = made(
        figures=tuple(figures),
        versus=found,
        ratios=met(),
        interruptions=tuple(Interruption(who, *[10_000_000] * 8) for who in names),
        worst=tuple(Worst(who, 1_000_000, "keys", None, 10**6, 10**6, 10**6) for who in names),
    )
    two = (HeadToHead("bytes an entry, resident, mean of an octave", 1_000_000, 1.0, 0.1, 10.0, 99, None),)
    text = shown(result) + shown(made(against="older", head_to_head=two))
    assert text.count("┏") >= len(GROUPS) + 5, "a table for each group of figures, and the others"
    assert max(len(line) for line in text.splitlines() if line.startswith(("│", "┃"))) <= COLUMNS
