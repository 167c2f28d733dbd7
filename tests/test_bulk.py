# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""lookup_many() and insert_many(): against a loop, with every kind of buffer, and with what they refuse."""

from __future__ import annotations

import mmap
import tracemalloc
from array import array
from typing import Any

import numpy as np
import pytest
from conftest import make_arrays, make_entries
from hypothesis import given
from hypothesis import strategies as st

from pybuildid import NO_BUILD_ID, Table
from pybuildid.errors import ArgumentTypeError, BufferSizeError, IdLengthError, MaxEntriesError

KEYS = st.integers(0, 12) | st.integers(0, 2**64 - 1)


def row(table: Table, key: int) -> tuple[bytes, int]:
    """What lookup_many() should say of one key."""
    found = table.lookup(key)
    length = 0 if found is None else len(found) or NO_BUILD_ID
    return (found or b"").ljust(table.id_size, b"\0"), length


@given(st.dictionaries(KEYS, st.binary(max_size=24), max_size=60), st.lists(KEYS, max_size=60))
def test_lookup_many_is_a_loop(entries: dict[int, bytes], keys: list[int]) -> None:
    with Table(id_size=24) as table:
        table.update(entries)
        ids, lengths = table.lookup_many(array("Q", keys))
        assert [(bytes(ids[24 * i : 24 * i + 24]), lengths[i]) for i in range(len(keys))] == [
            row(table, key) for key in keys
        ]
        assert len(ids) == 24 * len(keys)
        assert len(lengths) == len(keys)


@given(st.lists(st.tuples(KEYS, st.binary(max_size=20)), max_size=60), st.dictionaries(KEYS, st.binary(max_size=20)))
def test_insert_many_is_a_loop(new: list[tuple[int, bytes]], before: dict[int, bytes]) -> None:
    with Table() as table, Table() as expected:
        table.update(before)
        expected.update(before)
        keys = array("Q", [key for key, _ in new])
        ids = b"".join(id.ljust(20, b"\0") for _, id in new)
        inserted = table.insert_many(keys, ids, bytes(len(id) or NO_BUILD_ID for _, id in new))
        assert inserted == sum(expected.insert(key, id) for key, id in new)
        assert table == dict(expected)


def test_round_trip() -> None:
    entries = make_entries(20000)
    keys, ids = make_arrays(entries)
    table = Table()
    assert table.insert_many(keys, ids) == 20000
    assert table.insert_many(keys, ids) == 0
    assert table == entries
    found, lengths = table.lookup_many(keys)
    assert found == ids
    assert lengths == b"\x14" * 20000
    other = Table()
    assert other.insert_many(keys, found, lengths) == 20000
    assert other == table


@pytest.mark.parametrize(
    "make",
    [
        lambda keys: array("Q", keys),
        lambda keys: array("L", keys),
        lambda keys: memoryview(array("Q", keys)),
        lambda keys: memoryview(array("Q", [0, 0, *keys]))[2:],
        lambda keys: memoryview(array("Q", keys).tobytes()).cast("Q"),
        lambda keys: np.array(keys, dtype=np.uint64),
        lambda keys: np.array(keys, dtype="<u8")[:],
    ],
)
def test_keys_in_any_buffer_of_uint64(make: Any) -> None:
    entries = make_entries(100)
    table = Table()
    assert table.insert_many(make(list(entries)), np.frombuffer(b"".join(entries.values()), dtype=np.uint8)) == 100
    assert table == entries
    ids, lengths = table.lookup_many(make([1, *entries]))
    assert ids[20:] == b"".join(entries.values())
    assert lengths[0] == 0


def test_fills_the_buffers_given() -> None:
    entries = make_entries(10)
    table = Table()
    table.update(entries)
    keys, expected = make_arrays(entries)

    rows, numbers = np.full((10, 20), 255, np.uint8), np.zeros(10, np.uint8)
    ids, lengths = table.lookup_many(keys, ids=rows, lengths=numbers)
    assert ids is rows
    assert lengths is numbers
    assert rows.tobytes() == expected

    with mmap.mmap(-1, 4096) as memory:
        assert table.lookup_many(keys, ids=memory, lengths=bytearray(10))[0] is memory
        assert memory[:201] == expected + b"\0"

    larger = bytearray(b"x" * 300), bytearray(b"x" * 30)
    table.lookup_many(keys, ids=larger[0], lengths=larger[1])
    assert larger[0] == expected + b"x" * 100
    assert larger[1] == b"\x14" * 10 + b"x" * 20


def test_allocates_nothing_into_buffers_given() -> None:
    keys, expected = make_arrays(make_entries(50000))
    table = Table()
    table.insert_many(keys, expected)
    ids, lengths = bytearray(20 * 50000), bytearray(50000)
    tracemalloc.start()
    try:
        table.lookup_many(keys, ids=ids, lengths=lengths)
        assert tracemalloc.get_traced_memory()[1] < 20000
        table.lookup_many(keys)
        assert tracemalloc.get_traced_memory()[1] > 1_000_000  # so the measure measures
    finally:
        tracemalloc.stop()
    assert ids == expected


def test_lookup_many_while_a_resize_stands_half_done() -> None:
    """What was replaced or evicted since, in the array to come, is what counts; the old one still has what it was."""
    for seed in range(3):
        table = Table(seed=seed)
        entries: dict[int, bytes] = {}
        while not table.stats().resizing:
            key = len(entries)
            entries[key] = table[key] = b"before"
        updates = 0
        while table.stats().resizing:
            if updates % 2:
                entries[updates] = table[updates] = b"after"
            else:
                del entries[updates], table[updates]
            updates += 1
            assert dict(table.items()) == entries  # by lookup_many()
        assert updates > 20


