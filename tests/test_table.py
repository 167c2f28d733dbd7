# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Table as a mapping: entries, generations, options, statistics, closing."""

from __future__ import annotations

import copy
import gc
import io
import json
import pickle
from array import array
from collections.abc import Callable, MutableMapping
from dataclasses import FrozenInstanceError, asdict
from typing import Any

import pytest
from colliding import colliding_key
from conftest import make_arrays, make_entries, mapped_bytes

from pybuildid import ClosedError, InodeCache, StaleError, Table, errors
from pybuildid._core import lib
from study.rivals import RivalTable

ID = bytes(range(1, 21))
OTHER = bytes(range(101, 121))


def test_is_a_mutable_mapping() -> None:
    table = Table()
    assert isinstance(table, MutableMapping)
    assert len(table) == 0
    assert not table
    table[7] = ID
    assert table[7] == ID
    assert 7 in table
    assert 8 not in table
    assert len(table) == 1
    assert list(table) == [7]
    assert dict(table) == {7: ID}
    assert table == {7: ID}
    assert table != {7: OTHER}
    assert table.get(8) is None
    assert table.get(8, OTHER) == OTHER
    table[7] = OTHER
    assert table[7] == OTHER
    del table[7]
    assert 7 not in table
    with pytest.raises(KeyError, match="7"):
        table[7]
    with pytest.raises(KeyError, match="7"):
        del table[7]


def test_mapping_methods() -> None:
    entries = make_entries(300)
    table = Table()
    table.update(entries)
    assert table == entries
    assert sorted(table.keys()) == sorted(entries)
    assert sorted(table.values()) == sorted(entries.values())
    assert sorted(table.items()) == sorted(entries.items())
    key = next(iter(entries))
    assert table.setdefault(key, OTHER) == entries[key]
    assert table.setdefault(5, bytearray(OTHER)) == OTHER
    assert table.setdefault(6) == b""
    assert table.pop(5) == OTHER
    assert table.pop(5, None) is None
    assert table.pop(5, default=b"x") == b"x"
    assert table.pop(6) == b""
    with pytest.raises(KeyError):
        table.pop(5)
    taken = dict(table.popitem() for _ in range(len(entries)))
    assert taken == entries
    with pytest.raises(KeyError):
        table.popitem()
    table.update(entries)
    table.clear()
    assert table == {}


@pytest.mark.parametrize("key", [0, 1, 2**32, 2**63, 2**64 - 1, True])
def test_any_64_bit_key(key: int) -> None:
    table = Table()
    assert key not in table
    table[key] = ID
    assert dict(table) == {int(key): ID}
    assert table.pop(key) == ID
    assert key not in table


@pytest.mark.parametrize("id_size", [1, 8, 20, 21, 64])
def test_ids_of_every_length(id_size: int) -> None:
    table = Table(id_size=id_size)
    assert table.id_size == id_size
    lengths = {key: key % (id_size + 1) for key in range(3000)}
    entries = {key: bytes(range(key % 100, key % 100 + length)) for key, length in lengths.items()}
    table.update(entries)
    for _ in range(2):
        assert dict(table.items()) == entries
        assert {key: table[key] for key in entries} == entries  # by another way
        table.reserve(20000)  # which copies each to another array


@pytest.mark.parametrize(
    "make", [bytes, bytearray, memoryview, lambda data: array("I", data), lambda d: memoryview(d * 2)[::2]]
)
def test_ids_are_bytes_like(make: Callable[[bytes], Any]) -> None:
    table = Table()
    value = make(ID)
    table[1] = value
    assert table[1] == bytes(memoryview(value))
    assert isinstance(table[1], bytes)


def test_insert_replace_evict() -> None:
    table = Table()
    assert table.replace(1, ID) is False
    assert table.evict(1) is False
    assert table.insert(1, ID) is True
    assert table.insert(1, OTHER) is False
    assert table[1] == ID
    assert table.replace(1, OTHER) is True
    assert table[1] == OTHER
    assert table.evict(1) is True
    assert table.lookup(1) is None


