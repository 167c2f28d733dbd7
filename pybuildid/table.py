# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Table: a mapping from 64-bit keys to build IDs, over the C table."""

from __future__ import annotations

import itertools
import os
import weakref
from array import array
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypedDict, TypeVar, overload

from pybuildid._arguments import build_id, byte_buffer, flag, separate, uint, uint64_buffer
from pybuildid._core import ffi, lib
from pybuildid.errors import (
    ArgumentTypeError,
    BuildIdTableError,
    ClosedError,
    OptionsError,
    StaleError,
    check,
)

if TYPE_CHECKING:
    from typing import SupportsIndex

    from typing_extensions import Self

    from pybuildid._arguments import Buffer

Ids = TypeVar("Ids", bound="Buffer")
Lengths = TypeVar("Lengths", bound="Buffer")
Default = TypeVar("Default")

NO_DEFAULT = object()
NO_BUILD_ID = int(lib.BID_LENGTH_NO_BUILD_ID)  # in lengths: "known to have no build ID"


class Resizes(NamedTuple):
    """Resizes by their cause."""

    grow: int  # too few empty slots for the live entries
    shrink: int  # few live entries, or shrink()
    tombstones: int  # tombstones or used-up records: the same size again
    reseed: int  # a probe sequence was full at a low load: the same size with another seed
    reserve: int  # reserve()


@dataclass(frozen=True)
class TableStats:
    """Statistics of a table, counted by visiting every entry: exact when no update is under way. Sizes in bytes."""

    entries: int  # live, as counted by visiting them
    tombstones: int  # slots of removed keys that no resize has dropped yet
    slots: int  # of the current bucket array
    load: float  # entries / slots
    bytes_slots: int  # mapped and populated, all arrays that are not retired
    bytes_records: int  # populated, all arrays that are not retired
    bytes_retired: int  # waiting for a grace period
    bytes_pins: int  # of the process, shared by all tables
    retired_arrays: int  # waiting for a grace period
    resizes: int  # finished
    resize_begun: Resizes  # begun, by cause
    seed: int  # of the current bucket array
    slots_read: tuple[int, ...]  # [n]: keys found by n looks at buckets of 8 slots; the last: that many or more
    records_read: tuple[int, ...]  # [n]: keys of which a lookup reads n records; the last: that many or more
    max_slots_read: int  # by a lookup of any live key, in slots
    max_records_read: int
    membarrier: bool  # pins without a fence, updaters use membarrier(); else pins with a fence
    pin_slots: int  # of the process
    pin_slots_used: int  # by threads, living and dead
    resizing: bool  # a resize stood half done


class TableOptions(TypedDict, total=False):
    """The options of Table that have a name only."""

    max_entries: int
    retired_limit: int
    seed: int | None
    id_size: int
    mlock: bool
    fenced_pins: bool


