# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every error: its class, code, name and text, and that it comes when it should."""

from __future__ import annotations

import copy
import mmap
import os
import pickle
import re
import resource
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Work, make_arrays, make_entries

from pybuildid import InodeCache, Table, errors
from pybuildid._core import ffi, lib

HEADER = Path(__file__).parents[1] / "csrc/include/bid/status.h"
CODES = {name: int(code) for name, code in re.findall(r"^ +(BID_E_\w+) =\s+(-\d+),", HEADER.read_text(), re.M)}
CLASSES = {error.code: error for error in errors.BuildIdTableError.__subclasses__() if error.code is not None}

FROM_C_ALONE = {lib.BID_E_NULL, lib.BID_E_WOULD_ALLOCATE, lib.BID_E_REGION}


def test_one_class_for_each_code_of_the_header() -> None:
    assert len(CODES) >= 10
    wanted = {*CODES.values(), lib.BID_STALE}
    assert set(CLASSES) == wanted - FROM_C_ALONE
    assert len(wanted) == len(CODES) + 1
    for name, code in CODES.items():
        assert name == ffi.string(lib.bid_status_name(code)).decode()
        assert code in FROM_C_ALONE or CLASSES[code].name == name


@pytest.mark.parametrize("code", sorted(CODES.values()))
def test_check_raises_the_class_of_a_code(code: int) -> None:
    """Also those that the Python interface gives no way to: NULL, updates for NMI context."""
    with pytest.raises(errors.BuildIdTableError) as caught:
        errors.check(code)
    assert type(caught.value) is CLASSES.get(code, errors.BuildIdTableError)
    text = ffi.string(lib.bid_status_text(code)).decode()
    assert str(caught.value) == text.replace("options.", "")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_check_passes_what_is_no_error() -> None:
    for status in (lib.BID_OK, lib.BID_ABSENT, lib.BID_STALE, lib.BID_NO_BUILD_ID, lib.BID_EXISTS):
        assert errors.check(status) == status


def test_built_in_bases() -> None:
    for error in CLASSES.values():
        text = f"{error.name}"
        memory = re.search("MEMORY|RETIRED|MLOCK", text) is not None
        argument = re.search("LENGTH|OPTION|TOO_MANY|EVICTED", text) is not None
        assert issubclass(error, MemoryError) == memory, error
        assert issubclass(error, ValueError) == argument, error
    assert issubclass(errors.StaleError, LookupError)
    assert issubclass(errors.ArgumentTypeError, TypeError)
    assert issubclass(errors.ArgumentRangeError, OverflowError)
    assert issubclass(errors.BufferSizeError, ValueError)
    assert issubclass(errors.ClosedError, ValueError)


REFUSED_OPTIONS: list[tuple[dict[str, Any], type[errors.BuildIdTableError]]] = [
    ({"id_size": 0}, errors.OptionsError),
    ({"id_size": 65}, errors.OptionsError),
    ({"expected": 2**32 + 1}, errors.TooManyEntriesError),
    ({"max_entries": 2**32 + 1}, errors.TooManyEntriesError),
    ({"expected": 10**6, "max_entries": 10**6 - 1}, errors.OptionsError),
    ({"expected": -1}, errors.ArgumentRangeError),
    ({"expected": 2**64}, errors.ArgumentRangeError),
    ({"expected": 1.5}, errors.ArgumentTypeError),
    ({"expected": "1"}, errors.ArgumentTypeError),
    ({"max_entries": -1}, errors.ArgumentRangeError),
    ({"retired_limit": 2**64}, errors.ArgumentRangeError),
    ({"seed": 2**64}, errors.ArgumentRangeError),
    ({"seed": -1}, errors.ArgumentRangeError),
    ({"id_size": -1}, errors.ArgumentRangeError),
    ({"id_size": 2**32}, errors.ArgumentRangeError),
    ({"id_size": "20"}, errors.ArgumentTypeError),
]


@pytest.mark.parametrize(("options", "error"), REFUSED_OPTIONS, ids=str)
def test_refused_options(options: dict[str, Any], error: type[errors.BuildIdTableError]) -> None:
    with pytest.raises(error) as caught:
        Table(**options)
    assert type(caught.value) is error
    assert str(caught.value)


def test_unknown_option() -> None:
    with pytest.raises(TypeError, match="buckets"):
        Table(buckets=5)  # type: ignore[call-arg]