def test_nothing_to_do() -> None:
    table = Table()
    nothing: Any
    for nothing in (array("Q"), memoryview(b"").cast("Q"), np.array([], np.uint64)):
        assert table.lookup_many(nothing) == (bytearray(), bytearray())
        assert table.insert_many(nothing, b"") == 0


def test_buffers_are_released() -> None:
    keys, ids, lengths = array("Q", [1]), bytearray(20), bytearray(1)
    table = Table()
    table.lookup_many(keys, ids=ids, lengths=lengths)
    with pytest.raises(BufferSizeError):
        table.lookup_many(keys, ids=ids, lengths=bytearray())
    for buffer in (keys, ids, lengths):
        buffer.append(0)  # BufferError if it were still exported


def test_duplicate_keys() -> None:
    table = Table()
    assert table.insert_many(array("Q", [5, 5, 6]), b"a" * 20 + b"b" * 20 + b"c" * 20) == 2
    assert dict(table) == {5: b"a" * 20, 6: b"c" * 20}


def test_stops_at_the_first_error() -> None:
    table = Table()
    with pytest.raises(IdLengthError):
        table.insert_many(array("Q", [1, 2, 3]), bytes(60), bytes([1, 21, 1]))
    assert dict(table) == {1: b"\0"}


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([1, 2], "keys must be an object with the buffer protocol, not list"),
        (7, "not int"),
        (None, "not NoneType"),
        (bytes(8), "such as array"),
        (array("I", [1, 2]), "'I' of 4 bytes"),
        (array("q", [1]), "'q' of 8 bytes"),
        (array("d", [1.0]), "'d' of 8 bytes"),
        (np.array([1, 2], dtype=np.int64), "'l' of 8 bytes"),
        (np.array([1, 2], dtype=">u8"), "'>"),
        (np.array([[1, 2]], dtype=np.uint64), "2-dimensional"),
        (np.array(1, dtype=np.uint64), "0-dimensional"),
        (memoryview(array("Q", [1, 2, 3]))[::2], "keys must be contiguous"),
        (np.array([1, 2, 3], dtype=np.uint64)[::-1], "contiguous"),
    ],
)
def test_refused_keys(keys: Any, message: str) -> None:
    table = Table()
    with pytest.raises(ArgumentTypeError, match=message):
        table.lookup_many(keys)
    with pytest.raises(ArgumentTypeError, match=message):
        table.insert_many(keys, bytes(20))
    assert len(table) == 0


def test_refused_alignment() -> None:
    for offset in (1, 2, 4):
        keys = memoryview(bytearray(16 + offset))[offset:].cast("B").cast("Q")
        with pytest.raises(BufferSizeError, match="aligned to 8 bytes"):
            Table().lookup_many(keys)


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "message"),
    [
        (bytes(40), bytearray(2), ArgumentTypeError, "ids must be a writable buffer"),
        (bytearray(40), bytes(2), ArgumentTypeError, "lengths must be a writable buffer"),
        (array("I", [0] * 10), bytearray(2), ArgumentTypeError, "ids must be a buffer of bytes, not of items of 4"),
        (memoryview(bytearray(80))[::2], bytearray(2), ArgumentTypeError, "ids must be contiguous"),
        ([0] * 40, bytearray(2), ArgumentTypeError, "not list"),
        (bytearray(39), bytearray(2), BufferSizeError, "ids must be a buffer of 40 bytes, not 39"),
        (bytearray(40), bytearray(1), BufferSizeError, "lengths must be a buffer of 2 bytes, not 1"),
        (bytearray(40), None, ArgumentTypeError, "both ids and lengths"),
        (None, bytearray(2), ArgumentTypeError, "both ids and lengths"),
    ],
)
def test_refused_outputs(ids: Any, lengths: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Table().lookup_many(array("Q", [1, 2]), ids=ids, lengths=lengths)


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "message"),
    [
        (bytes(39), None, BufferSizeError, "ids must be a buffer of 40 bytes, not 39"),
        (bytes(41), None, BufferSizeError, "not 41"),
        ("x" * 40, None, ArgumentTypeError, "not str"),
        (bytes(40), bytes(3), BufferSizeError, "lengths must be a buffer of 2 bytes, not 3"),
        (bytes(40), [1, 2], ArgumentTypeError, "not list"),
        (memoryview(bytes(80))[::2], None, ArgumentTypeError, "contiguous"),
    ],
)
def test_refused_inputs(ids: Any, lengths: Any, error: type[Exception], message: str) -> None:
    table = Table()
    with pytest.raises(error, match=message):
        table.insert_many(array("Q", [1, 2]), ids, lengths)
    assert len(table) == 0


def test_buffers_that_overlap() -> None:
    with Table() as table:
        table[1] = bytes(20)
        memory = memoryview(bytearray(3200))
        keys = memory.cast("Q")[:100]
        with pytest.raises(BufferSizeError, match="keys and ids overlap"):
            table.lookup_many(keys, ids=memory, lengths=bytearray(100))
        with pytest.raises(BufferSizeError, match="overlap"):
            table.lookup_many(array("Q", [1]), ids=memory, lengths=memory)
        _, lengths = table.lookup_many(array("Q", [1]), ids=memory[:20], lengths=memory[20:])
        assert lengths[0] == 20


def test_insert_many_says_how_far_it_came() -> None:
    with Table(max_entries=1000) as table:
        keys, ids = make_arrays(make_entries(10_000))
        with pytest.raises(MaxEntriesError) as caught:
            table.insert_many(keys, ids)
        assert caught.value.inserted == len(table) == 1000