def test_a_copy_loses_nothing() -> None:
    table = Table({1: ID, 2: b""}, id_size=24)
    table.insert(3, bytes(24), generation=7)
    assert table.entry(3) == (bytes(24), 7)
    assert table.entry(4) is None
    copied = Table(table)
    assert copied.id_size == 24
    assert copied.items(generations=True) == table.items(generations=True)
    assert (3, (bytes(24), 7)) in copied.items(generations=True)
    copied.update([(1, OTHER), (3, b"x"), (1, b"y")])
    assert dict(copied.items(generations=True)) == {1: (b"y", 0), 2: (b"", 0), 3: (b"x", 0)}
    with pytest.raises(errors.IdLengthError, match=r"24 bytes, id_size is 20: Table\(id_size=24\) would do"):
        Table(table, id_size=20)
    with pytest.raises(errors.ArgumentTypeError, match="for room give expected="):
        Table(1000)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (7, r"entries\[70000\] must be a pair of key and build ID, not 7"),
        ((1, b"x", 3), r"entries\[70000\] must be a pair of key and build ID, not \(1, b'x', 3\)"),
        ((-2, b"x"), r"the key of entries\[70000\] must be 0 to 2\*\*64 - 1, not -2"),
        (("x", b"x"), r"the key of entries\[70000\] must be an integer, not str"),
        ((0x2F, "x"), r"the build ID of key 0x2f must be bytes, or another object with the buffer protocol, not str"),
        ((0x2F, bytes(30)), r"key 0x2f, 30 bytes, id_size is 20: Table\(id_size=30\) would do"),
        ((0x2F, bytes(65)), r"key 0x2f, 65 bytes, id_size is 20: no table takes more than 64"),
    ],
)
def test_the_pair_that_cannot_be_an_entry_is_named(wrong: Any, message: str) -> None:
    """Whatever is wrong with the pair, and wherever it is. The table has what came long before it."""
    table = Table()
    with pytest.raises(errors.BuildIdTableError, match=message):
        table.update([*((key, b"id") for key in range(70_000)), wrong])
    assert len(table) == 1 << 16
    with pytest.raises(errors.BuildIdTableError, match=message.replace("70000", "0")):
        Table([wrong])


def test_entries_given_need_no_growth() -> None:
    table = Table(make_entries(5000))
    assert table.stats().resizes == 0
    assert table.nbytes >= 5000 * 32
    assert table.nbytes > Table().nbytes


def test_generations() -> None:
    table = Table()
    assert table.lookup(1, 5) is None
    table.insert(1, ID, generation=5)
    assert table.lookup(1) == ID
    assert table.lookup(1, 5) == ID
    with pytest.raises(StaleError, match="another generation"):
        table.lookup(1, 6)
    assert table.insert(1, OTHER, generation=6) is False
    assert table.evict(1, 6) is False
    assert table.lookup(1, 5) == ID
    assert table.replace(1, b"", generation=2**32 - 1) is True
    assert table.lookup(1, 2**32 - 1) == b""
    with pytest.raises(StaleError):
        table.lookup(1, 5)
    assert table.evict(1, 2**32 - 1) is True
    table[1] = ID
    assert table.lookup(1, 0) == ID


@pytest.mark.parametrize("options", [{}, {"fenced_pins": True}, {"mlock": True}])
def test_options_that_change_no_answer(options: dict[str, Any]) -> None:
    entries = make_entries(3000)
    table = Table(**options)
    table.update(entries)
    assert table == entries
    for key in list(entries)[::2]:
        del table[key]
        del entries[key]
    assert table == entries


def test_seed_is_fixed() -> None:
    assert Table(seed=0).stats().seed == 0
    assert Table(seed=2**64 - 1).stats().seed == 2**64 - 1
    assert Table().stats().seed != Table().stats().seed


def test_fenced_pins_are_visible() -> None:
    assert Table(fenced_pins=True).stats().membarrier is False


def test_expected_and_reserve_save_resizes() -> None:
    entries = make_entries(5000)
    growing, expecting, reserving = Table(), Table(expected=5000), Table()
    reserving.reserve(5000)
    before = reserving.stats().resizes
    for table in (growing, expecting, reserving):
        table.update(entries)
    assert growing.stats().resizes == 4  # from 2,048 slots to 8,192, by a factor of 1.4 each
    assert expecting.stats().resizes == 0
    assert reserving.stats().resizes == before
    assert reserving.stats().resize_begun.reserve == 1


def test_grows_and_shrinks() -> None:
    entries = make_entries(20000)
    table = Table()
    table.update(entries)
    full = table.stats()
    assert full.resize_begun.grow == 8  # from 2,048 slots to 32,768
    assert full.slots > 20000
    for key in list(entries)[100:]:
        del table[key]
        del entries[key]
    table.shrink()
    assert table.reclaim() == 0
    after = table.stats()
    assert table == entries
    assert after.resize_begun.shrink >= 1
    assert after.slots < full.slots / 16
    assert after.bytes_slots + after.bytes_records < (full.bytes_slots + full.bytes_records) / 16
    assert after.bytes_retired == after.retired_arrays == 0


