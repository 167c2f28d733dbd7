# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Columns of bulk calls, from lists, buffers and arrays to what C reads. NumPy is imported only where its arrays come.

What already has C's form is passed as it is; anything else is copied. What does not fit raises an error of errors.py,
which names the item.
"""

from __future__ import annotations

import reprlib
import sys
from array import array
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from pybuildid._arguments import build_id, too_long, uint, view_of
from pybuildid._core import ffi, lib
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError, BufferSizeError, IdLengthError, error_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Protocol, SupportsIndex, Union

    from pybuildid._arguments import Buffer

    class Array(Protocol):
        """What NumPy takes for an array, such as a Series."""

        @property
        def __array__(self) -> Any: ...

    Integers = Union[Buffer, Array, Iterable[SupportsIndex]]
    Rows = Union[Buffer, Array, Sequence[Buffer]]

CODES = {8: "B", 32: "I", 64: "Q"}  # of array, by bits
NATIVE = "<" if sys.byteorder == "little" else ">"
NUMBERS = frozenset("bhHiIlLqQnN")  # formats of integers; B is what mere bytes have


class Columns(NamedTuple):
    """Entries as columns, in the order of the arguments of insert_many() and upsert_many()."""

    keys: array[int]
    ids: bytearray  # a row of id_size bytes for each key
    lengths: bytearray
    generations: array[int]


class Ids(NamedTuple):
    """Build IDs as C takes them: rows of `width` bytes; lengths only if they were a list."""

    rows: Any
    width: int
    lengths: bytes | None = None


def is_array(value: object) -> bool:
    """Whether it is an array of NumPy, or something that has the form of one, such as a Series."""
    return hasattr(type(value), "__array__")


def integers(value: Integers, bits: int, name: str, n: int | None = None) -> Any:
    """A contiguous, aligned buffer of n unsigned native integers of so many bits."""
    if is_array(value):
        found = _from_array(value, bits, name)
    elif isinstance(value, Iterable) and not _has_buffer(value) and not isinstance(value, str):
        found = _from_items(list(value), bits, name)
    elif _has_buffer(value):
        found = _from_buffer(value, bits, name)
    else:
        raise ArgumentTypeError(f"{name} must be integers in a list, buffer or array, not {type(value).__name__}")
    with memoryview(found) as view:
        if n is not None and len(view) != n:
            raise BufferSizeError(f"{name} must have {n} items, one a key, not {len(view)}")
    return found


def id_rows(value: Rows, n: int, id_size: int) -> Ids:
    """n build IDs: a list of them, rows of a two-dimensional buffer, S20 or V20 items, or n * id_size bytes."""
    if isinstance(value, (list, tuple)):
        return _from_ids(value, n, id_size)
    if is_array(value):
        return _rows_of_array(value, n, id_size)
    with view_of(value, "ids") as view:
        if view.itemsize != 1:
            raise ArgumentTypeError(f"ids must be bytes, not items of {view.itemsize} bytes")
        width = view.shape[1] if view.shape and view.ndim == 2 else id_size
        _check_rows(view.nbytes, n, width)
        return Ids(value if view.c_contiguous else view.tobytes(), width)


# -------------------------------------------------------------------------------------------- integers


def _has_buffer(value: object) -> bool:
    try:
        memoryview(value).release()  # type: ignore[arg-type]
    except TypeError:
        return False
    except (ValueError, BufferError):
        pass  # what is wrong with it is said later
    return True


def _from_items(items: list[Any], bits: int, name: str) -> array[int]:
    try:
        return array(CODES[bits], items)
    except (TypeError, OverflowError):
        return array(CODES[bits], [uint(item, bits, f"{name}[{i}]") for i, item in enumerate(items)])


def _from_buffer(value: Any, bits: int, name: str) -> Any:
    code, size = CODES[bits], bits // 8
    with view_of(value, name) as view:
        form = view.format.lstrip("@=" + NATIVE)
        if view.ndim == 1 and view.itemsize == size and form in (code, "L", "c"):  # L is NumPy's name for Q
            if view.c_contiguous and not int(ffi.cast("uintptr_t", ffi.from_buffer(view))) % size:
                return value
            copy = array(code)
            copy.frombytes(view.tobytes())
            return copy
        if view.ndim == 1 and view.format.lstrip("@") in NUMBERS:
            return _from_items(view.tolist(), bits, name)
        raise ArgumentTypeError(
            f"{name} must be integers in one dimension: a list, array({code!r}) or a NumPy array, not "
            f"{view.ndim}-dimensional of items {view.format!r} of {view.itemsize} bytes"
        )


def _from_array(value: Any, bits: int, name: str) -> Any:
    import numpy as np

    items = np.asarray(value)
    if items.ndim != 1:
        raise ArgumentTypeError(f"{name} must be integers in one dimension, not {items.ndim}-dimensional")
    if items.dtype.kind == "O":
        return _from_items(items.tolist(), bits, name)
    if items.dtype.kind not in "ui" and items.size:
        raise ArgumentTypeError(f"{name} must be integers, not {items.dtype}")
    if items.dtype.kind != "u" or items.dtype.itemsize * 8 > bits:
        wrong = (items < 0) | (items > 2**bits - 1)
        if wrong.any():
            i = int(wrong.argmax())
            raise ArgumentRangeError(f"{name}[{i}] must be 0 to 2**{bits} - 1, not {items[i]}")
    return np.require(items, f"u{bits // 8}", ["C", "A"])


# ----------------------------------------------------------------------------------------------- build IDs


def _check_rows(size: int, n: int, width: int) -> None:
    if size != n * width:
        raise BufferSizeError(f"ids must be {n * width} bytes, {n} rows of {width}, not {size}")


def _from_ids(values: Sequence[Any], n: int, id_size: int) -> Ids:
    if len(values) != n:
        raise BufferSizeError(f"ids must have {n} items, one a key, not {len(values)}")
    ids = values
    if not set(map(type, values)) <= {bytes}:
        ids = [build_id(value, f"ids[{i}]") for i, value in enumerate(values)]
    lengths = list(map(len, ids))
    longest = max(lengths, default=0)
    if longest > id_size:
        raise IdLengthError(f"ids[{lengths.index(longest)}] is longer than id_size: {too_long(longest, id_size)}")
    padded = ids if set(lengths) <= {id_size} else [id.ljust(id_size, b"\0") for id in ids]
    return Ids(b"".join(padded), id_size, bytes(lengths))


def _rows_of_array(value: Any, n: int, id_size: int) -> Ids:
    import numpy as np

    rows = np.asarray(value)
    if rows.dtype.kind == "O":
        return _from_ids(rows.tolist(), n, id_size)
    if rows.dtype.kind in "SV" and rows.ndim == 1:  # fixed-size items, zeros at their end included
        width = rows.dtype.itemsize
    elif rows.dtype.itemsize == 1 and rows.dtype.kind in "uiSV":
        width = rows.shape[1] if rows.ndim == 2 else id_size
    else:
        raise ArgumentTypeError(f"ids must be bytes, such as uint8, S20 or V20, not {rows.dtype}")
    _check_rows(rows.nbytes, n, width)
    return Ids(np.ascontiguousarray(rows).reshape(-1).view("u1") if rows.size else b"", width)


def check_pairs(pairs: Iterable[Any], first: int, id_size: int) -> None:
    """Raises the error of the first pair that cannot be an entry. first: its number among all that were given."""
    for at, pair in enumerate(pairs, first):
        try:
            key, id = pair
        except (TypeError, ValueError):
            wrong = reprlib.repr(pair)
            raise ArgumentTypeError(f"entries[{at}] must be a pair of key and build ID, not {wrong}") from None
        number = uint(key, 64, f"the key of entries[{at}]")
        data = build_id(id, f"the build ID of key {number:#x}")
        if len(data) > id_size:
            raise error_of(lib.BID_E_ID_LENGTH, f"key {number:#x}, {too_long(len(data), id_size)}")


# --------------------------------------------------------------------------------------------------- C


def new_answers(n: int, width: int, *, arrays: bool) -> tuple[Any, Any]:
    """Where lookup_many() writes."""
    if not arrays:
        return bytearray(n * width), bytearray(n)
    import numpy as np

    return np.empty((n, width), np.uint8), np.empty(n, np.uint8)


def ids_of(columns: Columns, width: int) -> Iterator[tuple[int, bytes]]:
    """Keys and their build IDs."""
    ids, none = bytes(columns.ids), lib.BID_LENGTH_NO_BUILD_ID
    for key, start, length in zip(columns.keys, range(0, len(ids), width), columns.lengths):
        yield key, b"" if length == none else ids[start : start + length]


def rows_of(stack: ExitStack, keys: Any, ids: Any, width: int, lengths: Any, generations: Any) -> Any:
    """A struct bid_rows of buffers, which it refers to until the stack is closed."""

    def pointer(kind: str, buffer: Any) -> Any:
        return ffi.NULL if buffer is None else stack.enter_context(ffi.from_buffer(kind, buffer))

    values = pointer("uint64_t[]", keys), pointer("uint32_t[]", generations), pointer("uint8_t[]", ids)
    return ffi.new("struct bid_rows *", [*values, pointer("uint8_t[]", lengths), width])
