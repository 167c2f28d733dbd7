# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Table: a mapping from 64-bit keys to build IDs, over the C table."""

from __future__ import annotations

import itertools
import os
import weakref
from array import array
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, Sized, ValuesView
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, TypedDict, TypeVar, cast, overload

from pybuildid._arguments import build_id, flag, output_buffer, separate, too_long, uint
from pybuildid._columns import Columns, check_pairs, id_rows, ids_of, integers, is_array, new_answers, rows_of
from pybuildid._core import ffi, lib
from pybuildid._saved import read_table, write_table
from pybuildid._statistics import TableStats, statistics_of
from pybuildid.errors import ArgumentTypeError, ClosedError, OptionsError, check, error_of

if TYPE_CHECKING:
    from typing import BinaryIO, Literal, SupportsIndex, Union

    from typing_extensions import Self, Unpack

    from pybuildid._arguments import Buffer
    from pybuildid._columns import Integers, Rows

    Entries = Union[Mapping[int, Buffer], Iterable[tuple[int, Buffer]]]

Ids = TypeVar("Ids", bound="Buffer")
Lengths = TypeVar("Lengths", bound="Buffer")
Default = TypeVar("Default")

NO_DEFAULT = object()
NO_BUILD_ID = int(lib.BID_LENGTH_NO_BUILD_ID)  # in lengths: "known to have no build ID"
STALE = int(lib.BID_LENGTH_STALE)  # in lengths: the entry is of another generation than the one asked for
CHUNK = 1 << 16  # entries of update() at a time