BY_KEY: list[Callable[[Table, Any], object]] = [
    lambda table, key: table[key],
    lambda table, key: table.get(key),
    lambda table, key: key in table,
    lambda table, key: table.__setitem__(key, b"x"),
    lambda table, key: table.__delitem__(key),
    lambda table, key: table.lookup(key),
    lambda table, key: table.insert(key, b"x"),
    lambda table, key: table.replace(key, b"x"),
    lambda table, key: table.evict(key),
    lambda table, key: table.pop(key, None),
    lambda table, key: table.setdefault(key, b"x"),
    lambda table, key: table.reserve(key),
]


@pytest.mark.parametrize("number", range(len(BY_KEY)))
def test_refused_keys(number: int) -> None:
    table = Table()
    for key in (-1, 2**64, 10**30):
        with pytest.raises(errors.ArgumentRangeError, match=re.escape(f"0 to 2**64 - 1, not {key}")):
            BY_KEY[number](table, key)
    for wrong in ("1", 1.0, None, b"1", [1]):
        with pytest.raises(errors.ArgumentTypeError, match=f"must be an integer, not {type(wrong).__name__}"):
            BY_KEY[number](table, wrong)
    assert len(table) == 0


@pytest.mark.parametrize("name", ["mlock", "fenced_pins"])
def test_refused_flags(name: str) -> None:
    for wrong in ("no", 1, None):
        options: dict[str, Any] = {name: wrong}
        with pytest.raises(errors.ArgumentTypeError, match=re.escape(f"{name} must be True or False, not {wrong!r}")):
            Table(**options)


def test_refused_generations() -> None:
    table = Table()
    calls: list[Callable[[Any], object]] = [
        lambda generation: table.lookup(1, generation),
        lambda generation: table.insert(1, b"x", generation),
        lambda generation: table.replace(1, b"x", generation),
        lambda generation: table.evict(1, generation),
    ]
    for call in calls:
        for number in (-1, 2**32):
            with pytest.raises(errors.ArgumentRangeError, match="generation must be 0 to"):
                call(number)
        with pytest.raises(errors.ArgumentTypeError, match="generation must be an integer"):
            call("1")
    assert len(table) == 0


BY_ID: list[Callable[[Table, Any], object]] = [
    lambda table, value: table.__setitem__(1, value),
    lambda table, value: table.insert(1, value),
    lambda table, value: table.replace(1, value),
    lambda table, value: table.setdefault(1, value),
]


@pytest.mark.parametrize("number", range(len(BY_ID)))
def test_refused_ids(number: int) -> None:
    table = Table()
    for id in (bytes(21), bytes(1000), memoryview(bytes(21))):
        with pytest.raises(errors.IdLengthError, match="longer than the table's id_size"):
            BY_ID[number](table, id)
    for wrong in ("abc", None, 20, [1, 2]):
        with pytest.raises(errors.ArgumentTypeError, match=f"not {type(wrong).__name__}"):
            BY_ID[number](table, wrong)
    assert len(table) == 0


def test_too_many_reserved() -> None:
    with pytest.raises(errors.TooManyEntriesError):
        Table().reserve(2**32 + 1)


def test_max_entries() -> None:
    """The table stays as it is, and goes on where there is room."""
    entries = make_entries(2000)
    table = Table(max_entries=1000)
    with pytest.raises(errors.MaxEntriesError, match="as many entries as its max_entries allows"):
        table.update(entries)
    assert dict(table) == dict(list(entries.items())[:1000])
    for key in list(table)[:500]:
        table[key] = b"y"
        assert table.replace(key, b"z") is True
    with pytest.raises(errors.MaxEntriesError):
        table.reserve(1001)
    with pytest.raises(errors.MaxEntriesError):
        table[1] = b"x"
    del table[list(entries)[999]]
    table[1] = b"x"
    assert table[1] == b"x"
    assert len(table) == 1000


def test_no_memory(in_child: Callable[[Work], None]) -> None:
    def work() -> None:
        table = Table()
        table[1] = b"x"
        resource.setrlimit(resource.RLIMIT_AS, (0, resource.RLIM_INFINITY))
        with pytest.raises(errors.NoMemoryError):
            table.reserve(10**7)
        with pytest.raises(errors.NoMemoryError):
            Table(expected=10**7)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        table.reserve(10**4)
        assert dict(table) == {1: b"x"}

    in_child(work)


