# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""InodeCache: build IDs of inodes, by the flag-bit protocol of csrc/inode."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from pybuildid._arguments import build_id, uint
from pybuildid._core import ffi, lib
from pybuildid.errors import ArgumentTypeError
from pybuildid.table import Table, answer

if TYPE_CHECKING:
    from typing import SupportsIndex

    from typing_extensions import Self, Unpack

    from pybuildid._arguments import Buffer
    from pybuildid.table import TableOptions


class Inode:
    """An inode in C memory, made by InodeCache.inode(). Its address is its key in the table.

    When the last reference to it goes, it is evicted, and its memory may become another inode's.
    """

    __slots__ = ("__weakref__", "_cache", "_memory")

    def __init__(self, cache: InodeCache, memory: Any) -> None:
        if hasattr(self, "_memory"):
            raise TypeError("an Inode cannot be initialized twice: it is its address")
        self._cache = cache
        self._memory = memory

    def __new__(cls, cache: InodeCache | None = None, memory: Any = None) -> Self:
        if not isinstance(cache, InodeCache) or memory is None:
            raise TypeError("an Inode is made by InodeCache.inode()")
        return super().__new__(cls)

    def __del__(self) -> None:
        self._cache._drop(self._memory)

    @property
    def device(self) -> int:
        return int(self._memory.device)

    @property
    def number(self) -> int:
        return int(self._memory.number)

    @property
    def generation(self) -> int:
        return int(self._memory.generation)

    @property
    def address(self) -> int:
        """The key of this inode in the table."""
        return int(ffi.cast("uintptr_t", self._memory))

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Inode cannot be copied or pickled: it is its address")

    def __repr__(self) -> str:
        return f"<Inode {self.device:#x}:{self.number} generation {self.generation} at {self.address:#x}>"


class InodeCache:
    """Build IDs of inodes, keyed by the address of the inode, as Al Viro proposed it.

    A bit in the inode's flags says whether the table has an entry, so that the lookup of an inode without one costs one
    load. Of several associates the first wins, of an associate and an evict always the evict: once both have returned,
    the table has no entry for the inode.

        with InodeCache() as cache:
            inode = cache.inode(device=0x10302, number=339745, generation=0)
            cache.associate(inode, bytes.fromhex("3bb29d5ab8a7a9d2bf3a9b4e1e9ad6d0f1cf3d3c"))
            cache.lookup(inode)
            cache.evict(inode)

    Takes the arguments of Table. Threads, close() and fork: as for Table.
    """

    __slots__ = ("__weakref__", "_kept", "_table")

    def __init__(self, expected: int = 0, **options: Unpack[TableOptions]) -> None:
        if hasattr(self, "_table"):
            raise TypeError("an InodeCache cannot be initialized twice: make a new one")
        self._table = Table(expected=expected, **options)
        self._kept: list[Any] = []

    @property
    def table(self) -> Table:
        """The table, keyed by the addresses of the inodes: for its statistics, and to look up by address."""
        return self._table

    def close(self) -> None:
        """Closes the table. May be called again."""
        self._table.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("an InodeCache cannot be copied or pickled: its inodes are their addresses")

    def __repr__(self) -> str:
        return f"<InodeCache of {self._table!r}>"

    def inode(self, device: SupportsIndex, number: SupportsIndex, generation: SupportsIndex = 0) -> Inode:
        """A new inode with nothing associated: device and number have 64 bits, the generation has 32."""
        numbers = _numbers(device, number, generation)
        memory = ffi.new("struct bid_inode *")
        lib.bid_inode_init(memory, *numbers)
        return Inode(self, memory)

    def reuse(self, inode: Inode, device: SupportsIndex, number: SupportsIndex, generation: SupportsIndex = 0) -> None:
        """Makes the memory of an inode another inode's, as the kernel's allocator does. Evicts the old one first.

        No other call may be using the inode.
        """
        numbers = _numbers(device, number, generation)
        self.evict(inode)
        lib.bid_inode_init(inode._memory, *numbers)

    def associate(self, inode: Inode, id: Buffer) -> bool:
        """Associates a build ID with an inode; b"" says "known to have none". Returns whether it is the first one.

        Raises EvictedError if the inode has been evicted, or is evicted meanwhile, and the errors of Table.insert().
        After such an error, an inode that was evicted meanwhile may still have its entry: evict it once more.
        """
        data = build_id(id)
        status = lib.bid_inode_associate(self._table._open, self._memory(inode), data, len(data))
        return self._table._check(status, inode.address, len(data)) != lib.BID_EXISTS

    def lookup(self, inode: Inode) -> bytes | None:
        """The build ID of an inode, b"" if it is known to have none, None if nothing is associated.

        Raises StaleError if the table has an entry for this address, but of another generation.
        """
        entry = ffi.new("struct bid_build_id *")
        return answer(lib.bid_inode_lookup(self._table._open, self._memory(inode), entry), entry, inode.address)

    def evict(self, inode: Inode) -> bool:
        """Marks the inode as dying and removes its entry. Returns whether there was one. May be called again."""
        status = lib.bid_inode_evict(self._table._open, self._memory(inode))
        return self._table._check(status, inode.address) == lib.BID_OK

    def _memory(self, inode: Inode) -> Any:
        if not isinstance(inode, Inode) or inode._cache is not self:
            raise ArgumentTypeError("inode must be an Inode of this cache")
        return inode._memory

    def _drop(self, memory: Any, evict: Any = lib.bid_inode_evict) -> None:
        """The last reference is gone, perhaps as the interpreter ends, when this module is empty. Where the entry
        cannot be removed, the address must not come back."""
        table = self._table._table
        if table is not None and not self._table._life.ended and evict(table, memory) < 0:
            self._kept.append(memory)


def _numbers(device: SupportsIndex, number: SupportsIndex, generation: SupportsIndex) -> tuple[int, int, int]:
    return uint(device, 64, "device"), uint(number, 64, "number"), uint(generation, 32, "generation")
