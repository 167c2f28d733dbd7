# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The other designs that were argued about, as classes with Table's interface: to see what each of them gives up.

They are made to be compared, not to be used. Each says in its docstring when a lookup has no answer; none of them but
PointerInInodeTable, PointerInFileTable and FixedTable may be read from a signal handler in C at any moment.

    table = TryLockTable(buckets=1024)
    table[0xffff8881004ec110] = bytes.fromhex("3bb29d5ab8a7a9d2bf3a9b4e1e9ad6d0f1cf3d3c")
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pybuildid._arguments import build_id, uint
from pybuildid._columns import id_rows, integers
from pybuildid.errors import BuildIdTableError, ClosedError, NoMemoryError, StaleError, check
from study._measure import ffi, lib

if TYPE_CHECKING:
    from typing import SupportsIndex

    from typing_extensions import Self

    from pybuildid._arguments import Buffer
    from pybuildid._columns import Integers, Rows

ID_SIZE = int(lib.BID_ID_NARROW)
NO_BUILD_ID = 255  # in lengths, as for Table


class BusyError(BuildIdTableError):
    """Somebody holds the lock of the key's bucket: this lookup has no answer."""


class NotInMemoryError(BuildIdTableError):
    """The page that has the answer is not in memory: this lookup has no answer."""


@dataclass(frozen=True)
class RivalStats:
    """What a rival counts. None: it does not."""

    entries: int
    busy: int | None  # lookups that had no answer because of a lock
    resizes: int | None


#: Of the tables that are not destroyed. When a cycle of garbage is collected, finalizers may still use one that is.
_living: set[int] = set()
_numbers = itertools.count()


def _destroy(number: int, destroy: Any, table: Any) -> None:
    _living.discard(number)
    destroy(table)


