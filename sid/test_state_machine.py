# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Tables against a dict, step by step: small ones, so that they resize often, and with keys that collide."""

from __future__ import annotations

from array import array
from typing import Any, ClassVar

import pytest
from colliding import colliding_key
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pybuildid import NO_BUILD_ID, StaleError, Table
from pybuildid._core import lib

SEED = 12345
KEYS = (
    st.integers(0, 40)
    | st.integers(0, 40).map(lambda number: colliding_key(number, SEED))
    | st.sampled_from([2**63, 2**64 - 1])
    | st.integers(0, 2**64 - 1)
)
IDS = st.binary(max_size=24)
GENERATIONS = st.integers(0, 2) | st.just(2**32 - 1)


class TableMachine(RuleBasedStateMachine):
    """The model: a dict from key to (generation, ID)."""

    options: ClassVar[dict[str, Any]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[int, tuple[int, bytes]] = {}

    @initialize(seed=st.just(SEED) | st.integers(0, 2**64 - 1), id_size=st.sampled_from([24, 64]))
    def create(self, seed: int, id_size: int) -> None:
        self.table = Table(expected=1, seed=seed, id_size=id_size, **self.options)  # the smallest: it resizes soon

    def teardown(self) -> None:
        if hasattr(self, "table"):
            self.table.close()

    @rule(key=KEYS, id=IDS, generation=GENERATIONS)
    def insert(self, key: int, id: bytes, generation: int) -> None:
        assert self.table.insert(key, id, generation) == (key not in self.model)
        self.model.setdefault(key, (generation, id))

    @rule(key=KEYS, id=IDS, generation=GENERATIONS)
    def replace(self, key: int, id: bytes, generation: int) -> None:
        assert self.table.replace(key, id, generation) == (key in self.model)
        if key in self.model:
            self.model[key] = (generation, id)

    @rule(key=KEYS, id=IDS)
    def set_item(self, key: int, id: bytes) -> None:
        self.table[key] = id
        self.model[key] = (0, id)

    @rule(key=KEYS)
    def evict(self, key: int) -> None:
        assert self.table.evict(key) == (self.model.pop(key, None) is not None)

    @rule(key=KEYS, generation=GENERATIONS)
    def evict_generation(self, key: int, generation: int) -> None:
        match = key in self.model and self.model[key][0] == generation
        assert self.table.evict(key, generation) == match
        if match:
            del self.model[key]

    @rule(key=KEYS, generation=GENERATIONS)
    def lookup_generation(self, key: int, generation: int) -> None:
        expected = self.model.get(key)
        if expected is None:
            assert self.table.lookup(key, generation) is None
        elif expected[0] == generation:
            assert self.table.lookup(key, generation) == expected[1]
        else:
            with pytest.raises(StaleError):
                self.table.lookup(key, generation)

    @rule(keys=st.lists(KEYS, max_size=80), id=IDS)
    def insert_many(self, keys: list[int], id: bytes) -> None:
        ids = id.ljust(self.table.id_size, b"\0") * len(keys)
        inserted = self.table.insert_many(array("Q", keys), ids, bytes([len(id) or NO_BUILD_ID]) * len(keys))
        assert inserted == len(set(keys) - self.model.keys())
        for key in keys:
            self.model.setdefault(key, (0, id))

    @rule(keys=st.lists(KEYS, max_size=60))
    def evict_many(self, keys: list[int]) -> None:
        for key in keys:
            self.evict(key)

    @rule(entries=st.integers(0, 500))
    def reserve(self, entries: int) -> None:
        self.table.reserve(entries)

    @rule()
    def shrink(self) -> None:
        self.table.shrink()

    @rule()
    def reclaim(self) -> None:
        assert self.table.reclaim() == 0

    @rule()
    def clear(self) -> None:
        self.table.clear()
        self.model.clear()

    @invariant()
    def same_entries(self) -> None:
        if not hasattr(self, "table"):
            return
        expected = {key: id for key, (_, id) in self.model.items()}
        keys = list(self.table)
        assert len(keys) == len(set(keys)) == len(self.table) == len(expected)
        assert dict(self.table.items()) == expected
        assert all(self.table[key] == id for key, id in expected.items())

    @invariant()
    def statistics_add_up(self) -> None:
        if not hasattr(self, "table"):
            return
        stats = self.table.stats()
        assert stats.entries == sum(stats.slots_read) == sum(stats.records_read) == len(self.model)
        assert stats.entries + stats.tombstones <= stats.slots
        assert stats.max_slots_read <= lib.BID_LOOKUP_MAX_SLOTS


class FencedMachine(TableMachine):
    options: ClassVar[dict[str, Any]] = {"fenced_pins": True}


PROFILE = settings(max_examples=60, stateful_step_count=40)

TestTable = TableMachine.TestCase
TestFenced = FencedMachine.TestCase
TestTable.settings = TestFenced.settings = PROFILE


def test_the_machines_resize() -> None:
    """Sizes as the machines make them go through every kind of resize but a reseed."""
    table = Table(expected=1, seed=1)
    for start in range(0, 4000, 40):
        for key in range(start, start + 40):
            table[key] = b"x"
        for key in range(start, start + 40):
            del table[key]
    table.reserve(5000)
    table.shrink()
    begun = table.stats().resize_begun
    assert begun.grow
    assert begun.shrink
    assert begun.tombstones
    assert begun.reserve
