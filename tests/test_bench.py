# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The benchmark, run for moments: every figure is there and every ratio is computed. No time is judged."""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOADS = ("load, 4 KiB pages", "load, huge pages")
OWN_FIGURES = ("hit", "dependent hit", "miss", "hit, many a call", "insert, from empty", "remove, to empty")
LFHT_FIGURES = ("hit", "dependent hit", "miss", "insert, from empty", "remove, to empty")
COMPANY_FIGURES = ("hit before churn", "hit beside churn", "hit before resizes", "hit beside resizes")
MEMORY_FIGURES = ("memory right after a grow", "memory just before a grow")
SIZES = (1000, 57000)
ROUNDS = 2


def urcu_libraries() -> list[str]:
    """What to link for liburcu; empty without it."""
    command = ["pkg-config", "--silence-errors", "--libs", "liburcu-cds", "liburcu-memb"]
    if shutil.which(command[0]) is None:
        return []
    return subprocess.run(command, capture_output=True, text=True).stdout.split()


def build(binary: Path, libraries: list[str]) -> Path:
    cc = os.environ.get("CC", "cc")
    if shutil.which(cc) is None:
        pytest.fail(f"no C compiler: {cc} is not on PATH (Debian: apt-get install gcc)")
    sources = [*ROOT.glob("bench/*.c"), *ROOT.glob("csrc/table/*.c")]
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc' / 'include'}"]
    urcu = ["-DHAVE_URCU"] if libraries else []
    subprocess.run([cc, *flags, *urcu, "-o", str(binary), *map(str, sources), *libraries, "-pthread"], check=True)
    return binary


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("bench") / "bench", urcu_libraries())


def run(bench: Path, *arguments: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(bench), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)


@pytest.fixture(scope="module")
def result(bench: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, Any]]:
    """The output and the JSON of one short run."""
    file = tmp_path_factory.mktemp("json") / "bench.json"
    sizes = ",".join(map(str, SIZES))
    done = run(bench, "--sizes", sizes, "--rounds", ROUNDS, "--batch-ms", 1, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(file.read_text())
    assert isinstance(document, dict)
    return done.stdout, document


def expected_figures(has_urcu: bool, has_partner: bool) -> set[tuple[str, str, int]]:
    figures = {("pybuildid", what, size) for what in OWN_FIGURES for size in SIZES}
    figures |= {(load, what, size) for load in LOADS for what in ("hit", "dependent hit") for size in SIZES}
    figures |= {("pybuildid", what, 57000) for what in MEMORY_FIGURES}
    if has_partner:
        figures |= {("pybuildid", what, size) for what in COMPANY_FIGURES for size in SIZES}
    if has_urcu:
        figures |= {("cds_lfht", what, size) for what in LFHT_FIGURES for size in SIZES}
        figures |= {("cds_lfht", what, 57000) for what in MEMORY_FIGURES}
    return figures


def test_every_figure_is_there(result: tuple[str, dict[str, Any]]) -> None:
    _, document = result
    figures = {(f["who"], f["what"], f["size"]): f for f in document["figures"]}
    missing = expected_figures(bool(urcu_libraries()), len(os.sched_getaffinity(0)) > 1) - figures.keys()
    assert not missing
    for figure in figures.values():
        samples = figure["samples"]
        assert 0 < figure["min"] <= figure["median"] <= figure["max"]
        assert (figure["min"], figure["max"]) == (min(samples), max(samples))
        if not figure["what"].startswith(("memory", "table")):
            assert len(samples) == ROUNDS


def test_ratios_are_those_of_the_samples(result: tuple[str, dict[str, Any]]) -> None:
    _, document = result
    samples = {(f["who"], f["what"], f["size"]): f["samples"] for f in document["figures"]}
    ratios = {(r["label"], r["size"]): r for r in document["ratios"]}
    own = ("pybuildid", "miss", 57000), ("pybuildid", "hit", 57000)
    expected = statistics.median(a / b for a, b in zip(samples[own[0]], samples[own[1]]))
    assert ratios["miss / hit", 57000]["median"] == pytest.approx(expected, rel=0.01)
    after = samples["pybuildid", "memory right after a grow", 57000][0]
    assert ratios["bytes an entry right after a grow", 57000]["median"] == pytest.approx(after, rel=0.01)
    for ratio in ratios.values():
        if ratio["median"] is not None and ratio["bound"] is not None:
            assert ratio["ok"] == (ratio["median"] <= ratio["bound"])


def test_each_bound_has_a_verdict(result: tuple[str, dict[str, Any]]) -> None:
    output, document = result
    bounds = {(r["label"], r["size"]): r["bound"] for r in document["ratios"] if r["bound"] is not None}
    assert bounds["hit / cds_lfht hit", 57000] == 0.25
    assert bounds["miss / hit", 57000] == 0.5
    assert bounds["insert / cds_lfht insert", 57000] == 0.5
    assert bounds["hit beside churn / quiet", 1000] == bounds["hit beside resizes / quiet", 57000] == 1.5
    assert bounds["bytes an entry right after a grow", 57000] == 64
    assert bounds["bytes an entry just before a grow", 57000] == 50
    for label, size in bounds:
        assert re.search(rf"{re.escape(label)} +{size} .*(: ok|: MISSED|not measured: )", output)


def test_memory_is_measured_at_both_ends_of_a_cycle(result: tuple[str, dict[str, Any]]) -> None:
    _, document = result
    (points,) = document["memory_points"]
    assert points["size"] == 57000
    assert points["right_after_a_grow"] < points["just_before_a_grow"]
    figures = {f["what"]: f["median"] for f in document["figures"] if f["who"] == "pybuildid"}
    assert figures["memory just before a grow"] < figures["memory right after a grow"]
    assert figures["memory just before a grow"] >= 32 + 8, "less than a record and a slot: something was not counted"


def test_without_liburcu_the_package_is_named(tmp_path: Path) -> None:
    done = run(build(tmp_path / "bench", []), "--sizes", 1000, "--rounds", 1, "--batch-ms", 0.1)
    assert done.returncode == 0, done.stderr
    assert re.search(r"hit / cds_lfht hit +1000 not measured: .*liburcu-dev", done.stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--sizes", "10"),
        ("--sizes", "x"),
        ("--rounds", "0"),
        ("--rounds", "1e9"),
        ("--batch-ms", "nan"),
        ("--nonsense",),
        ("surplus",),
        ("--serve", "/nonexistent", "--entries", "1"),
    ],
)
def test_wrong_options_end_with_status_2(bench: Path, arguments: tuple[str, ...]) -> None:
    done = run(bench, *arguments)
    assert done.returncode == 2
    assert done.stderr


def test_help(bench: Path) -> None:
    done = run(bench, "--help")
    assert done.returncode == 0
    for option in ("--sizes", "--rounds", "--batch-ms", "--seed", "--json", "--strict"):
        assert option in done.stdout


def test_lookup_many(bench: Path, tmp_path: Path) -> None:
    file = tmp_path / "lookup_many.json"
    script = [sys.executable, str(ROOT / "bench" / "lookup_many.py"), "--bench", str(bench), "--json", str(file)]
    sizes = ["--entries", "2000", "--lookups", "5000", "--rounds", "3"]
    done = subprocess.run([*script, *sizes], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(file.read_text())
    assert len(figures["rounds"]) == 3
    expected = statistics.median(r["python"] / r["many"] for r in figures["rounds"])
    assert figures["ratio"] == pytest.approx(expected)
    assert figures["ok"] == (figures["ratio"] <= figures["bound"] == 1.3)
    assert re.search(r"at most 1\.3: (ok|MISSED)", done.stdout)
