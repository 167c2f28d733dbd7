# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""From Python values to what C takes: numbers, build IDs, buffers. What does not fit raises an error of errors.py."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from pybuildid._core import ffi, lib
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError, BufferSizeError

if TYPE_CHECKING:
    from typing import Protocol, Union

    import typing_extensions

    class NumPyArray(Protocol):
        """Its types say that it is a buffer from Python 3.12 on only."""

        @property
        def __array_interface__(self) -> Any: ...

    Buffer = Union[typing_extensions.Buffer, NumPyArray]


def uint(value: SupportsIndex, bits: int, name: str) -> int:
    """An integer that fits into so many bits."""
    try:
        number = index(value)
    except TypeError:
        raise ArgumentTypeError(f"{name} must be an integer, not {type(value).__name__}") from None
    if number < 0 or number >> bits:
        told = number if number.bit_length() <= 256 else f"a number of {number.bit_length()} bits"
        raise ArgumentRangeError(f"{name} must be 0 to 2**{bits} - 1, not {told}")
    return number


def flag(value: bool, name: str) -> bool:
    """True or False, and nothing that is merely true, such as "no"."""
    if not isinstance(value, bool):
        raise ArgumentTypeError(f"{name} must be True or False, not {value!r}")
    return value


def build_id(value: Buffer, name: str = "id") -> bytes:
    """The bytes of a build ID; C checks the length."""
    if isinstance(value, bytes):
        return value
    with view_of(value, name) as view:
        return view.tobytes()


def too_long(length: int, id_size: int) -> str:
    """What an error says of a build ID, with the least that would do."""
    most = lib.BID_ID_MAX
    least = f"Table(id_size={length}) would do" if length <= most else f"no table takes more than {most}"
    return f"{length} bytes, id_size is {id_size}: {least}"


@contextmanager
def output_buffer(value: Buffer, name: str, size: int) -> Iterator[Any]:
    """A contiguous, writable buffer of bytes, of any shape and at least that size, as a pointer."""
    with view_of(value, name) as view:
        if view.itemsize != 1:
            raise ArgumentTypeError(f"{name} must be a buffer of bytes, not of items of {view.itemsize} bytes")
        if view.readonly:
            raise ArgumentTypeError(f"{name} must be a writable buffer")
        if view.nbytes < size:
            raise BufferSizeError(f"{name} must be a buffer of at least {size} bytes, not {view.nbytes}")
        if not view.c_contiguous:
            raise ArgumentTypeError(f"{name} must be contiguous")
        with ffi.from_buffer("uint8_t[]", view) as pointer:
            yield pointer


def separate(**buffers: tuple[Any, int]) -> None:
    """What C writes to may not be what it reads: buffers by name, as (pointer, bytes)."""
    spans = sorted(
        (int(ffi.cast("uintptr_t", pointer)), size, name) for name, (pointer, size) in buffers.items() if size
    )
    for (start, size, name), (after, _, other) in zip(spans, spans[1:]):
        if start + size > after:
            raise BufferSizeError(f"{name} and {other} overlap")


def view_of(value: Any, name: str) -> memoryview:
    try:
        return memoryview(value)
    except TypeError:
        raise ArgumentTypeError(
            f"{name} must be bytes, or another object with the buffer protocol, not {type(value).__name__}"
        ) from None
    except (ValueError, BufferError) as error:  # closed, released, or of items that no buffer can describe
        raise ArgumentTypeError(f"{name} cannot be read as a buffer: {error}") from None
