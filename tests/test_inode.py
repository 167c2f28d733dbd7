# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""InodeCache: the protocol, and a recorded trace in which addresses come back for other inodes."""

from __future__ import annotations

import copy
import gc
import gzip
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import Work

from pybuildid import ClosedError, EvictedError, Inode, InodeCache, StaleError
from pybuildid._core import lib
from pybuildid.errors import IdLengthError, MaxEntriesError

ID = bytes(range(1, 21))
OTHER = bytes(range(101, 121))


def test_protocol() -> None:
    cache = InodeCache(100, fenced_pins=True)
    inode = cache.inode(0x10302, 339745, 7)
    assert (inode.device, inode.number, inode.generation) == (0x10302, 339745, 7)
    assert cache.lookup(inode) is None
    assert cache.associate(inode, ID) is True
    assert cache.associate(inode, OTHER) is False
    assert cache.lookup(inode) == ID
    assert cache.table.lookup(inode.address, 7) == ID
    assert cache.evict(inode) is True
    assert cache.evict(inode) is False
    assert cache.lookup(inode) is None
    assert len(cache.table) == 0
    with pytest.raises(EvictedError):
        cache.associate(inode, ID)


def test_known_to_have_no_build_id() -> None:
    cache = InodeCache()
    inode = cache.inode(1, 2)
    assert cache.associate(inode, b"") is True
    assert cache.lookup(inode) == b""
    assert cache.evict(inode) is True


def test_an_entry_of_another_generation_is_stale() -> None:
    cache = InodeCache()
    inode = cache.inode(1, 2, 3)
    cache.associate(inode, ID)
    cache.table.replace(inode.address, OTHER, generation=4)
    with pytest.raises(StaleError):
        cache.lookup(inode)


def test_an_error_names_the_inode_and_the_length() -> None:
    with InodeCache() as cache:
        inode = cache.inode(1, 2)
        with pytest.raises(
            IdLengthError, match=rf"key {inode.address:#x}, 21 bytes, id_size is 20: Table\(id_size=21\)"
        ):
            cache.associate(inode, bytes(21))
    with InodeCache(max_entries=1) as cache:
        inode, other = cache.inode(1, 2), cache.inode(1, 3)
        cache.associate(inode, b"a")
        with pytest.raises(MaxEntriesError, match=rf"key {other.address:#x}, max_entries is 1"):
            cache.associate(other, b"b")


def test_reuse_evicts_first() -> None:
    cache = InodeCache()
    inode = cache.inode(1, 2, 3)
    address = inode.address
    cache.associate(inode, ID)
    with pytest.raises(OverflowError):
        cache.reuse(inode, -1, 2)
    assert cache.lookup(inode) == ID  # nothing was done
    cache.reuse(inode, 2**64 - 1, 2**64 - 2, 2**32 - 1)
    assert (inode.device, inode.number, inode.generation) == (2**64 - 1, 2**64 - 2, 2**32 - 1)
    assert inode.address == address
    assert cache.lookup(inode) is None
    assert len(cache.table) == 0
    cache.associate(inode, OTHER)
    assert cache.lookup(inode) == OTHER


def test_an_inode_without_references_is_evicted() -> None:
    cache = InodeCache()
    for number in range(1000):  # malloc gives the same addresses again
        inode = cache.inode(1, number)
        assert cache.lookup(inode) is None
        assert cache.associate(inode, number.to_bytes(4, "little")) is True
        assert cache.lookup(inode) == number.to_bytes(4, "little")
    assert len(cache.table) == 1
    del inode
    gc.collect()
    assert len(cache.table) == 0


def test_the_address_of_an_entry_that_cannot_be_removed_does_not_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = InodeCache()
    inode = cache.inode(1, 2)
    address = inode.address
    cache.associate(inode, ID)

    with monkeypatch.context() as patch:
        patch.setattr(InodeCache._drop, "__defaults__", (lambda *_: lib.BID_E_NO_MEMORY,))
        del inode
        gc.collect()
    assert len(cache.table) == 1
    inodes = [cache.inode(1, 2) for _ in range(1000)]
    assert address not in {inode.address for inode in inodes}


def test_closed() -> None:
    with InodeCache() as cache:
        inode = cache.inode(1, 2)
        cache.associate(inode, ID)
    cache.close()
    assert cache.table.closed
    for call in (cache.lookup, cache.evict, lambda inode: cache.associate(inode, ID)):
        with pytest.raises(ClosedError):
            call(inode)
    del inode
    gc.collect()
    assert cache._kept == []  # for there is no entry any more that names its address


