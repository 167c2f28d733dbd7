# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Messages of protobuf: each field is a tag (number << 3 | wire type), then a varint, or a length and bytes
(protobuf.dev/programming-guides/encoding). Long ones are read in C (columns.py); this is for the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Union

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
MOST = 64 << 20  #: bytes of one field of a profile: more is damage
Field = tuple[int, Union[int, bytes]]


class WireError(ValueError):
    """The bytes are no message."""


def varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where the next one begins. Raises IndexError if data ends in it."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
        if shift > 63:
            raise WireError("a number has more than ten bytes")


def signed(value: int) -> int:
    """An int64, which stands there as its two's complement."""
    return value - (1 << 64) if value >> 63 else value


def numbers(value: int | bytes) -> list[int]:
    """A repeated number: one, or several that are packed."""
    if isinstance(value, int):
        return [value]
    found, at, end = [], 0, len(value)
    try:
        while at < end:
            number, at = varint(value, at)
            found.append(number)
    except IndexError:
        raise WireError("packed numbers end in the midst of one") from None
    return found


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a whole message."""
    at, end = 0, len(data)
    while at < end:
        try:
            number, value, at = _field(data, at, end)
        except IndexError:
            raise WireError("a message ends in the midst of a field") from None
        yield number, value


def _field(data: bytes, at: int, end: int) -> tuple[int, int | bytes, int]:
    """The field that begins there: its number and value, and where the next begins. IndexError: data ends in it."""
    tag, at = varint(data, at)
    kind = tag & 7
    if tag < 8:
        raise WireError("a field has the number 0")
    if kind == VARINT:
        value, at = varint(data, at)
        return tag >> 3, value, at
    if kind == BYTES:
        size, at = varint(data, at)
    elif kind in (FIXED64, FIXED32):
        size = 8 if kind == FIXED64 else 4
    else:
        raise WireError(f"there is no wire type {kind}")
    if size > MOST:
        raise WireError(f"a field has more than {MOST >> 20} MiB")
    if at + size > end:
        raise IndexError
    return tag >> 3, data[at : at + size], at + size


# ------------------------------------------------------------------------------------------------ writing


def encoded(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # a negative int64 is its two's complement
    if value < 0x80:
        return bytes((value,))
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def number(number: int, value: int) -> bytes:
    return encoded(number << 3 | VARINT) + encoded(value) if value else b""  # 0 is what a missing field means


def message(number: int, content: bytes) -> bytes:
    return encoded(number << 3 | BYTES) + encoded(len(content)) + content


def packed(number: int, values: Iterable[int]) -> bytes:
    return message(number, b"".join(map(encoded, values)))