@pytest.mark.parametrize("backwards", [False, True])
def test_evicts_in_the_order_of_iteration(backwards: bool) -> None:
    """That is the order of the home buckets, so what stays is crowded together, and has to move to a smaller array."""
    entries = make_entries(20000)
    for seed in range(3):
        table = Table(seed=seed)
        table.update(entries)
        for number, key in enumerate(list(table)[:: -1 if backwards else 1]):
            assert table.evict(key)
            assert len(table) == 19999 - number
        assert table.stats().resize_begun.shrink >= 2


@pytest.mark.parametrize("n", [0, 1, 7, 1000])
def test_statistics_add_up(n: int) -> None:
    table = Table()
    table.update(make_entries(n))
    for key in list(table)[: n // 3]:
        del table[key]
    stats = table.stats()
    assert stats.entries == len(table) == n - n // 3
    assert stats.load == stats.entries / stats.slots <= 1
    assert stats.entries + stats.tombstones <= stats.slots
    assert stats.bytes_slots == 32 * stats.slots  # a bucket of eight slots, with the places in it
    assert stats.bytes_pins > 0
    assert 1 <= stats.pin_slots_used <= stats.pin_slots
    assert sum(stats.slots_read) == sum(stats.records_read) == stats.entries
    assert len(stats.slots_read) == len(stats.records_read) == lib.BID_HISTOGRAM
    assert stats.records_read[0] == 0  # a hit reads its record
    for histogram, most, scale in [
        (stats.slots_read, stats.max_slots_read, 8),
        (stats.records_read, stats.max_records_read, 1),
    ]:
        assert max([i for i, count in enumerate(histogram) if count], default=0) == min(most // scale, 32)
    assert stats.max_slots_read <= lib.BID_LOOKUP_MAX_SLOTS
    assert stats.max_records_read <= lib.BID_LOOKUP_MAX_RECORDS
    assert sum(stats.resize_begun) >= stats.resizes
    assert stats.resizing in (True, False)
    assert json.loads(json.dumps(asdict(stats)))["entries"] == stats.entries
    with pytest.raises(FrozenInstanceError):
        stats.entries = 1  # type: ignore[misc]


def test_colliding_keys_show_in_the_statistics() -> None:
    mixed, colliding = Table(seed=7), Table(seed=7)
    mixed.update(make_entries(40))
    colliding.update({colliding_key(number, 7): ID for number in range(40)})
    assert mixed.stats().slots_read[1] == 40
    assert colliding.stats().slots_read[:3] == (0, 1, 7)  # of their home bucket, with one tag: the first, the others
    assert colliding.stats().max_slots_read > 8


def test_iteration_is_weakly_consistent() -> None:
    entries = make_entries(1000)
    table = Table()
    table.update(entries)
    gone = set(list(entries)[::3])
    seen = []
    for number, key in enumerate(table):
        if number == 0:
            for other in gone:
                del table[other]
            table.update(dict.fromkeys(range(5000), ID))
        seen.append(key)
    assert len(seen) == len(set(seen))
    assert set(entries) - gone <= set(seen)


def test_keys_that_come_while_they_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """More keys come than the list has room for."""
    table = Table()
    table.update(dict.fromkeys(range(1000), ID))
    monkeypatch.setattr(Table, "__len__", lambda self: 0)
    assert sorted(table) == list(range(1000))
    assert len(list(table.items())) == 1000


def test_pop_of_what_another_thread_has_evicted(monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table()
    table[1] = ID
    lookup = Table.lookup

    def lookup_then_evict(self: Table, key: int) -> bytes | None:
        found = lookup(self, key)
        self.evict(key)
        return found

    monkeypatch.setattr(Table, "lookup", lookup_then_evict)
    assert table.pop(1, None) is None  # the other one has it


def test_setdefault_of_what_another_thread_evicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """setdefault() does not return the default before the table has it."""
    table = Table()
    table[1] = ID
    insert = Table.insert

    def insert_then_evict(self: Table, key: int, id: bytes) -> bool:
        inserted = insert(self, key, id)
        if not inserted:
            self.evict(key)
        return inserted

    monkeypatch.setattr(Table, "insert", insert_then_evict)
    assert table.setdefault(1, OTHER) == OTHER
    assert dict(table) == {1: OTHER}


def test_options_as_c_gets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    class SpyLib:
        def __getattr__(self, name: str) -> Any:
            return create if name == "bid_create" else getattr(lib, name)

    def create(table: Any, options: Any) -> int:
        names = "expected_entries", "max_entries", "retired_limit", "seed", "id_size", "flags"
        seen.append(tuple(getattr(options, name) for name in names))
        return int(lib.bid_create(table, options))

    monkeypatch.setattr("pybuildid.table.lib", SpyLib())
    Table()
    Table(expected=1, max_entries=1 << 30, retired_limit=3, seed=4, id_size=6, fenced_pins=True)
    flags = lib.BID_FIXED_SEED | lib.BID_FENCED_PINS
    assert seen == [
        (0, 0, 0, 0, 20, 0),
        (1, 1 << 30, 3, 4, 6, flags),
    ]


CALLS: list[Callable[[Table], object]] = [
    len,
    list,
    lambda table: table[1],
    lambda table: 1 in table,
    lambda table: table.get(1),
    lambda table: table.lookup(1),
    lambda table: table.lookup(1, 1),
    lambda table: table.insert(1, ID),
    lambda table: table.replace(1, ID),
    lambda table: table.__setitem__(1, ID),
    lambda table: table.__delitem__(1),
    lambda table: table.evict(1),
    lambda table: table.evict(1, 1),
    lambda table: table.pop(1),
    lambda table: table.popitem(),
    lambda table: table.setdefault(1, ID),
    lambda table: table.clear(),
    lambda table: list(table.items()),
    lambda table: list(table.values()),
    lambda table: table.reserve(5),
    lambda table: table.shrink(),
    lambda table: table.reclaim(),
    lambda table: table.stats(),
    lambda table: table.lookup_many(array("Q", [1])),
    lambda table: table.insert_many(array("Q", [1]), ID),
    lambda table: table.upsert_many([1], [ID]),
    lambda table: table.evict_many([1]),
    lambda table: table.update({1: ID}),
    lambda table: table.entry(1),
    lambda table: table.save(io.BytesIO()),
    lambda table: table.nbytes,
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_closed(number: int) -> None:
    table = Table()
    table[1] = ID
    assert not table.closed
    table.close()
    table.close()
    assert table.closed
    with pytest.raises(ClosedError, match="closed"):
        CALLS[number](table)


def test_context_manager_and_repr() -> None:
    with Table() as table:
        table[1] = ID
        assert repr(table) == "<Table, 1 entries>"
    assert table.closed
    assert repr(table) == "<Table, closed>"
    with pytest.raises(RuntimeError, match="inside"), Table() as table:
        raise RuntimeError("inside")
    assert table.closed


@pytest.mark.parametrize("close", [True, False])
def test_memory_goes_with_the_table(close: bool) -> None:
    """The memory goes when the table is closed, or when nothing refers to it any more."""
    keys, ids = make_arrays(make_entries(50000))
    table = Table()
    table.insert_many(keys, ids)
    size = table.stats().bytes_slots + table.stats().bytes_records
    assert size > 2_000_000
    before = mapped_bytes()
    if close:
        table.close()
    else:
        del table
        gc.collect()
    assert before - mapped_bytes() >= size


def test_tables_are_not_copied() -> None:
    table = Table()
    for refused in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            refused(table)
    with pytest.raises(TypeError):
        hash(table)


@pytest.mark.parametrize("make", [Table, InodeCache, *RivalTable.__subclasses__()], ids=lambda make: make.__name__)
def test_a_second_initialization_is_refused_and_loses_nothing(make: Callable[[], Any]) -> None:
    """Another thread may be using what is there: bulk calls write rows of the size that they have checked."""
    with make() as one:
        table = one.table if isinstance(one, InodeCache) else one
        table[7] = b"x"
        with pytest.raises(TypeError, match="cannot be initialized twice"):
            one.__init__()
        assert table[7] == b"x"
    with pytest.raises(TypeError, match="cannot be initialized twice"):
        one.__init__()


def test_an_initialization_that_failed_may_be_tried_again() -> None:
    table = Table.__new__(Table)
    initialize: Callable[..., None] = table.__init__  # type: ignore[misc]
    with pytest.raises(errors.OptionsError):
        initialize(id_size=65)
    initialize(id_size=64)
    table[1] = bytes(64)