def test_memory_not_lockable(in_child: Callable[[Work], None]) -> None:
    def work() -> None:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
        if os.geteuid() == 0:
            os.setuid(65534)  # the superuser may lock any memory
        with pytest.raises(errors.MemoryLockError, match="RLIMIT_MEMLOCK"):
            Table(mlock=True)

    in_child(work)


def resize(table: Table, times: int) -> None:
    for _ in range(times):
        table.reserve(1_000_000)
        table.shrink()


def test_retired_limit() -> None:
    """A reader that takes its time keeps the memory of each resize, and with hardly any allowed updates fail."""
    keys, ids = make_arrays(make_entries(200_000))
    table = Table(retired_limit=1)
    table.insert_many(keys, ids)
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            table.stats()  # pinned all the while

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with pytest.raises(errors.RetiredLimitError):
            resize(table, times=1000)
    finally:
        stop.set()
        reader.join()
    assert table.reclaim() == 0
    table.shrink()
    assert table.lookup_many(keys)[0] == ids


def test_evicted_and_foreign_inodes() -> None:
    cache, other = InodeCache(), InodeCache()
    inode = cache.inode(1, 2, 3)
    cache.evict(inode)
    with pytest.raises(errors.EvictedError):
        cache.associate(inode, b"x")
    calls: list[Callable[[Any], object]] = [
        other.lookup,
        other.evict,
        lambda inode: other.associate(inode, b"x"),
        lambda inode: other.reuse(inode, 1, 2),
    ]
    for call in calls:
        for wrong in (inode, 5, None):
            with pytest.raises(errors.ArgumentTypeError, match="Inode of this cache"):
                call(wrong)


def test_closed() -> None:
    table = Table()
    table.close()
    with pytest.raises(errors.ClosedError) as caught:
        table[1] = b"x"
    assert (caught.value.code, caught.value.name) == (None, None)
    assert str(caught.value) == "the table has been closed"


def test_what_was_inserted_comes_through_copies() -> None:
    with pytest.raises(errors.IdLengthError) as caught:
        Table(id_size=2).insert_many(array("Q", [1, 2, 3]), b"aabbcc", b"\2\2\3")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert error.inserted == 2
        assert str(error) == str(caught.value)


def test_numbers_that_python_does_not_print() -> None:
    with pytest.raises(errors.ArgumentRangeError, match="a number of 16610 bits"):
        10**5000 in Table()  # noqa: B015


def test_buffers_that_are_none_any_more() -> None:
    released = memoryview(b"12345678")
    released.release()
    closed = mmap.mmap(-1, 4096)
    closed.close()
    for nothing in (released, closed):
        with pytest.raises(errors.ArgumentTypeError, match="cannot be read as a buffer"):
            Table().lookup_many(nothing)


def test_errors_of_callers_of_c() -> None:
    table = ffi.new("struct bid_table **")
    size = ffi.sizeof("struct bid_options")
    options = [
        {"size": 7},
        {"size": size, "flags": 1 << 30},
        {"size": size, "seed": 5},
    ]
    for values in options:
        with pytest.raises(errors.OptionsError):
            errors.check(lib.bid_create(table, ffi.new("struct bid_options *", values)))
        assert table[0] == ffi.NULL
    with pytest.raises(errors.BuildIdTableError, match="pointer is NULL"):
        errors.check(lib.bid_create(ffi.NULL, ffi.NULL))
    keys = array("Q", [1])
    with pytest.raises(errors.BuildIdTableError, match="pointer is NULL"):
        errors.check(
            lib.bid_insert_many(Table()._open, ffi.from_buffer("uint64_t[]", keys), 1, ffi.NULL, 20, ffi.NULL, ffi.NULL)
        )


@pytest.mark.parametrize("options", [{"seed": ""}, {"seed": 0.0}, {"retired_limit": ""}, {"id_size": []}])
def test_what_is_false_is_no_default(options: dict[str, Any]) -> None:
    with pytest.raises(errors.BuildIdTableError):
        Table(**options)


def test_options_have_their_python_names() -> None:
    with pytest.raises(errors.OptionsError, match="id_size must be 1 to 64, not 65"):
        Table(id_size=65)
    with pytest.raises(errors.OptionsError, match="expected must be at most max_entries, 5, not 6"):
        Table(expected=6, max_entries=5)
    assert str(errors.BuildIdTableError()) == ""