class RivalTable(MutableMapping[int, bytes]):
    """What all rivals have in common: Table's methods, but for those about its memory (max_entries, reserve(), ...).

    Keys, values, generations, b"" for "known to have no build ID", and errors are as for Table. Build IDs have at most
    20 bytes; where buckets are fixed, 64. Any number of threads may use one at once. After close() its methods raise
    ClosedError; the memory is freed when the calls that are under way have returned.
    """

    __slots__ = ("__weakref__", "_number", "_table")

    design: ClassVar[str]  #: its name in `python -m study bench`
    id_size = ID_SIZE
    _functions: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        cls._functions = find(cls.design)

    def __init__(self, expected: int = 0) -> None:
        """expected: room for that many entries; fixed tables make as many buckets, up to a power of two."""
        if hasattr(self, "_table"):
            raise TypeError(f"a {type(self).__name__} cannot be initialized twice: make a new one")
        created = self._functions.create(uint(expected, 64, "expected"), 0)
        if created == ffi.NULL:
            raise NoMemoryError
        self._number = next(_numbers)
        _living.add(self._number)
        self._table: Any = ffi.gc(created, partial(_destroy, self._number, self._functions.destroy))

    # -------------------------------------------------------------------------------------------- lifetime

    def close(self) -> None:
        """Ends the use of the table. May be called again."""
        self._table = None

    @property
    def closed(self) -> bool:
        return self._table is None or self._number not in _living

    @property
    def _open(self) -> Any:
        table = self._table
        if self.closed:
            raise ClosedError
        return table

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} cannot be copied or pickled; dict(table.items()) has its entries")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, {'closed' if self.closed else f'{len(self)} entries'}>"

    # --------------------------------------------------------------------------------------------- entries

    def _key(self, table: Any, key: SupportsIndex) -> int:
        """What the design takes for a key: the number, or the address of the object that it names."""
        number = uint(key, 64, "key")
        if self._functions.object == ffi.NULL:
            return number
        address = int(self._functions.object(table, number))
        if not address:
            raise NoMemoryError
        return address

    def lookup(self, key: SupportsIndex, generation: SupportsIndex | None = None) -> bytes | None:
        """As Table.lookup(). Raises BusyError or NotInMemoryError where the design has no answer."""
        table, found = self._open, ffi.new("struct bid_build_id *")
        if generation is None:
            status = self._functions.lookup(table, self._key(table, key), found, ffi.NULL)
        else:
            number = uint(generation, 32, "generation")
            status = self._functions.lookup_generation(table, self._key(table, key), number, found)
        return _answer(status, found)

    def insert(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """As Table.insert()."""
        table, data = self._open, build_id(id)
        arguments = uint(generation, 32, "generation"), data, len(data)
        return bool(check(self._functions.insert(table, self._key(table, key), *arguments)) != lib.BID_EXISTS)

    def replace(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """As Table.replace()."""
        table, data = self._open, build_id(id)
        arguments = uint(generation, 32, "generation"), data, len(data)
        return bool(check(self._functions.replace(table, self._key(table, key), *arguments)) != lib.BID_ABSENT)

    def evict(self, key: SupportsIndex, generation: SupportsIndex | None = None) -> bool:
        """As Table.evict(); with a generation it is a lookup and a removal, which is not atomic."""
        table = self._open
        if generation is not None:
            try:
                if self.lookup(key, generation) is None:
                    return False
            except StaleError:
                return False
        return bool(check(self._functions.remove(table, self._key(table, key))) == lib.BID_OK)

    def __getitem__(self, key: SupportsIndex) -> bytes:
        found = self.lookup(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: SupportsIndex, id: Buffer) -> None:
        data = build_id(id)
        while not (self.replace(key, data) or self.insert(key, data)):
            pass  # another thread removed or inserted it in between

    def __delitem__(self, key: SupportsIndex) -> None:
        if not self.evict(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self.lookup(key) is not None  # type: ignore[arg-type]  # lookup() checks

    # --------------------------------------------------------------------------------------- the whole table

    def __len__(self) -> int:
        return int(self._functions.count(self._open))

    def __iter__(self) -> Iterator[int]:
        """Iterates over the keys as they are now."""
        table, capacity = self._open, len(self)
        while True:
            capacity += capacity // 8 + 64  # for those that come meanwhile
            keys = array("Q", bytes(8 * capacity))
            with ffi.from_buffer("uint64_t[]", keys) as pointer:
                seen = self._functions.keys(table, pointer, capacity)
            if seen <= capacity:
                return iter(keys[:seen])
            capacity = seen

    def stats(self) -> RivalStats:
        """Counts of the table."""
        table, functions = self._open, self._functions
        busy = None if functions.busy == ffi.NULL else int(functions.busy(table))
        resizes = None if functions.resizes == ffi.NULL else int(functions.resizes(table))
        return RivalStats(len(self), busy, resizes)

    # ----------------------------------------------------------------------------------------- bulk calls

    def lookup_many(self, keys: Integers) -> tuple[bytearray, bytearray]:
        """As Table.lookup_many(), key by key."""
        numbers = memoryview(integers(keys, 64, "keys"))
        ids, lengths = bytearray(len(numbers) * ID_SIZE), bytearray(len(numbers))
        for i, key in enumerate(numbers):
            found = self.lookup(key)
            if found is not None:
                ids[i * ID_SIZE : i * ID_SIZE + len(found)] = found
                lengths[i] = len(found) or NO_BUILD_ID
        return ids, lengths

    def insert_many(self, keys: Integers, ids: Rows, lengths: Integers | None = None) -> int:
        """As Table.insert_many(), key by key."""
        numbers = memoryview(integers(keys, 64, "keys"))
        rows = id_rows(ids, len(numbers), ID_SIZE)
        sizes = rows.lengths if lengths is None else memoryview(integers(lengths, 8, "lengths", len(numbers)))
        data, inserted = bytes(rows.rows), 0
        for i, key in enumerate(numbers):
            size = rows.width if sizes is None else 0 if sizes[i] == NO_BUILD_ID else sizes[i]
            inserted += self.insert(key, data[i * rows.width : i * rows.width + size])
        return inserted


def text(value: Any) -> str:
    """A string of C."""
    return bytes(ffi.string(value)).decode()


def designs() -> dict[str, Any]:
    """The functions (struct bid_design) of ours and of each rival, by name, ours first."""
    found = map(lib.bid_design_number, itertools.count())
    return {text(design.name): design for design in itertools.takewhile(lambda one: one != ffi.NULL, found)}


def find(name: str) -> Any:
    """The functions of a design. Raises ValueError for an unknown name."""
    known = designs()
    if name not in known:
        raise ValueError(f"there is no design {name!r}: only {', '.join(known)}")
    return known[name]


class FixedBucketsTable(RivalTable):
    """The designs with a number of buckets that is fixed when they are made.

    buckets: how many; up to a power of two. Too many waste memory, too few make long chains.
    """

    __slots__ = ()
    design = "fixed"  # of those that name none

    def __init__(self, buckets: int = 1024) -> None:
        super().__init__(expected=buckets)


class SpinlockTable(FixedBucketsTable):
    """Fixed buckets with a spinlock each, which readers take.

    A lookup that interrupts the holder of its bucket's lock never returns.
    """

    __slots__ = ()
    design = "spinlock"


class TryLockTable(FixedBucketsTable):
    """Fixed buckets with a spinlock each, which readers only try: BusyError if somebody has it.

    stats().busy counts the lookups that were lost so.
    """

    __slots__ = ()
    design = "trylock"


class FixedTable(FixedBucketsTable):
    """Fixed buckets with lock-free readers: always an answer, after as many steps as the chain has entries.

    hash: of the bucket: "middle-bits:SHIFT" (key >> SHIFT, 0 to 63), "xor-fold" or "fibonacci" (pybuildid.collisions
        judges them); None: two multiplications.
    """

    __slots__ = ()
    design = "fixed"

    def __init__(self, buckets: int = 1024, hash: str | None = None) -> None:
        chosen = None if hash is None else _chain_hash(hash)
        super().__init__(buckets)
        if chosen is not None:
            self._functions.choose_hash(self._table, chosen)


def _chain_hash(text: str) -> Any:
    """struct bid_chain_hash of its name. Raises ValueError."""
    match = re.fullmatch(r"(xor-fold|fibonacci)|middle-bits:(\d{1,2})", text)
    if match is None or int(match[2] or 0) > 63:
        raise ValueError(f"hash must be middle-bits:SHIFT (0 to 63), xor-fold or fibonacci, not {text!r}")
    kind = {"xor-fold": lib.BID_CHAIN_XOR_FOLD, "fibonacci": lib.BID_CHAIN_FIBONACCI, None: lib.BID_CHAIN_MIDDLE_BITS}
    return ffi.new("struct bid_chain_hash *", {"kind": kind[match[1]], "shift": int(match[2] or 0)})


class GlobalLockTable(RivalTable):
    """A growing table under one global read-write lock: a lookup that interrupts an update never returns."""

    __slots__ = ()
    design = "rwlock"


class SeqcountTable(RivalTable):
    """A growing table under a sequence counter: a lookup that interrupts an update never returns."""

    __slots__ = ()
    design = "seqcount"


class PointerInFileTable(RivalTable):
    """A pointer in struct file: constant time, 8 bytes for every open file. A key names a stand-in for a file."""

    __slots__ = ()
    design = "file"


class PointerInInodeTable(RivalTable):
    """A pointer in the inode: constant time, 8 bytes for every cached inode. A key names a stand-in for an inode."""

    __slots__ = ()
    design = "inode"


class ReparseTable(RivalTable):
    """Today's way: nothing is stored, the note is parsed when asked. NotInMemoryError if its page is not in memory."""

    __slots__ = ()
    design = "reparse"

    def page_out(self, key: SupportsIndex) -> bool:
        """Takes the page of a file out of memory. Returns whether it was there."""
        table = self._open
        return bool(check(self._functions.page_out(table, self._key(table, key))) == lib.BID_OK)


RIVALS: tuple[type[RivalTable], ...] = (
    SpinlockTable,
    TryLockTable,
    FixedTable,
    GlobalLockTable,
    SeqcountTable,
    PointerInFileTable,
    PointerInInodeTable,
    ReparseTable,
)


def _answer(status: int, found: Any) -> bytes | None:
    if status == lib.BID_OK:
        return bytes(ffi.buffer(found.bytes, found.length))
    if status == lib.BID_ABSENT:
        return None
    if status == lib.BID_NO_BUILD_ID:
        return b""
    if status == lib.BID_STALE:
        raise StaleError
    if status == lib.RIVAL_BUSY:
        raise BusyError(str(BusyError.__doc__))
    if status == lib.RIVAL_NOT_IN_MEMORY:
        raise NotInMemoryError(str(NotInMemoryError.__doc__))
    check(status)
    raise AssertionError(status)
