# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""``python -m study bench``: everything is measured and adds up, who lies or blocks is caught, no time is judged."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from click.testing import CliRunner

from pybuildid.cli._machine import this as this_machine
from study import bench
from study.__main__ import main
from study._measure import ffi, lib
from study.bench import keys as keying
from study.bench.ahead import ahead
from study.bench.budget import rounds, share
from study.bench.contenders import Contender, choose, load
from study.bench.many import Many
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    COLD,
    CYCLE_MEAN,
    LOADED,
    LOADED_HIT,
    MANY_C,
    MANY_LFHT,
    MANY_LOOP,
    MANY_PYTHON,
    WAITS,
    WHILE_GROWING,
    Figure,
    Interruption,
    Lead,
    Worst,
    document,
)
from study.bench.run import _footprint, pinned
from study.bench.subject import BenchError, Subject
from study.report import read, render

ROOT = Path(__file__).resolve().parent.parent
ADDRESSES = ROOT / "tests" / "data" / "inode-addresses.txt"
NAMES = ("ours", "spinlock", "trylock", "fixed:/16", "inode")
SIZES = (100, 3000)

LIAR = """
#include <stddef.h>
extern const struct bid_design bid_design_peer;
static int one; /* the table: there is no memory in it */
static int flip, lies = {lies};
static void *create(uint64_t entries, uint64_t seed) {{ (void)entries, (void)seed; return &one; }}
static void destroy(void *design) {{ (void)design; }}
static int change(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{{ (void)design, (void)key, (void)generation, (void)id, (void)length; return BID_OK; }}
static int gone(void *design, uint64_t key) {{ (void)design, (void)key; return BID_OK; }}
static int lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{{
    uint64_t words[3] = {{key, ~key, key * 3}};
    (void)design;
    if (cost) *cost = (struct bid_probe_cost){{1, 1}};
    memcpy(id->bytes, words, 20);
    id->length = 20;
    id->bytes[19] ^= lies && ++flip % 100 == 0;
    return BID_OK;
}}
RIVAL_LOOPS(unused)
"""


def addresses(n: int) -> array[int]:
    return keying.mix(keying.find("slabs", n, 1), n, 1)


def peer_of(source: str, tmp_path: Path, name: str) -> Contender:
    """A design that the test brings itself."""
    file, library = tmp_path / f"{name}.c", tmp_path / f"{name}.so"
    head = '#include "loops.h"\n' + source.replace("RIVAL_LOOPS(unused)", "")
    loops = "#define liar_lookup lookup\nRIVAL_LOOPS(liar)\n"
    table = (
        f'const struct bid_design bid_design_peer = {{.name = "{name}", .summary = "", .create = create, '
        ".destroy = destroy, .lookup = lookup, .insert = change, .remove = gone, .hits = liar_hits, "
        ".chain = liar_chain};\n"
    )
    file.write_text(head + loops + table)
    folders = [f"-I{ROOT / folder}" for folder in ("csrc/include", "study/rivals")]
    command = [os.environ.get("CC", "cc"), "-O1", "-fPIC", "-shared", *folders, "-o", str(library), str(file)]
    subprocess.run(command, check=True)
    return replace(choose([])[0][0], name=name, functions=load(library))


def interrupted(contender: Contender, seconds: float) -> Any:
    keys, result = addresses(256), ffi.new("struct interrupt_result *")
    arguments = contender.expected(256), keying.buffer(keys), len(keys), seconds, result
    assert lib.interrupt_run(contender.functions, *arguments) == lib.INTERRUPT_OK
    return result


def test_a_wrong_answer_is_caught(tmp_path: Path) -> None:
    liar, honest = (peer_of(LIAR.format(lies=lies), tmp_path, f"liar{lies}") for lies in (1, 0))
    assert interrupted(honest, 0.2).wrong == 0
    assert interrupted(honest, 0.2).answered > 0
    assert interrupted(liar, 0.5).wrong > 0
    mixed = addresses(1000)
    with pytest.raises(BenchError, match="liar1: a wrong answer"):
        Subject(liar, mixed, keying.make(mixed, 1), 1)


