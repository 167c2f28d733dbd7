# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The rivals are right where they answer, and fail in the way that each is known for. Every design is tested alike."""

from __future__ import annotations

import copy
import random
import threading
from array import array
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pybuildid import ClosedError, StaleError, errors
from pybuildid.collisions import chains
from study._measure import ffi, lib
from study.rivals import (
    RIVALS,
    BusyError,
    FixedTable,
    GlobalLockTable,
    NotInMemoryError,
    ReparseTable,
    RivalTable,
    SeqcountTable,
    SpinlockTable,
    TryLockTable,
    find,
)

MAKERS: list[Callable[[], RivalTable]] = [
    *RIVALS,
    lambda: SpinlockTable(buckets=1),
    lambda: TryLockTable(buckets=1),
    lambda: FixedTable(buckets=1),
]
NAMES = [
    *(rival.__name__ for rival in RIVALS),
    "spinlock of one bucket",
    "trylock of one bucket",
    "fixed of one bucket",
]

every_design = pytest.mark.parametrize("make", MAKERS, ids=NAMES)

keys = st.sampled_from([0, 1, 2**64 - 1, *(0xFFFF888100000000 + i * 1128 for i in range(12))])
ids = st.binary(max_size=20)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("insert"), keys, ids, st.integers(0, 2**32 - 1)),
        st.tuples(st.just("replace"), keys, ids, st.integers(0, 2**32 - 1)),
        st.tuples(st.just("evict"), keys, st.none(), st.none()),
        st.tuples(st.just("lookup"), keys, st.none(), st.integers(0, 3)),
    ),
    max_size=60,
)


def do(table: RivalTable, model: dict[int, tuple[bytes, int]], step: tuple[str, int, Any, Any]) -> None:
    """One step on a table and on the model of it: both say the same."""
    what, key, id, generation = step
    there = key in model
    if what == "insert":
        assert table.insert(key, id, generation) == (not there)
        model.setdefault(key, (id, generation))
    elif what == "replace":
        assert table.replace(key, id, generation) == there
        if there:
            model[key] = id, generation
    elif what == "evict":
        assert table.evict(key) == there
        model.pop(key, None)
    elif there and model[key][1] != generation:
        with pytest.raises(StaleError):
            table.lookup(key, generation)
    else:
        assert table.lookup(key, generation) == (model[key][0] if there else None)
    assert table.lookup(key) == (model[key][0] if key in model else None)


@every_design
@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_says_what_a_dictionary_says(make: Callable[[], RivalTable], steps: list[tuple[str, int, Any, Any]]) -> None:
    model: dict[int, tuple[bytes, int]] = {}
    with make() as table:
        for step in steps:
            do(table, model, step)
        assert len(table) == len(model)
        assert dict(table) == {key: id for key, (id, _) in model.items()}


@every_design
def test_thousands_of_entries_come_and_go(make: Callable[[], RivalTable]) -> None:
    """Growing, and removing from the middle of chains and runs."""
    rng = random.Random(1)
    model = {0xFFFF888100000000 + i * 8: rng.randbytes(20) for i in rng.sample(range(100_000), 3000)}
    table = make()
    assert table.insert_many(array("Q", model), b"".join(model.values())) == len(model)
    for key in rng.sample(sorted(model), 2000):
        assert table.pop(key) == model.pop(key)
        assert key not in table
    assert dict(table) == model
    found, lengths = table.lookup_many(array("Q", [*model, 1]))
    assert found[:-20] == b"".join(model.values())
    assert list(lengths) == [20] * len(model) + [0]


@every_design
def test_is_as_strict_as_the_table(make: Callable[[], RivalTable]) -> None:
    table = make()
    for update in (table.insert, table.replace):
        with pytest.raises(errors.IdLengthError):
            update(1, bytes(65))
    with pytest.raises(errors.ArgumentTypeError):
        table.lookup("1")  # type: ignore[arg-type]
    with pytest.raises(errors.ArgumentRangeError):
        table[2**64] = b"1"
    with pytest.raises(KeyError):
        table[1]
    with pytest.raises(TypeError, match="cannot be copied"):
        copy.copy(table)
    table.close()
    table.close()
    for call in (lambda: table.lookup(1), lambda: len(table), lambda: list(table), table.stats):
        with pytest.raises(ClosedError):
            call()


