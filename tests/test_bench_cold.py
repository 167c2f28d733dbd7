# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Cold hits: the pages that a lookup reads are found out, and nothing of them is in a cache."""

from __future__ import annotations

import os
import platform
import subprocess
from array import array
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from study._measure import ffi, lib
from study.bench import keys as keying
from study.bench.cold import LOAD, Cold
from study.bench.contenders import PEERS, choose, load
from study.bench.run import pinned
from study.bench.subject import BenchError, Subject

ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="cold hits are measured on x86-64 alone")

#: A design whose lookup follows a chain of so many pages, each a mapping away from the next; and never reads one more.
CHAIN = """
#define _GNU_SOURCE
#include "loops.h"
#include <sys/mman.h>
static char *page[{pages} + 1];
static void *create(uint64_t entries, uint64_t seed)
{{
    (void)entries, (void)seed;
    for (int i = {pages}; i >= 0; i--) {{
        page[i] = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        page[i] += 4096;
        *(char **)page[i] = i < {pages} ? page[i + 1] : NULL;
    }}
    return page[0];
}}
static void destroy(void *design) {{ (void)design; }}
static int lookup(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost)
{{
    char *at = design;
    (void)key, (void)cost;
    for (int i = 1; i < {pages}; i++)
        at = *(char **)at;
    memcpy(id->bytes, at, 8);
    return BID_OK;
}}
extern const struct bid_design bid_design_peer;
const struct bid_design bid_design_peer = {{.name = "chain", .summary = "", .create = create, .destroy = destroy,
                                           .lookup = lookup}};
"""


def addresses(n: int) -> array[int]:
    return keying.mix(keying.find("slabs", n, 1), n, 1)


def chain(tmp_path: Path, pages: int) -> tuple[Any, Any]:
    """Its functions and its table."""
    source, library = tmp_path / f"chain{pages}.c", tmp_path / f"chain{pages}.so"
    source.write_text(CHAIN.format(pages=pages))
    folders = [f"-I{ROOT / folder}" for folder in ("csrc/include", "study/rivals")]
    command = [os.environ.get("CC", "cc"), "-O1", "-fPIC", "-shared", *folders, "-o", str(library), str(source)]
    subprocess.run(command, check=True)
    functions = load(library)
    return functions, functions.create(0, 0)


def lookups(functions: Any, table: Any, count: int = 4) -> tuple[Any, tuple[Any, ...]]:
    keys, pages = ffi.new("uint64_t[]", list(range(1, count + 1))), ffi.new("struct cold_pages[]", count)
    one = ffi.new("struct cold_lookups *", {"design": functions, "table": table, "keys": keys, "n": count})
    one.pages = pages
    return one, (keys, pages)


@pytest.mark.parametrize("pages", [1, 9])
def test_all_pages_that_a_lookup_reads_are_found_and_no_others(tmp_path: Path, pages: int) -> None:
    functions, table = chain(tmp_path, pages)
    expected, at = [], table
    for _ in range(pages + 1):
        expected.append(int(ffi.cast("uintptr_t", at)))
        at = ffi.cast("void **", at)[0]
    one, _kept = lookups(functions, table)
    assert lib.cold_trace(one, 1) == lib.TIMING_OK
    for found in one.pages[0:4]:
        touched = list(found.page)[: found.count]
        own = [page for page in touched if page in expected]
        assert own == expected[:-1], "in the order of the chain, and without the one that it does not read"
        assert 1 <= found.count - pages <= 4, "and what every lookup reads of the thread and of the library"


def test_a_design_whose_lookups_read_too_many_pages_has_no_cold_hits() -> None:
    """Long chains, each entry from malloc(): over 500 pages in all, also where the entries lie close together."""
    mixed = addresses(32_000)
    keys = keying.make(mixed, 1)
    subjects = [Subject(one, mixed, keys, 1) for one in choose(["fixed:8"])[0]]
    floor = lib.timing_array_create(1 << 20, 1, 1)
    cold = Cold(subjects, floor, 0)
    assert cold.warm == ["fixed:8"]
    assert set(cold.measure()) == {"ours", LOAD}
    lib.timing_array_destroy(floor)


def test_a_cold_lookup_waits_for_each_page_in_turn(tmp_path: Path) -> None:
    """Eight lines, one after the other, are at least three times as slow as one; without a flush both are quick."""
    ns = ffi.new("double[]", 4)
    found = {}
    for pages in (1, 8):
        functions, table = chain(tmp_path, pages)
        one, _kept = lookups(functions, table)
        assert lib.cold_trace(one, 1) == lib.TIMING_OK
        samples: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(40):
            for flushed in samples:
                one.pages = _kept[1] if flushed else ffi.NULL
                assert lib.cold_hits(one, 0, 4, ns) == lib.TIMING_OK
                samples[flushed] += list(ns)
        found[pages] = {flushed: median(values) for flushed, values in samples.items()}
    assert found[8][True] > 3 * found[1][True]
    assert found[8][True] > 4 * found[8][False], "it is the flush"


def test_everyone_is_measured_and_every_answer_is_checked() -> None:
    contenders, _ = choose(["fixed", "rwlock", "seqcount", "inode", "reparse", *(peer.name for peer in PEERS)])
    mixed = addresses(300)
    keys = keying.make(mixed, 1)
    subjects = [Subject(one, mixed, keys, 1) for one in contenders]
    floor = lib.timing_array_create(1 << 20, 1, 1)
    with pinned(min(os.sched_getaffinity(0))):
        found = Cold(subjects, floor, 0).measure()
        assert set(found) == {LOAD, *(one.name for one in contenders)}
        assert min(found.values()) > 0
        subjects[1].functions.remove(subjects[1].table, subjects[1].keys.cycle[17])
        with pytest.raises(BenchError, match="fixed: a wrong answer"):
            Cold(subjects, floor, 0).measure()
    lib.timing_array_destroy(floor)
    for subject in subjects:
        subject.settle()
        subject.close()


def test_each_round_has_other_keys() -> None:
    mixed = addresses(2000)
    keys = keying.make(mixed, 1)
    subject = Subject(choose([])[0][0], mixed, keys, 1)
    floor = lib.timing_array_create(1 << 20, 1, 1)
    first, second = (Cold([subject], floor, number) for number in (0, 1))
    assert first.keys(0).isdisjoint(second.keys(0))
    lib.timing_array_destroy(floor)