def test_fork(in_child: Callable[[Work], None]) -> None:
    cache = InodeCache()
    inode = cache.inode(1, 2)
    cache.associate(inode, ID)

    def work() -> None:
        assert cache.lookup(inode) == ID
        assert cache.evict(inode) is True
        cache.close()

    in_child(work)
    assert cache.lookup(inode) == ID


# --------------------------------------------------------------------------------------- the recorded trace


class Event(NamedTuple):
    kind: str  # A: allocated, M: mapped, X: evicted
    address: str
    number: int
    generation: int


def read_trace() -> list[Event]:
    with gzip.open(Path(__file__).parent / "data/inode-trace.txt.gz", "rt") as lines:
        fields = [line.split() for line in lines if not line.startswith("#")]
    return [Event(kind, address, int(number), int(generation)) for _, kind, address, number, generation in fields]


def file_id(event: Event) -> bytes:
    return f"{event.number}:{event.generation}".encode()[:20]


class Replay:
    """One Inode for each address of the trace, so that the same address of the trace is the same address here."""

    def __init__(self, cache: InodeCache) -> None:
        self.cache = cache
        self.inodes: dict[str, Inode] = {}
        self.reused = 0

    def allocate(self, event: Event, *, missed_evict: bool = False) -> Inode:
        inode = self.inodes.get(event.address)
        if inode is None:
            inode = self.inodes[event.address] = self.cache.inode(1, event.number, event.generation)
            return inode
        self.reused += 1
        if missed_evict:  # as if nobody had called evict
            lib.bid_inode_init(inode._memory, 1, event.number, event.generation)
        else:
            self.cache.reuse(inode, 1, event.number, event.generation)
        return inode

    def mapped(self, event: Event) -> Inode:
        inode = self.inodes.get(event.address)
        return self.allocate(event) if inode is None else inode  # it was there before the trace began


def test_replay() -> None:
    """A reused address never yields the ID of the inode that was there before."""
    replay = Replay(cache := InodeCache())
    lookups = hits = 0
    for event in read_trace():
        if event.kind == "A":
            assert cache.lookup(replay.allocate(event)) is None
        elif event.kind == "X":
            cache.evict(replay.inodes[event.address])
            assert cache.lookup(replay.inodes[event.address]) is None
        else:
            inode = replay.mapped(event)
            assert (inode.number, inode.generation) == (event.number, event.generation)
            found = cache.lookup(inode)
            assert found in (None, file_id(event))
            lookups, hits = lookups + 1, hits + (found is not None)
            assert cache.associate(inode, file_id(event)) is (found is None)
            assert cache.lookup(inode) == file_id(event)
    assert lookups > 17000
    assert replay.reused > 90
    assert hits > lookups - 200


def test_replay_with_all_evictions_missed() -> None:
    """Nobody evicts: the generation tells the new inode from the old one, until the new one's ID replaces the old."""
    replay = Replay(cache := InodeCache())
    stale = 0
    for event in read_trace():
        if event.kind == "A":
            before = replay.inodes.get(event.address)
            old = before.generation if before else None
            inode = replay.allocate(event, missed_evict=True)
            assert cache.lookup(inode) is None  # a new inode has its bit clear
            if old is not None and inode.address in cache.table:
                assert old != event.generation
                with pytest.raises(StaleError):
                    cache.table.lookup(inode.address, event.generation)
                stale += 1
        elif event.kind == "M":
            inode = replay.mapped(event)
            cache.associate(inode, file_id(event))
            assert cache.lookup(inode) == file_id(event)
    assert stale > 80


def test_missed_eviction_with_equal_generations() -> None:
    """What the generation cannot tell: file systems that give every inode generation 0 depend on evict."""
    cache = InodeCache()
    inode = cache.inode(1, 2, 0)
    cache.associate(inode, ID)
    lib.bid_inode_init(inode._memory, 1, 3, 0)  # a missed evict
    assert cache.lookup(inode) is None
    assert cache.associate(inode, OTHER) is False  # the old entry passes for this inode's
    assert cache.lookup(inode) == ID
    assert cache.evict(inode) is True  # and goes with it
    assert len(cache.table) == 0


def test_what_is_an_address_is_not_copied() -> None:
    with InodeCache() as cache:
        for one in (cache, cache.inode(1, 2)):
            for way in (copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="cannot be copied or pickled"):
                    way(one)
            assert weakref.ref(one)() is one
        assert repr(cache) == "<InodeCache of <Table, 0 entries>>"


def test_an_inode_is_made_by_its_cache() -> None:
    for arguments in ((), (None, None)):
        with pytest.raises(TypeError, match="made by InodeCache"):
            Inode(*arguments)
