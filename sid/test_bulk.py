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

from pybuildid import NO_BUILD_ID, STALE, Table
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError, BufferSizeError, IdLengthError, MaxEntriesError

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


class Series:
    """What pandas' has of NumPy."""

    def __init__(self, items: Any) -> None:
        self.items = items

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.items


@pytest.mark.parametrize(
    "make",
    [
        lambda keys: keys,
        lambda keys: dict.fromkeys(keys),
        lambda keys: map(np.uint64, keys),
        lambda keys: array("Q", keys),
        lambda keys: array("L", keys),
        lambda keys: memoryview(array("Q", [x for key in keys for x in (key, 0)]))[::2],
        lambda keys: memoryview(array("Q", [0, 0, *keys]))[2:],
        lambda keys: memoryview(b"x" + array("Q", keys).tobytes())[1:].cast("Q"),
        lambda keys: np.array(keys, dtype=np.uint64),
        lambda keys: np.array(keys, dtype=">u8"),
        lambda keys: np.array(keys, dtype=np.uint64)[::-1][::-1],
        lambda keys: np.array([keys, keys], dtype=np.uint64).T[:, 0],
        lambda keys: np.array(keys, dtype=object),
        lambda keys: Series(np.array(keys, dtype=np.uint64)),
    ],
)
def test_keys_of_any_kind(make: Any) -> None:
    entries = make_entries(100)
    table = Table()
    assert table.insert_many(make(list(entries)), np.frombuffer(b"".join(entries.values()), dtype=np.uint8)) == 100
    assert table == entries
    ids, lengths = table.lookup_many(make([1, *entries]))
    assert bytes(ids)[20:] == b"".join(entries.values())
    assert lengths[0] == 0
    assert table.evict_many(make([1, *entries])) == 100
    assert not table


@pytest.mark.parametrize("kind", ["b", "h", "i", "l", "I", "Q"])
def test_small_integers_of_any_type(kind: str) -> None:
    for keys in (array(kind, [1, 2]), np.array([1, 2], kind)):
        table = Table(zip(keys, [b"a", b"b"]))
        assert bytes(table.lookup_many(keys)[1]) == b"\1\1"
        assert dict(table) == {1: b"a", 2: b"b"}


@pytest.mark.parametrize(
    "make",
    [
        lambda ids: ids,
        lambda ids: tuple(map(bytearray, ids)),
        b"".join,
        lambda ids: np.array(ids, "S20"),
        lambda ids: np.frombuffer(b"".join(ids), "V20"),
        lambda ids: np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 20),
        lambda ids: np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 4, 5).reshape(-1),
        lambda ids: np.frombuffer(b"".join(ids), np.uint8).reshape(-1, 20)[::-1][::-1],
        lambda ids: memoryview(b"".join(id + id for id in ids)).cast("B", [len(ids), 40]).tobytes()[: 20 * len(ids)],
        lambda ids: memoryview(b"".join(x for id in ids for x in (id[i : i + 1] * 2 for i in range(20))))[::2],
        lambda ids: np.array(ids, dtype=object),
    ],
)
def test_ids_of_any_kind(make: Any) -> None:
    entries = dict.fromkeys(range(5), bytes(range(15)) + bytes(5))  # with zeros at their end, which are theirs
    table = Table()
    assert table.insert_many(list(entries), make(list(entries.values()))) == 5
    assert table == entries


def test_rows_of_another_width() -> None:
    table = Table()
    assert table.insert_many([1, 2], np.array([b"12345678", b"abcdefgh"])) == 2  # S8
    assert table.insert_many([3, 4], np.full((2, 64), 7, np.uint8), [3, NO_BUILD_ID]) == 2
    assert dict(table) == {1: b"12345678", 2: b"abcdefgh", 3: b"\7\7\7", 4: b""}


def test_arrays_in_arrays_out() -> None:
    table = Table(make_entries(10))
    keys = np.array([*table, 1], np.uint64)
    asked: Any
    for asked in (keys, Series(keys), keys[:0]):
        ids, lengths = table.lookup_many(asked)
        assert isinstance(ids, np.ndarray)
        assert isinstance(lengths, np.ndarray)
        assert (ids.shape, lengths.shape) == ((len(lengths), 20), (len(lengths),))
        assert [row.tobytes() for row in ids[:10]] == [table[int(key)] for key in keys[: len(ids)] if key != 1]


def test_generations_in_bulk() -> None:
    table = Table()
    assert table.insert_many([1, 2, 3], [b"a", b"", b"c"], generations=[7, 8, 2**32 - 1]) == 3
    assert table.upsert_many([3, 4, 4], [b"x", b"y", b"z"], generations=np.array([9, 9, 10])) == 1
    assert dict(table.items(generations=True)) == {1: (b"a", 7), 2: (b"", 8), 3: (b"x", 9), 4: (b"z", 10)}
    ids, lengths = table.lookup_many([1, 2, 3, 4, 5], generations=[7, 8, 8, 10, 0])
    assert bytes(lengths) == bytes([1, NO_BUILD_ID, STALE, 1, 0])
    assert bytes(ids[::20]) == b"a\0\0z\0"
    assert table.evict_many([1, 2, 5], [6, 8, 0]) == 1
    assert sorted(table) == [1, 3, 4]
    other = Table()
    assert other.upsert_many(*table.columns()) == 3
    assert other.items(generations=True) == table.items(generations=True)