@pytest.mark.parametrize("name", ["ours", "spinlock", "fixed", "rwlock", "seqcount", "inode"])
def test_answers_beside_churn_are_right(name: str) -> None:
    """The partner's updates move entries of open addressing, links of chains, and grow ours: every sum is checked."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a second processor")
    contender = choose([name])[0][-1]
    mixed = addresses(700)
    subject = Subject(contender, mixed, keying.make(mixed, 1), 1)
    first, second = sorted(os.sched_getaffinity(0))[:2]
    with pinned(first):
        assert subject.beside_churn(200_000_000, second).ns > 0


def test_hits_beside_resizes_are_right_and_the_table_was_resized() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a second processor")
    mixed = addresses(700)
    ours, fixed = (Subject(one, mixed, keying.make(mixed, 1), 1) for one in choose(["fixed"])[0])
    first, second = sorted(os.sched_getaffinity(0))[:2]
    before = ours.functions.resizes(ours.table)
    with pinned(first):
        assert ours.beside_resizes(1_000_000, second).ns > 0
    assert ours.functions.resizes(ours.table) >= before + 2, "there and back"
    with pytest.raises(BenchError, match="fixed cannot be told to resize"):
        fixed.beside_resizes(1_000_000, second)


def test_a_wrong_answer_from_python_is_caught() -> None:
    mixed = addresses(100)
    subject = Subject(choose([])[0][0], mixed, keying.make(mixed, 1), 1)
    many = Many(subject, 1)
    assert [what for what, _, _ in many.turn()] == [MANY_C, MANY_LOOP, MANY_PYTHON]
    many.table[many.drawn[0]] = bytes(20)
    with pytest.raises(BenchError, match="disagree"):
        list(many.turn())
    subject.functions.remove(subject.table, many.drawn[0])
    with pytest.raises(BenchError, match="ours: a wrong answer"):
        list(many.turn())
    many.close()


def test_a_loop_of_liburcu_into_the_same_arrays() -> None:
    """In the turn of bid_lookup_many(), of which it is the measure."""
    (ours, *lfht), missing = choose(["cds_lfht"])
    if missing:
        pytest.skip("apt-get install liburcu-dev")
    mixed = addresses(100)
    keys = keying.make(mixed, 1)
    subject, other = (Subject(one, mixed, keys, 1) for one in (ours, *lfht))
    many = Many(subject, 1, [other])
    assert [(what, who.contender.name) for what, who, _ in many.turn()][2] == (MANY_LFHT, "cds_lfht")
    other.functions.remove(other.table, many.drawn[0])
    with pytest.raises(BenchError, match="cds_lfht: a wrong answer"):
        list(many.turn())
    many.close()
    other.settle()
    other.close()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64's instructions; run this on x86-64")
def test_lines_are_counted_if_objdump_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    few = bench.Options(names=[], sizes=[100], seconds=1)
    (counted,) = [one for one in bench.run(few).ratios if one.label == WAITS]
    assert counted.median == 2
    monkeypatch.setenv("OBJDUMP", "/nowhere/objdump")
    result = bench.run(few)
    (counted,) = [one for one in result.ratios if one.label == WAITS]
    assert counted.median is None
    assert [(one.name, one.package) for one in result.missing if one.name == WAITS] == [(WAITS, "gcc binutils")]


#: A design of which one lookup in 16,000 takes a long time, as beside an updater that holds a lock.
SLOW_AT_TIMES = """
#include <stddef.h>
#include <time.h>
extern const struct bid_design bid_design_peer;
static int one, number;
static void *create(uint64_t entries, uint64_t seed) { (void)entries, (void)seed; return &one; }
static void destroy(void *design) { (void)design; }
static int change(void *design, uint64_t key, uint32_t generation, const void *id, size_t length)
{ (void)design, (void)key, (void)generation, (void)id, (void)length; return BID_OK; }
static int gone(void *design, uint64_t key) { (void)design, (void)key; return BID_OK; }
static int lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{
    (void)design, (void)cost;
    memcpy(id->bytes, &key, 8);
    if (++number % 16000 == 0)
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    return BID_OK;
}
RIVAL_LOOPS(unused)
"""


def test_nothing_is_left_out_in_company(tmp_path: Path) -> None:
    """Alone a slow chunk was interrupted by something else; beside an updater it may be the design that waits."""
    contender = peer_of(SLOW_AT_TIMES, tmp_path, "slow")
    keys, timing, company = (
        keying.make(addresses(100), 1),
        ffi.new("struct timing *"),
        ffi.new("struct timing_company *"),
    )
    draws = ffi.new("struct timing_draws *", [keys.hits.keys, ffi.NULL, keys.hits.n])
    company.threads = 1
    assert lib.timing_hits(contender.functions, ffi.NULL, draws, 50_000_000, company, timing) == lib.TIMING_OK
    assert timing.left_out == 0
    assert timing.ns > 3_000_000 / 16_000, "those lookups alone take so long, on average"
    assert lib.timing_hits(contender.functions, ffi.NULL, draws, 50_000_000, ffi.NULL, timing) == lib.TIMING_OK
    assert timing.left_out > 0


def test_threads_have_draws_of_their_own() -> None:
    keys = keying.make(addresses(3000), 1, 3)
    drawn = [bytes(ffi.buffer(one.keys, 8 * 1024)) for one in (keys.hits, *keys.others)]
    assert len(set(drawn)) == len(drawn) == 3


def test_busy_answers_are_told(result: bench.Result) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs a second processor")
    name = f"hit, {result.threads} threads at once"
    found, sure = (result.find(name, who, 3000) for who in ("trylock", "spinlock"))
    assert found
    assert found.busy is not None
    assert 0 <= found.busy < 1
    assert sure
    assert sure.busy is None
    written = document(result, "python -m study bench")
    assert [one["busy"] for one in written["figures"] if (one["what"], one["who"]) == (name, "trylock")][
        1
    ] == found.busy


def test_a_chain_that_breaks_is_caught() -> None:
    mixed = addresses(500)
    keys = keying.make(mixed, 1)
    subject = Subject(choose(["fixed"])[0][1], mixed, keys, 1)
    subject.functions.remove(subject.table, keys.cycle[250])
    with pytest.raises(BenchError, match="fixed: a wrong answer"):
        subject.dependent_hit(1000)


def test_a_lock_blocks_the_lookup_that_interrupts_its_holder() -> None:
    found, _ = choose(["spinlock:1", "trylock:1"])
    ours, spinlock, trylock = (interrupted(one, 1.0) for one in found)
    assert spinlock.blocked == 1
    assert (ours.blocked, ours.busy, ours.wrong, trylock.blocked, trylock.wrong) == (0, 0, 0, 0, 0)
    assert trylock.busy > 0
    assert ours.in_update > 0


@pytest.mark.skipif(platform.machine() != "x86_64", reason="counts instructions by the trap flag of x86-64")
def test_instructions_grow_with_the_chain() -> None:
    found, _ = choose(["fixed:1", "fixed:4096"])
    mixed = addresses(200)
    keys = keying.make(mixed, 1)
    counts = [
        subject.instructions([subject.cost().worst]) for subject in (Subject(one, mixed, keys, 1) for one in found)
    ]
    assert 20 < counts[0] < 2000
    assert counts[1] > counts[2] + 150 * 3, "200 entries are followed in at least three instructions each"


def test_memory_of_a_field_is_eight_bytes_and_the_id() -> None:
    found, _ = choose(["inode", "reparse", "spinlock"])
    mixed = addresses(20_000)
    _, inode, reparse, spinlock = ([each / 20_000 for each in _footprint(one, 20_000, mixed, 20_000)] for one in found)
    assert inode == [pytest.approx(8 + 48, rel=0.05)] * 2
    assert reparse[1] < 1
    assert spinlock == [pytest.approx(64 + 16 * 32768 / 20_000, rel=0.05)] * 2


# ---------------------------------------------------------------------------------------------- a run


def test_rounds_end_in_time_and_there_is_one_at_least() -> None:
    """Each takes three seconds."""

    def clock(times: Iterator[float]) -> Callable[[], float]:
        return lambda: next(times)

    def taken(most: int, until: float) -> int:
        return len(list(rounds(most, until, clock(iter(range(100, 200, 3))))))

    assert [taken(9, until) for until in (0, 100, 105, 106, 115, 1000)] == [1, 1, 1, 2, 5, 9]


def test_larger_sizes_get_more_time_and_all_is_given_out() -> None:
    sizes = [1000, 57_000, 1_000_000]
    left, shares = 100.0, []
    for number, size in enumerate(sizes):
        shares.append(share(left, size, sizes[number:]))
        left -= shares[-1]
    assert shares == sorted(shares)
    assert left == pytest.approx(0)
    assert share(-5, 1000, sizes) == 0


def test_a_time_that_is_too_short_is_said() -> None:
    result = bench.run(bench.Options(["fixed"], [100], threads=1000, seconds=0.1))
    assert any("instead of 0: one round" in note for note in result.notes)
    assert any("instead of 1000" in note for note in result.notes)
    figure = result.find("hit", "fixed", 100)
    assert figure
    assert len(figure.samples) == 1


@pytest.fixture(scope="module")
def result() -> bench.Result:
    return bench.run(bench.Options(NAMES, SIZES, seconds=25, rounds=2))


def test_everyone_is_in_every_figure(result: bench.Result) -> None:
    whats = ["hit", "dependent hit", COLD, "miss", "insert", "remove", "churn", "bytes an entry, resident"]
    if len(os.sched_getaffinity(0)) > 1:
        whats += [f"hit, {result.threads} threads at once", "hit before churn", "hit beside churn"]
        assert all(result.find("lookup while it grows, worst", who, 3000) for who in NAMES)
    for what in whats:
        for who in NAMES:
            for size in SIZES:
                figure = result.find(what, who, size)
                assert figure, (what, who, size)
                assert min(figure.samples) > 0
                assert len(figure.samples) == (1 if what.startswith("bytes") else 2)
    assert {one.who for one in result.interruptions} == set(NAMES)
    assert len([one for one in result.worst if one.who == "inode"]) == len(SIZES) + 1


def test_figures_of_ours_alone(result: bench.Result) -> None:
    for what in (MANY_PYTHON, MANY_C, MANY_LOOP):
        figure = result.find(what, "ours", 3000)
        assert figure
        assert len(figure.samples) == 2
    assert not result.find(AFTER_GROW, "ours", 3000), "below 57,000 most of it is what a process pays once"
    labels = {(one.label, one.size) for one in result.ratios}
    assert (f"{MANY_PYTHON} / {MANY_C}", 3000) in labels
    assert (f"{MANY_PYTHON} / {MANY_C}", 100) not in labels, "at the largest size alone"
    for company in ("churn", "resizes"):
        assert (f"hit beside {company} / the quiet one", 100) in labels
        measured = result.find(f"hit beside {company}", "ours", 3000)
        assert (measured is not None) == (len(os.sched_getaffinity(0)) > 1)


def test_the_cycle_of_growth() -> None:
    """Both ends are measured, and what is judged is bytes."""
    result = bench.run(bench.Options(["fixed"], [57_000], seconds=1, rounds=1))
    whats = (BEFORE_GROW, CYCLE_MEAN, AFTER_GROW, WHILE_GROWING)
    before, mean, after, growing = (found.median for what in whats if (found := result.find(what, "ours", 57_000)))
    assert 32 + 8 <= before < mean < after, "a record and a slot are 40 bytes"
    assert growing > before + 8, "with the next array, of slots alone at least"
    bounds = {one.label: (one.median, one.bound, one.unit) for one in result.ratios}
    assert bounds[AFTER_GROW] == (after, 70, "bytes")
    assert bounds[CYCLE_MEAN] == (mean, 58, "bytes")
    assert bounds[BEFORE_GROW] == (before, 52, "bytes")
    assert any("the cycle of growth around 57,000 entries goes from" in note for note in result.notes)


def test_no_size_has_its_memory_from_the_tables_of_another() -> None:
    """Pins stay with a process, 90 KB: their share is in each row, or one size would be measured without it."""
    result = bench.run(bench.Options(["fixed"], [100, 200], seconds=0.1, rounds=1))
    for who in ("ours", "fixed"):
        small, large = (result.find("bytes an entry, resident", who, size) for size in (100, 200))
        assert small
        assert large
        assert large.median * 200 > 0.9 * small.median * 100


def test_memory_is_the_same_where_malloc_asks_for_huge_pages() -> None:
    code = (
        "import sys, study.bench; run = sys.modules['study.bench.run']; "
        "from study.bench.contenders import choose; from study.bench.keys import find; n = 20_000; "
        "print([run._footprint(one, n, find('slabs', n, 1).keys, n)[0] for one in choose(['seqcount', 'file'])[0]])"
    )
    plain, huge = (
        json.loads(subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True).stdout)
        for env in ({**os.environ}, {**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"})
    )
    assert huge == pytest.approx(plain, rel=0.03)


def test_ratios_are_those_of_the_samples(result: bench.Result) -> None:
    own, other = (result.find("remove", who, 3000) for who in ("ours", "fixed:/16"))
    assert own
    assert other
    found = next(one.ratios for one in result.versus if (one.who, one.size) == ("fixed:/16", 3000))
    assert found["remove"] == pytest.approx(median(a / b for a, b in zip(own.samples, other.samples)))
    assert set(found) == {"hit", "dependent hit", COLD, "miss", "insert", "remove", "churn"}
    lfht = next(one for one in result.ratios if one.label == "hit / that of cds_lfht")
    assert (lfht.median, lfht.ok, lfht.reason) == (None, None, "cds_lfht is not among those measured")


def test_who_is_ahead_is_told_with_the_reason_and_the_price() -> None:
    contenders, _ = choose(["spinlock"])
    figures = [
        Figure(what, who, 57_000, samples)
        for what, who, samples in (
            ("hit", "ours", (20.0, 40.0)),
            ("hit", "spinlock", (10.0, 20.0)),
            ("insert", "ours", (100.0,)),
            ("insert", "spinlock", (100.0,)),
        )
    ]
    interruptions = [Interruption("spinlock", 7, 6, 10, 0, 0, 1, 9, 0)]
    (found,) = ahead(figures, contenders, interruptions, [57_000])
    assert (found.who, found.leads) == ("spinlock", (Lead("hit", 57_000, 2.0),))
    assert found.why == ("lookups: a lock is all that its readers need, and they wait for it",)
    assert found.price == "Its lookup was blocked for good, at interruption 7 of the updater."


def test_glibc_may_be_ahead() -> None:
    figures = [Figure(LOADED_HIT, who, 49, (ns,)) for who, ns in (("ours", 30.0), (LOADED, 10.0))]
    (found,) = ahead(figures, choose([])[0], [], [57_000])
    assert found.leads == (Lead(LOADED_HIT, 49, 3.0),)


def test_the_document_is_what_the_report_reads(result: bench.Result, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(document(result, "python -m study bench")))
    page = render(read({"bench": file}))
    assert "Who is ahead, and why" in page
    assert "Ours beside the others" in page
    assert f"{result.interruptions[1].interruptions:,}" in page
    figures = json.loads(file.read_text())["figures"]
    assert all(one["min"] <= one["median"] <= one["max"] for one in figures)


def test_the_command(tmp_path: Path) -> None:
    options = ["--rival", "seqcount", "--size", "200", "--seconds", "5", "--rounds", "1", "--keys", str(ADDRESSES)]
    files = ["--json", str(tmp_path / "x.json"), "--chart", str(tmp_path / "x.svg")]
    done = CliRunner().invoke(main, ["bench", *options, *files])
    assert done.exit_code == 0, done.output
    for text in ("seqcount", "dependent hit", "instructions", "blocked", "not among those measured", "1,250 addresses"):
        assert text in done.output, text
    assert json.loads((tmp_path / "x.json").read_text())["interruptions"][1]["blocked"] == 1
    assert "seqcount" in (tmp_path / "x.svg").read_text()


def test_names_are_no_markup_and_json_is_written_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of a file of keys goes through all of it."""
    keys = "7 addresses from [/a] :+1: \x1b[2J"
    nothing: Any = dict.fromkeys((field.name for field in fields(bench.Result)), ())
    numbers = {"seed": 1, "rounds": 1, "seconds": 1.0, "took": 1.0, "threads": 1, "left_out": 0.0}
    machine = replace(this_machine(), processor="[/b] processor")
    found = {"keys": keys, "notes": (f"keys: {keys}",), "worst": (Worst("ours", 7, keys, 1, 2, None, None),)}
    made = bench.Result(**{**nothing, **numbers, **found, "machine": machine})
    monkeypatch.setattr("study.bench.command.measure", lambda options, report: made)
    done = CliRunner().invoke(main, ["bench", "--json", str(tmp_path / "x.json")])
    assert done.exit_code == 0, done.output
    assert done.output.count("[/a] :+1:") == 3
    assert "keys: 7 addresses from [/a] :+1: \\x1b[2J;" in done.output
    assert "\x1b" not in done.output
    assert "[/b] processor, " in done.output

    def fail(out: object, result: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("study.bench.command.show", fail)
    assert CliRunner().invoke(main, ["bench", "--json", str(tmp_path / "y.json")]).exit_code == 1
    assert (tmp_path / "y.json").read_text() == (tmp_path / "x.json").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rival", "nonsense"], "there is no design"),
        (["--keys", "nonsense", "--rival", "fixed"], "keys are slabs, machine"),
        (["--size", "10"], "--size"),
        (["--chart", "x.bmp"], ".svg"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["bench", *arguments])
    assert done.exit_code == 2
    assert message in done.output


@pytest.mark.parametrize("option", ["--seconds", "--patience"])
def test_what_is_not_a_number(option: str) -> None:
    assert CliRunner().invoke(main, ["bench", option, "nan"]).exit_code == 2