class Entry(NamedTuple):
    """All that an entry has but its key."""

    id: bytes  # b"": known to have no build ID
    generation: int


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

    entries: a mapping, or pairs of key and ID, with which the table begins. From another Table the generations are
        taken as well.
    expected: room for that many entries without growing; by default for those given.
    max_entries: an insert beyond it raises MaxEntriesError; nothing else is refused. 0: 2**32.
    retired_limit: for memory that waits for stalled readers, in bytes; 0: four times the largest bucket array + 16 MiB.
    seed: fixes the seeds, for tests. They then protect against no adversary.
    id_size: the longest build ID that fits, 1 to 64 bytes; by default 20, or that of the Table given. Every entry
        takes the memory of one that long; up to 20 bytes take the least.
    mlock: lock the table's memory, and the process's pins for good: nothing is swapped out. A child has no locks.
    fenced_pins: readers use a full fence even where the system has membarrier().

    Threads: every method may be called by any number of threads at once, and releases the GIL while C runs. insert(),
    replace(), evict(), lookup(), table[key], table[key] = id, del table[key] and setdefault() are atomic. pop() is a
    lookup and an eviction: it returns what was there just before. Iterating over keys, values or items is weakly
    consistent: an entry that stays throughout comes exactly once, none comes twice.

    close() may be called at any time, also while other threads use the table: their calls finish, later ones raise
    ClosedError. A child made by os.fork() has its own copy, which works at once.

    Many entries in one call: lookup_many(), insert_many(), upsert_many(), evict_many(), update(), columns(). They take
    lists, buffers and arrays. Table(table) copies a table, generations included. save() and load() keep one in a file.

    Complexity: lookups read at most a constant number of slots; the others are constant on average, growing included.
    len() takes constant time. Iteration, stats(), popitem() and clear() visit all slots.

    An argument that cannot be a key, such as -1 or "x", is an error everywhere, also in `key in table` and get().

    Errors: those of pybuildid.errors; an update may raise NoMemoryError, MaxEntriesError, RetiredLimitError,
    CollisionsError or MemoryLockError. An update of a single entry has then changed nothing.
    """

    __slots__ = ("__weakref__", "_id_size", "_life", "_max_entries", "_table")

    def __init__(
        self,
        entries: Entries = (),
        /,
        *,
        expected: int = 0,
        max_entries: int = 0,
        retired_limit: int = 0,
        seed: int | None = None,
        id_size: int | None = None,
        mlock: bool = False,
        fenced_pins: bool = False,
    ) -> None:
        if hasattr(self, "_table"):  # another thread may be using what is there
            raise TypeError("a Table cannot be initialized twice: make a new one")
        if not isinstance(entries, Iterable):
            raise ArgumentTypeError(f"entries must be a mapping or pairs, not {entries!r}; for room give expected=")
        options = ffi.new("struct bid_options *")
        options.size = ffi.sizeof("struct bid_options")
        options.expected_entries = uint(expected, 64, "expected")
        options.max_entries = uint(max_entries, 64, "max_entries")
        options.retired_limit = uint(retired_limit, 64, "retired_limit")
        options.seed = uint(0 if seed is None else seed, 64, "seed")
        if id_size is None:
            id_size = entries.id_size if isinstance(entries, Table) else lib.BID_ID_NARROW
        options.id_size = uint(id_size, 32, "id_size")
        if not 1 <= options.id_size <= lib.BID_ID_MAX:  # in C 0 is the default
            raise OptionsError(f"id_size must be 1 to {lib.BID_ID_MAX}, not {options.id_size}")
        if 0 < options.max_entries < options.expected_entries:
            raise OptionsError(f"expected must be at most max_entries, {max_entries}, not {expected}")
        if not expected and isinstance(entries, Sized):
            options.expected_entries = min(len(entries), options.max_entries or len(entries))
        options.flags = (
            (lib.BID_FIXED_SEED if seed is not None else 0)
            | (lib.BID_MLOCK if flag(mlock, "mlock") else 0)
            | (lib.BID_FENCED_PINS if flag(fenced_pins, "fenced_pins") else 0)
        )
        created = ffi.new("struct bid_table **")
        check(lib.bid_create(created, options), f"expected={expected}" if expected else "")
        self._id_size = options.id_size
        self._max_entries = max_entries
        self._own(created[0])
        self.update(entries)

    # -------------------------------------------------------------------------------------------- lifetime

    def _own(self, table: Any) -> None:
        """Destroys a table in C when nothing refers to it any more, calls that are under way included."""
        self._life = life = _Life()
        self._table: Any = ffi.gc(table, partial(_destroy, life))
        life.owner, life.user = weakref.ref(self._table), weakref.ref(self)
        _lives.add(life)

    @property
    def _open(self) -> Any:
        """The table in C, for one call, which holds this reference while it runs."""
        table = self._table
        if table is None or self._life.ended:
            raise ClosedError
        return table

    def close(self) -> None:
        """Frees the table's memory, as soon as the calls that are under way have returned. May be called again."""
        self._table = None

    @property
    def closed(self) -> bool:
        """Whether close() has been called."""
        return self._table is None or self._life.ended

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def id_size(self) -> int:
        """The longest build ID that fits, in bytes, and the width of a row of the bulk calls."""
        return int(self._id_size)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Table cannot be pickled or copied so: Table(table) is a copy, and save() writes a file")

    def __repr__(self) -> str:
        try:
            return f"<Table, {len(self)} entries>"
        except ClosedError:
            return "<Table, closed>"

    # --------------------------------------------------------------------------------------------- entries

    def _check(self, status: int, key: int | None = None, length: int = 0) -> int:
        """As check(), with what the caller can act on."""
        return status if status >= 0 else check(status, self._details(status, key, length))

    def _details(self, status: int, key: int | None = None, length: int = 0) -> str:
        told = [] if key is None else [f"key {key:#x}"]
        if status == lib.BID_E_ID_LENGTH:
            told.append(too_long(length, self._id_size))
        elif status == lib.BID_E_MAX_ENTRIES:
            told.append(f"max_entries is {self._max_entries}")
        elif status == lib.BID_E_RETIRED:
            told.append(f"{self.reclaim()} bytes wait")
        return ", ".join(told)

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
        return answer(status, entry, number)

    def entry(self, key: SupportsIndex) -> Entry | None:
        """The entry of a key, build ID and generation, or None if there is none."""
        found = ffi.new("struct bid_build_id *")
        id = answer(lib.bid_lookup(self._open, uint(key, 64, "key"), found), found)
        return None if id is None else Entry(id, int(found.generation))

    def insert(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """Inserts an entry if the key has none of any generation. Returns whether it did."""
        return self._put(lib.bid_insert, key, id, generation) != lib.BID_EXISTS

    def replace(self, key: SupportsIndex, id: Buffer, generation: SupportsIndex = 0) -> bool:
        """Replaces the entry of a key, its generation included, if there is one. Returns whether there was."""
        return self._put(lib.bid_replace, key, id, generation) != lib.BID_ABSENT

    def _put(self, function: Any, key: SupportsIndex, id: Buffer, generation: SupportsIndex) -> int:
        data, number = build_id(id), uint(key, 64, "key")
        status = function(self._open, number, uint(generation, 32, "generation"), data, len(data))
        return self._check(status, number, len(data))

    def evict(self, key: SupportsIndex, generation: SupportsIndex | None = None) -> bool:
        """Removes the entry of a key; with a generation only an entry of that one. Returns whether it did."""
        number = uint(key, 64, "key")
        if generation is None:
            status = lib.bid_remove(self._open, number)
        else:
            status = lib.bid_remove_generation(self._open, number, uint(generation, 32, "generation"))
        return self._check(status, number) == lib.BID_OK

    def __getitem__(self, key: SupportsIndex) -> bytes:
        found = self.lookup(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: SupportsIndex, id: Buffer) -> None:
        self._put(lib.bid_upsert, key, id, 0)

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
        capacity = len(self)
        while True:
            capacity += capacity // 8 + 64  # for those that come meanwhile
            keys = array("Q", bytes(8 * capacity))
            with ffi.from_buffer("uint64_t[]", keys) as pointer:
                seen = lib.bid_keys(self._open, pointer, capacity)
            if seen <= capacity:
                return iter(keys[:seen])
            capacity = seen

    def values(self) -> ValuesView[bytes]:
        """The build IDs."""
        return _Values(self)

    @overload
    def items(self) -> ItemsView[int, bytes]: ...

    @overload
    def items(self, *, generations: Literal[True]) -> ItemsView[int, Entry]: ...

    def items(self, *, generations: bool = False) -> ItemsView[int, Any]:
        """Pairs of key and build ID, or with generations=True of key and Entry(id, generation)."""
        return _Entries(cast("Any", self)) if flag(generations, "generations") else _Items(self)

    def update(self, entries: Entries = (), /) -> None:  # type: ignore[override]  # keys are no keywords
        """Inserts or replaces the entries of a mapping, or of pairs of key and ID, with generation 0; those of another
        Table with their generations. After an error the entries before the one that failed may be there."""
        if isinstance(entries, Table):
            columns = entries.columns()
            self._change(lib.bid_rows_upsert, columns.keys, columns, entries.id_size)
            return
        pairs = iter(entries.items() if isinstance(entries, Mapping) else entries)
        done = 0
        while chunk := list(itertools.islice(pairs, CHUNK)):
            try:
                self.upsert_many([key for key, _ in chunk], [id for _, id in chunk])
            except (TypeError, ValueError, OverflowError):
                check_pairs(chunk, done, self._id_size)
                raise
            done += len(chunk)

    def columns(self) -> Columns:
        """All entries, each as it is at some moment of this call: keys, ids, lengths (255, NO_BUILD_ID, for "known to
        have no build ID") and generations. np.asarray() makes arrays of them without a copy."""
        n = len(self)
        while True:
            room = n + n // 8 + 64  # for those that come meanwhile
            found = Columns(
                array("Q", bytes(8 * room)),
                bytearray(room * self._id_size),
                bytearray(room),
                array("I", bytes(4 * room)),
            )
            with ExitStack() as stack:
                rows = rows_of(stack, found.keys, found.ids, self._id_size, found.lengths, found.generations)
                n = int(lib.bid_rows_read(self._open, rows, room))
            if n <= room:
                del found.keys[n:], found.ids[n * self._id_size :], found.lengths[n:], found.generations[n:]
                return found

    def _pairs(self) -> Iterator[tuple[int, bytes]]:
        """In one reading of the table, so that an entry that goes meanwhile is left out."""
        return ids_of(self.columns(), self._id_size)

    def _entries(self) -> Iterator[tuple[int, Entry]]:
        columns = self.columns()
        for (key, id), generation in zip(ids_of(columns, self._id_size), columns.generations):
            yield key, Entry(id, generation)

    def save(self, file: str | os.PathLike[str] | BinaryIO) -> None:
        """Writes all entries to a file, each as it is at some moment of this call. The file is a path or an open binary
        file. After an error a path has what it had before, if its folder may be written. Format: docs/table-file.md.
        Raises OSError."""
        write_table(file, self.columns(), self._id_size)

    @classmethod
    def load(cls, file: str | os.PathLike[str] | BinaryIO, **options: Unpack[TableOptions]) -> Self:
        """A table with the entries of a file of save(), and these options; id_size is that of the saved table, if not
        given. Raises SavedTableError for any other file, also one that is cut off or damaged, and OSError."""
        columns, id_size = read_table(file)
        options.setdefault("id_size", id_size)
        table = cls(expected=min(len(columns.keys), options.get("max_entries") or len(columns.keys)), **options)
        table._change(lib.bid_rows_insert, columns.keys, columns, id_size)
        return table

    @property
    def nbytes(self) -> int:
        """The memory of the table, in bytes: its arrays, also those that wait to be freed. Visits all slots."""
        stats = self.stats()
        return stats.bytes_slots + stats.bytes_records + stats.bytes_retired

    def reserve(self, entries: SupportsIndex) -> None:
        """Makes room for that many entries in all, so that inserts up to there do not allocate.

        Raises BusyError if other threads shrink the table again and again meanwhile.
        """
        number = uint(entries, 64, "entries")
        status = lib.bid_reserve(self._open, number)
        if status < 0:
            raise error_of(status, ", ".join(filter(None, [f"room for {number} entries", self._details(status)])))

    def shrink(self) -> bool:
        """Gives up reserved room and shrinks to what the entries need. Returns whether there was something to gain."""
        return self._check(lib.bid_shrink(self._open)) == lib.BID_OK

    def reclaim(self) -> int:
        """Frees retired memory that no reader can see, without waiting. Returns how many bytes still wait."""
        return int(lib.bid_reclaim(self._open))

    def stats(self) -> TableStats:
        """Counts the statistics."""
        return statistics_of(self._open)

    # ----------------------------------------------------------------------------------------- bulk calls

    @overload
    def lookup_many(self, keys: Integers, *, generations: Integers | None = None) -> tuple[bytearray, bytearray]: ...

    @overload
    def lookup_many(
        self, keys: Integers, *, ids: Ids, lengths: Lengths, generations: Integers | None = None
    ) -> tuple[Ids, Lengths]: ...

    def lookup_many(
        self, keys: Integers, *, ids: Any = None, lengths: Any = None, generations: Integers | None = None
    ) -> tuple[Any, Any]:
        """Looks up n keys in one call: returns (ids, lengths).

        keys: integers: a list, a buffer such as array('Q'), a NumPy array, a Series. Contiguous native uint64 is read
            where it is; anything else is copied.
        ids: n rows of id_size bytes, each a build ID padded with zeros.
        lengths: n bytes: the length of each build ID, 0 where there is no entry, 255 (NO_BUILD_ID) for "known to have
            no build ID", 254 (STALE) for an entry of another generation than asked for.
        generations: n integers of 32 bits: asks for an entry of that generation. Without them, of any.

        Without ids and lengths, two new ones are made: of keys in an array uint8 arrays of NumPy, in two dimensions and
        in one, else bytearrays. To allocate nothing, give both: writable contiguous buffers of bytes, of any shape and
        at least that size; they are filled from their beginning and returned.

        Each key is looked up for itself: the answers are no snapshot of the table. None of the buffers may be changed
        by another thread meanwhile, and they may not overlap.
        """
        if (ids is None) != (lengths is None):
            raise ArgumentTypeError("give both ids and lengths, or neither")
        numbers = integers(keys, 64, "keys")
        width, n = self._id_size, len(memoryview(numbers))
        if ids is None:
            ids, lengths = new_answers(n, width, arrays=is_array(keys))
        with ExitStack() as stack:
            key_pointer = stack.enter_context(ffi.from_buffer("uint64_t[]", numbers))
            id_pointer = stack.enter_context(output_buffer(ids, "ids", n * width))
            length_pointer = stack.enter_context(output_buffer(lengths, "lengths", n))
            separate(keys=(key_pointer, 8 * n), ids=(id_pointer, n * width), lengths=(length_pointer, n))
            if generations is None:
                lib.bid_lookup_many(self._open, key_pointer, n, id_pointer, width, length_pointer)
            else:
                wanted = integers(generations, 32, "generations", n)
                lib.bid_rows_lookup(self._open, rows_of(stack, numbers, ids, width, lengths, wanted), n)
        return ids, lengths

    def insert_many(
        self, keys: Integers, ids: Rows, lengths: Integers | None = None, generations: Integers | None = None
    ) -> int:
        """Inserts n entries in one call: returns how many were new. Others are left as they are.

        keys: n integers, as for lookup_many().
        ids: n rows: a list of build IDs, a two-dimensional buffer or array of bytes, an array of S20, V20 or the like,
            or n * id_size bytes.
        lengths: n integers, the length of each build ID; 0 or 255 (NO_BUILD_ID) for "known to have no build ID". None:
            each is as long as its row or, in a list, as it is.
        generations: n integers of 32 bits. None: 0.

        Stops at the first error, such as IdLengthError; the entries before it stay, and the error's `inserted` says how
        many of them were new.
        """
        return self._change_many(lib.bid_rows_insert, keys, ids, lengths, generations)

    def upsert_many(
        self, keys: Integers, ids: Rows, lengths: Integers | None = None, generations: Integers | None = None
    ) -> int:
        """As insert_many(), but replaces entries that are there. Takes the rows in their order."""
        return self._change_many(lib.bid_rows_upsert, keys, ids, lengths, generations)

    def evict_many(self, keys: Integers, generations: Integers | None = None) -> int:
        """Removes the entries of n keys in one call; with generations only those of that generation. Returns how many
        were removed. Stops at the first error; what was removed before it stays so."""
        columns = Columns(integers(keys, 64, "keys"), b"", None, generations)  # type: ignore[arg-type]
        return self._change(lib.bid_rows_remove, columns.keys, columns, self._id_size)

    def _change_many(self, function: Any, keys: Any, ids: Any, lengths: Any, generations: Any) -> int:
        numbers: Any = integers(keys, 64, "keys")
        rows = id_rows(ids, len(memoryview(numbers)), self._id_size)
        if rows.lengths is not None and lengths is not None:
            raise ArgumentTypeError("a list of ids has their lengths: give none besides")
        columns: Any = Columns(numbers, rows.rows, rows.lengths if lengths is None else lengths, generations)  # type: ignore[arg-type]
        return self._change(function, numbers, columns, rows.width)

    def _change(self, function: Any, keys: Any, columns: Columns, width: int) -> int:
        """Calls a function of rows.h that changes the table. Returns how many entries were new, or removed."""
        n = len(memoryview(keys))
        lengths = None if columns.lengths is None else integers(columns.lengths, 8, "lengths", n)
        generations = None if columns.generations is None else integers(columns.generations, 32, "generations", n)
        done = ffi.new("struct bid_rows_done *")
        with ExitStack() as stack:
            status = function(self._open, rows_of(stack, keys, columns.ids, width, lengths, generations), n, done)
        if status < 0:
            length = width if lengths is None else memoryview(lengths)[done.row]
            error = error_of(status, self._details(status, int(memoryview(keys)[done.row]), int(length)))
            error.inserted = int(done.changed)
            raise error
        return int(done.changed)


# ------------------------------------------------------------------------------------------- tables in C


class _Life:
    """Of a table in C. owner: in cffi. user: the Table. ended: whether it is destroyed; finalizers of a cycle of
    garbage may use a Table even then."""

    owner: weakref.ref[Any]
    user: weakref.ref[Table]
    ended = False


_lives: set[_Life] = set()  # of all tables in C that are not destroyed


def _destroy(life: _Life, table: Any, lives: set[_Life] = _lives, destroy: Any = lib.bid_destroy) -> None:
    """By its own references: when the interpreter ends, this module is emptied before the last tables go."""
    lives.remove(life)
    life.ended = True
    destroy(table)


def _after_fork() -> None:
    """In the child. Calls that were under way in other threads never return here, so what they hold is given up."""
    for life in list(_lives):
        table, user = life.owner(), life.user()
        if table is None:
            continue
        ffi.gc(table, None)
        if user is None or user._table is None:
            _destroy(life, table)
        else:
            _lives.remove(life)
            user._own(ffi.cast("struct bid_table *", table))


os.register_at_fork(after_in_child=_after_fork)


class _Entries(ItemsView[int, Entry]):
    _mapping: Table

    def __iter__(self) -> Iterator[tuple[int, Entry]]:
        return self._mapping._entries()

    def __contains__(self, item: Any) -> bool:
        key, entry = item
        return bool(self._mapping.entry(key) == entry)


class _Items(ItemsView[int, bytes]):
    _mapping: Table

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self._mapping._pairs()


class _Values(ValuesView[bytes]):
    _mapping: Table

    def __iter__(self) -> Iterator[bytes]:
        return (id for _, id in self._mapping._pairs())


def answer(status: int, entry: Any, key: int | None = None) -> bytes | None:
    """What a lookup says, from its status and its struct bid_build_id."""
    if status == lib.BID_OK:
        return bytes(ffi.buffer(entry.bytes, entry.length))
    if status == lib.BID_ABSENT:
        return None
    if status == lib.BID_NO_BUILD_ID:
        return b""
    if status == lib.BID_STALE:
        raise error_of(status, "" if key is None else f"key {key:#x}")
    check(status)
    raise AssertionError(status)