@pytest.mark.parametrize("many", [Table.insert_many, Table.upsert_many])
def test_the_row_that_fails_is_named(many: Any) -> None:
    for rows in (0, 300, 1000):  # in the first chunk of C, and later ones
        keys = list(range(1, rows + 3))
        table = Table()
        with pytest.raises(IdLengthError, match=f"key {rows + 1:#x}, 21 bytes, id_size is 20") as caught:
            many(table, keys, np.zeros((rows + 2, 64), np.uint8), [1] * rows + [21, 1])
        assert caught.value.inserted == len(table) == rows
        table = Table(max_entries=rows + 1)
        with pytest.raises(MaxEntriesError, match=f"key {rows + 2:#x}, max_entries is {rows + 1}") as more:
            many(table, keys, [b"x"] * len(keys))
        assert more.value.inserted == len(table) == rows + 1


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
    for nothing in (array("Q"), memoryview(b"").cast("Q"), np.array([], np.uint64), [], np.array([])):
        assert [len(found) for found in table.lookup_many(nothing)] == [0, 0]
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
        (7, "keys must be an object with the buffer protocol, not int"),
        (None, "not NoneType"),
        ("12345678", "not str"),
        (bytes(8), "items 'B' of 1 bytes"),
        (array("d", [1.0]), "'d' of 8 bytes"),
        ([1, 1.5], r"keys\[1\] must be an integer, not float"),
        ([1, -1], r"keys\[1\] must be 0 to 2\*\*64 - 1, not -1"),
        (array("q", [1, -1]), r"keys\[1\] must be 0"),
        (np.array([1, -5]), r"keys\[1\] must be 0 to 2\*\*64 - 1, not -5"),
        (np.array([1, 2**64], object), r"keys\[1\] must be 0"),
        (np.array([1.0]), "integers, not float64"),
        (np.array([True]), "integers, not bool"),
        (np.array([[1, 2]], dtype=np.uint64), "2-dimensional"),
        (np.array(1, dtype=np.uint64), "0-dimensional"),
    ],
)
def test_refused_keys(keys: Any, message: str) -> None:
    table = Table()
    for call in (table.lookup_many, table.evict_many, lambda keys: table.insert_many(keys, bytes(20))):
        with pytest.raises((ArgumentTypeError, ArgumentRangeError), match=message):
            call(keys)
    assert len(table) == 0


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "message"),
    [
        (bytes(40), bytearray(2), ArgumentTypeError, "ids must be a writable buffer"),
        (bytearray(40), bytes(2), ArgumentTypeError, "lengths must be a writable buffer"),
        (array("I", [0] * 10), bytearray(2), ArgumentTypeError, "ids must be a buffer of bytes, not of items of 4"),
        (memoryview(bytearray(80))[::2], bytearray(2), ArgumentTypeError, "ids must be contiguous"),
        ([0] * 40, bytearray(2), ArgumentTypeError, "not list"),
        (bytearray(39), bytearray(2), BufferSizeError, "ids must be a buffer of at least 40 bytes, not 39"),
        (bytearray(40), bytearray(1), BufferSizeError, "lengths must be a buffer of at least 2 bytes, not 1"),
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
        (bytes(39), None, BufferSizeError, "ids must be 40 bytes, 2 rows of 20, not 39"),
        (bytes(41), None, BufferSizeError, "not 41"),
        ([bytes(20)], None, BufferSizeError, "ids must have 2 items, one a key, not 1"),
        ([bytes(20), bytes(21)], None, IdLengthError, r"ids\[1\] has 21 bytes, and id_size is 20"),
        ([bytes(20), "x"], None, ArgumentTypeError, r"ids\[1\] must be an object with the buffer protocol, not str"),
        ([b"x", b"y"], [1, 1], ArgumentTypeError, "give none besides"),
        ("x" * 40, None, ArgumentTypeError, "not str"),
        (array("I", [0] * 10), None, ArgumentTypeError, "not items of 4 bytes"),
        (np.array(["x", "y"]), None, ArgumentTypeError, "not <U1"),
        (bytes(40), bytes(3), BufferSizeError, "lengths must have 2 items, one a key, not 3"),
        (bytes(40), [1, 256], ArgumentRangeError, r"lengths\[1\] must be 0 to 2\*\*8 - 1, not 256"),
        (np.zeros((2, 21), "u1"), None, IdLengthError, "key 0x1, 21 bytes, id_size is 20"),
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