@pytest.mark.parametrize("make", [make for make in MAKERS if make is not ReparseTable])  # its pages are not for writers
def test_readers_beside_updaters_see_whole_ids(make: Callable[[], RivalTable]) -> None:
    """An ID is one byte 20 times: a torn one has two."""
    table = make()
    stop = threading.Event()
    bad: list[object] = []
    answered = 0

    def read() -> None:
        nonlocal answered
        while not stop.is_set():
            for key in range(16):
                try:
                    found = table.lookup(key)
                except BusyError:
                    continue
                answered += found is not None
                if found is not None and (len(found) != 20 or len(set(found)) != 1):
                    bad.append(found)

    def update(first: int) -> None:
        for turn in range(600):
            for key in range(first, 16, 2):
                table.insert(key, bytes([turn % 256]) * 20)
                table.replace(key, bytes([(turn + 1) % 256]) * 20)
                if turn % 3 == 0:
                    table.evict(key)

    reader = threading.Thread(target=read)
    updaters = [threading.Thread(target=update, args=[first]) for first in range(2)]
    for thread in (reader, *updaters):
        thread.start()
    for thread in updaters:
        thread.join()
    stop.set()
    reader.join()
    assert not bad
    assert answered


# ------------------------------------------------------------------------- what each of them is known for


def cost(table: RivalTable, key: int) -> Any:
    cost, found = ffi.new("struct bid_probe_cost *"), ffi.new("struct bid_build_id *")
    functions = find(table.design)
    assert functions.lookup(table._table, key, found, cost) == lib.BID_OK
    return cost


def test_a_chain_is_as_long_as_the_buckets_are_few() -> None:
    small, large = FixedTable(buckets=1), FixedTable(buckets=4096)
    for table in (small, large):
        for key in range(500):
            table[key * 64] = b"x"
    assert max(cost(small, key * 64).records for key in range(500)) == 500
    assert max(cost(large, key * 64).records for key in range(500)) < 8


@pytest.mark.parametrize(
    ("hash", "shift"), [("middle-bits", 10), ("middle-bits", 0), ("xor-fold", None), ("fibonacci", None)]
)
def test_fixed_buckets_with_a_hash_of_choice(hash: Any, shift: int | None) -> None:
    """Their chains are those that `pybuildid collisions` counts."""
    keys = array("Q", (0xFFFF888100000000 + 1128 * number for number in range(2000)))
    table = FixedTable(512, hash if shift is None else f"{hash}:{shift}")
    for key in keys:
        table[key] = b"x"
    assert max(cost(table, key).records for key in keys) == chains(keys, 512, hash, shift).probes.longest
    assert all(table[key] == b"x" for key in keys)
    assert sum(table.evict(key) for key in keys) == 2000


@pytest.mark.parametrize("hash", ["mix", "middle-bits", "middle-bits:64", "middle-bits:x", "fibonacci:3", ""])
def test_other_hashes_are_refused(hash: str) -> None:
    with pytest.raises(ValueError, match=r"hash must be middle-bits:SHIFT"):
        FixedTable(hash=hash)


def test_fixed_buckets_take_long_ids_too() -> None:
    for make in (SpinlockTable, TryLockTable, FixedTable):
        table = make()
        table[1] = bytes(range(20))
        table[1] = bytes(range(64))
        assert table[1] == bytes(range(64))


def test_the_growing_ones_grow() -> None:
    for make in (GlobalLockTable, SeqcountTable):
        table = make()
        for key in range(10_000):
            table[key] = b"x"
        assert table.stats().resizes == 8  # from 64 slots, by doubling, three quarters full
        assert max(cost(table, key).slots for key in range(10_000)) < 200


def test_trylock_loses_lookups_and_counts_them() -> None:
    """One bucket, so that every lookup and update is in each other's way."""
    table = TryLockTable(buckets=1)
    for key in range(2000):
        table[key] = b"x"
    lost = 0
    stop = threading.Event()

    def update() -> None:
        while not stop.is_set():
            table[1999] = b"y"

    updater = threading.Thread(target=update)
    updater.start()
    for _ in range(200_000):
        try:
            table.lookup(0)
        except BusyError:
            lost += 1
            if lost == 3:
                break
    stop.set()
    updater.join()
    assert lost == table.stats().busy == 3


def test_reparsing_fails_when_the_page_is_not_in_memory() -> None:
    table = ReparseTable()
    table[1], table[2] = b"\x12" * 20, b""
    assert table[1] == b"\x12" * 20
    assert table[2] == b""
    assert table.page_out(1)
    assert not table.page_out(1)
    with pytest.raises(NotInMemoryError):
        table.lookup(1)
    assert table[2] == b""


def test_find_names_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="'nonsense'"):
        find("nonsense")