class Table(MutableMapping[int, bytes]):
    """A hash table from a 64-bit key (the address of an inode) to its build ID.

    Keys are integers from 0 to 2**64 - 1. Values are bytes-like objects of 1 to id_size bytes, or b"", which says
    "known to have no build ID". An entry carries the generation of its inode, a number of 32 bits; table[key] = id
    gives it generation 0.

        with Table() as table:
            table[0xffff8881004ec110] = bytes.fromhex("3bb29d5ab8a7a9d2bf3a9b4e1e9ad6d0f1cf3d3c")

    expected: room for that many entries without growing.
    max_entries: an insert beyond it raises MaxEntriesError, and nothing else is refused for it; 0: 2**32.
    retired_limit: for memory that waits for stalled readers, in bytes; 0: four times the largest bucket array + 16 MiB.
    seed: for tests: fixes the seeds, which then protect from no adversary.
    id_size: the longest build ID that fits, 1 to 64 bytes. Every entry takes the memory of one that
        long, and up to 20 bytes take the least.
    mlock: lock the memory, and for good the process's pins: nothing is swapped out. A forked child has no locks.
    fenced_pins: readers use a full fence even where the system has membarrier().

    Threads: every method may be called by any number of threads at once, and releases the GIL while C runs. insert(),
    replace(), evict(), lookup(), table[key], table[key] = id, del table[key] and setdefault() are atomic. pop() is a
    lookup and an eviction: it returns what was there just before. Iterating over keys, values or items is weakly
    consistent: an entry that stays throughout comes exactly once, none comes twice.

    close() may be called at any time, also while other threads use the table: their calls finish, later ones raise
    ClosedError. A child made by os.fork() has its own copy, which works at once.

    Complexity: lookups read at most a constant number of slots; the others are constant on average, growing included.
    len() takes constant time. Iteration, stats(), popitem() and clear() visit all slots.

    A key that cannot be one, such as -1 or "x", is an error everywhere, also in `key in table` and get().

    Errors: those of pybuildid.errors; an update may raise NoMemoryError, MaxEntriesError, RetiredLimitError,
    CollisionsError or MemoryLockError, and then has changed nothing.
    """

    __slots__ = ("__weakref__", "_id_size", "_number", "_table")

    def __init__(
        self,
        expected: int = 0,
        *,
        max_entries: int = 0,
        retired_limit: int = 0,
        seed: int | None = None,
        id_size: int = 20,
        mlock: bool = False,
        fenced_pins: bool = False,
    ) -> None:
        if hasattr(self, "_table"):  # another thread may be using what is there
            raise TypeError("a Table cannot be initialized twice: make a new one")
        options = ffi.new("struct bid_options *")
        options.size = ffi.sizeof("struct bid_options")
        options.expected_entries = uint(expected, 64, "expected")
        options.max_entries = uint(max_entries, 64, "max_entries")
        options.retired_limit = uint(retired_limit, 64, "retired_limit")
        options.seed = uint(0 if seed is None else seed, 64, "seed")
        options.id_size = uint(id_size, 32, "id_size")
        if not 1 <= options.id_size <= lib.BID_ID_MAX:  # in C 0 is the default
            raise OptionsError(f"id_size must be 1 to {lib.BID_ID_MAX}, not {options.id_size}")
        if 0 < options.max_entries < options.expected_entries:
            raise OptionsError(f"expected must be at most max_entries, {max_entries}, not {expected}")
        options.flags = (
            (lib.BID_FIXED_SEED if seed is not None else 0)
            | (lib.BID_MLOCK if flag(mlock, "mlock") else 0)
            | (lib.BID_FENCED_PINS if flag(fenced_pins, "fenced_pins") else 0)
        )
        created = ffi.new("struct bid_table **")
        check(lib.bid_create(created, options))
        self._id_size = options.id_size
        self._own(created[0])

    # -------------------------------------------------------------------------------------------- lifetime

    def _own(self, table: Any) -> None:
        """Destroys a table in C when nothing refers to it any more, calls that are under way included."""
        self._number = next(_numbers)
        self._table: Any = ffi.gc(table, partial(_destroy, self._number))
        _owners[self._number] = weakref.ref(self._table)
        _tables[self._number] = self

    @property
    def _open(self) -> Any:
        """The table in C, for one call, which holds this reference while it runs."""
        table = self._table
        if table is None or self._number not in _owners:
            raise ClosedError
        return table

    def close(self) -> None:
        """Frees the table's memory, as soon as the calls that are under way have returned. May be called again."""
        self._table = None

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return self._table is None or self._number not in _owners

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def id_size(self) -> int:
        """The longest build ID that fits, in bytes, and the width of a row of the bulk calls."""
        return int(self._id_size)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Table cannot be copied or pickled; dict(table.items()) has its entries")

    def __repr__(self) -> str:
        try:
            return f"<Table, {len(self)} entries>"
        except ClosedError:
            return "<Table, closed>"

    # --------------------------------------------------------------------------------------------- entries

    def lookup(self, key: SupportsIndex, generation: SupportsIndex | None = None) -> bytes | None:
        """The build ID of a key, b"" if it is known to have none, None if there is no entry.

        With a generation, the entry must be of that one, else StaleError is raised: it belongs to another file.
        """
        entry = ffi.new("struct bid_build_id *")
        number = uint(key, 64, "key")
        if generation is None:
            status = lib.bid_lookup(self._open, number, entry)
        else:
            status = lib.bid_lookup_generation(self._open, number, uint(generation, 32, "generation"), entry)
        return answer(status, entry)

    def insert(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """Inserts an entry if the key has none, of whatever generation. Returns whether it did."""
        data = build_id(id)
        arguments = uint(key, 64, "key"), uint(generation, 32, "generation"), data, len(data)
        return check(lib.bid_insert(self._open, *arguments)) != lib.BID_EXISTS

    def replace(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """Replaces the entry of a key, its generation included, if there is one. Returns whether there was."""
        data = build_id(id)
        arguments = uint(key, 64, "key"), uint(generation, 32, "generation"), data, len(data)
        return check(lib.bid_replace(self._open, *arguments)) != lib.BID_ABSENT

    def evict(self, key: SupportsIndex, generation: SupportsIndex | None = None) -> bool:
        """Removes the entry of a key; with a generation only an entry of that one. Returns whether it did."""
        number = uint(key, 64, "key")
        if generation is None:
            status = lib.bid_remove(self._open, number)
        else:
            status = lib.bid_remove_generation(self._open, number, uint(generation, 32, "generation"))
        return check(status) == lib.BID_OK

    def __getitem__(self, key: SupportsIndex) -> bytes:
        found = self.lookup(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: SupportsIndex, id: Buffer) -> None:
        data = build_id(id)
        check(lib.bid_upsert(self._open, uint(key, 64, "key"), 0, data, len(data)))

    def __delitem__(self, key: SupportsIndex) -> None:
        if not self.evict(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self.lookup(key) is not None  # type: ignore[arg-type]  # lookup() checks

    # What MutableMapping makes of two operations would go wrong when another thread comes in between.

    def setdefault(self, key: SupportsIndex, default: Buffer = b"") -> bytes:
        """The build ID of a key, which is inserted if the key has no entry."""
        while True:
            if self.insert(key, default):
                return build_id(default)
            found = self.lookup(key)
            if found is not None:
                return found

    @overload
    def pop(self, key: SupportsIndex) -> bytes: ...

    @overload
    def pop(self, key: SupportsIndex, default: Default) -> bytes | Default: ...

    def pop(self, key: SupportsIndex, default: Any = NO_DEFAULT) -> Any:
        """Removes the entry of a key and returns its build ID; without an entry the default, or raises KeyError."""
        found = self.lookup(key)
        if found is not None and self.evict(key):
            return found
        if default is NO_DEFAULT:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[int, bytes]:
        """Removes some entry and returns it; raises KeyError if the table is empty."""
        for key in self:
            found = self.pop(key, None)
            if found is not None:
                return key, found
        raise KeyError("the table is empty")

    def clear(self) -> None:
        """Removes all entries that are there now."""
        for key in self:
            self.evict(key)

    # --------------------------------------------------------------------------------------- the whole table

    def __len__(self) -> int:
        return int(lib.bid_count(self._open))

    def __iter__(self) -> Iterator[int]:
        """Iterates over the keys as they are now."""
        return iter(self._keys())

    def values(self) -> ValuesView[bytes]:
        return _Values(self)

    def items(self) -> ItemsView[int, bytes]:
        return _Items(self)

    def _keys(self) -> array[int]:
        capacity = len(self)
        while True:
            capacity += capacity // 8 + 64  # for those that come meanwhile
            keys = array("Q", bytes(8 * capacity))
            with ffi.from_buffer("uint64_t[]", keys) as pointer:
                seen = lib.bid_keys(self._open, pointer, capacity)
            if seen <= capacity:
                return keys[:seen]
            capacity = seen

    def _entries(self) -> Iterator[tuple[int, bytes]]:
        keys = self._keys()
        ids, lengths = self.lookup_many(keys)
        for i, (key, length) in enumerate(zip(keys, lengths)):
            if length == NO_BUILD_ID:
                yield key, b""
            elif length:
                start = i * self._id_size
                yield key, bytes(ids[start : start + length])

    def reserve(self, entries: SupportsIndex) -> None:
        """Makes room for that many entries in all, so that inserts up to there do not allocate.

        Raises BusyError if other threads shrink the table again and again meanwhile.
        """
        check(lib.bid_reserve(self._open, uint(entries, 64, "entries")))

    def shrink(self) -> bool:
        """Gives up reserved room and shrinks to what the entries need. Returns whether there was something to gain."""
        return check(lib.bid_shrink(self._open)) == lib.BID_OK

    def reclaim(self) -> int:
        """Frees retired memory that no reader can see, without waiting. Returns how many bytes still wait."""
        return int(lib.bid_reclaim(self._open))

    def stats(self) -> TableStats:
        """Counts the statistics."""
        stats = ffi.new("struct bid_stats *")
        stats.size = ffi.sizeof("struct bid_stats")
        check(lib.bid_statistics(self._open, stats))
        values: dict[str, Any] = {field.name: getattr(stats, field.name, None) for field in fields(TableStats)}
        values.update(
            load=stats.entries / stats.slots,
            resize_begun=Resizes(*stats.resize_begun),
            slots_read=tuple(stats.slots_read),
            records_read=tuple(stats.records_read),
            membarrier=bool(stats.membarrier),
            resizing=bool(stats.resizing),
        )
        return TableStats(**values)

    # ----------------------------------------------------------------------------------------- bulk calls

    @overload
    def lookup_many(self, keys: Buffer) -> tuple[bytearray, bytearray]: ...

    @overload
    def lookup_many(self, keys: Buffer, *, ids: Ids, lengths: Lengths) -> tuple[Ids, Lengths]: ...

    def lookup_many(self, keys: Buffer, *, ids: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        """Looks up n keys in one call: returns (ids, lengths).

        keys: n native uint64 in any contiguous buffer: array('Q'), memoryview, a NumPy array of uint64.
        ids: n rows of id_size bytes, each a build ID padded with zeros.
        lengths: n bytes: the length of each build ID, 0 where there is no entry, 255 (NO_BUILD_ID) for "known to have
            no build ID".

        Without ids and lengths, two new bytearrays are made. To allocate nothing, give both: writable contiguous
        buffers of bytes, of any shape and at least that size; they are filled from their beginning and returned.

        Each key is looked up for itself: the answers are no snapshot of the table. None of the buffers may be changed
        by another thread meanwhile, and they may not overlap.
        """
        if (ids is None) != (lengths is None):
            raise ArgumentTypeError("give both ids and lengths, or neither")
        with ExitStack() as stack:
            keys_pointer, n = stack.enter_context(uint64_buffer(keys, "keys"))
            if ids is None:
                ids, lengths = bytearray(n * self._id_size), bytearray(n)
            ids_pointer = stack.enter_context(byte_buffer(ids, "ids", n * self._id_size, writable=True))
            lengths_pointer = stack.enter_context(byte_buffer(lengths, "lengths", n, writable=True))
            separate(keys=(keys_pointer, 8 * n), ids=(ids_pointer, n * self._id_size), lengths=(lengths_pointer, n))
            lib.bid_lookup_many(self._open, keys_pointer, n, ids_pointer, self._id_size, lengths_pointer)
        return ids, lengths

    def insert_many(self, keys: Buffer, ids: Buffer, lengths: Buffer | None = None) -> int:
        """Inserts n entries of generation 0 in one call: returns how many were new. Others are left as they are.

        keys: n native uint64, as for lookup_many().
        ids: n rows of id_size bytes.
        lengths: n bytes, the length of each build ID; 0 or 255 (NO_BUILD_ID) for "known to have no build ID". None:
            each is id_size bytes long.

        Stops at the first error, such as IdLengthError; the entries before it stay, and the error's `inserted` says how
        many of them were new.
        """
        with ExitStack() as stack:
            keys_pointer, n = stack.enter_context(uint64_buffer(keys, "keys"))
            ids_pointer = stack.enter_context(byte_buffer(ids, "ids", n * self._id_size))
            lengths_pointer = ffi.NULL
            if lengths is not None:
                lengths_pointer = stack.enter_context(byte_buffer(lengths, "lengths", n))
            inserted = ffi.new("size_t *")
            arguments = keys_pointer, n, ids_pointer, self._id_size, lengths_pointer, inserted
            status = lib.bid_insert_many(self._open, *arguments)
            try:
                check(status)
            except BuildIdTableError as error:
                error.inserted = int(inserted[0])
                raise
            return int(inserted[0])


# ------------------------------------------------------------------------------------------- tables in C

_numbers = itertools.count()
#: Of the tables in C that are not destroyed. Finalizers of a cycle of garbage may still use one that is.
_owners: dict[int, weakref.ref[Any]] = {}
_tables: weakref.WeakValueDictionary[int, Table] = weakref.WeakValueDictionary()


def _destroy(number: int, table: Any) -> None:
    del _owners[number]
    lib.bid_destroy(table)


def _after_fork() -> None:
    """In the child. Calls that were under way in other threads never return here, and what they hold is nobody's."""
    for number, owner in list(_owners.items()):
        table, user = owner(), _tables.get(number)
        if table is None:
            continue
        ffi.gc(table, None)
        if user is None or user._table is None:
            _destroy(number, table)
        else:
            del _owners[number]
            user._own(ffi.cast("struct bid_table *", table))


os.register_at_fork(after_in_child=_after_fork)


class _Items(ItemsView[int, bytes]):
    """Reads all at once, so that an entry that goes meanwhile is left out."""

    _mapping: Table

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self._mapping._entries()


class _Values(ValuesView[bytes]):
    _mapping: Table

    def __iter__(self) -> Iterator[bytes]:
        return (value for _, value in self._mapping._entries())


def answer(status: int, entry: Any) -> bytes | None:
    """What a lookup says, from its status and its struct bid_build_id."""
    if status == lib.BID_OK:
        return bytes(ffi.buffer(entry.bytes, entry.length))
    if status == lib.BID_ABSENT:
        return None
    if status == lib.BID_NO_BUILD_ID:
        return b""
    if status == lib.BID_STALE:
        raise StaleError
    check(status)
    raise AssertionError(status)
