# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The kernel's types, from its own description of them (BTF): where fields are, and the numbers of functions."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

PATH = "/sys/kernel/btf/vmlinux"
HEADER = struct.Struct("=HBBIIIII")  # magic, version, flags, header length; offset and length of types, of strings
MAGIC = 0xEB9F
TYPE = struct.Struct("=III")  # name, info, size or type
MEMBER = struct.Struct("=III")  # name, type, offset in bits
STRUCT, UNION, FUNC = 4, 5, 12  #: kinds
#: Bytes after a type, by its kind: for each of its members, and once. Other kinds have none.
EACH = {STRUCT: 12, UNION: 12, 6: 8, 13: 8, 15: 12, 19: 12}
ONCE = {1: 4, 3: 12, 14: 4, 17: 4}


class Btf:
    """Raises LookupError for what is not there, and ValueError for bytes that are no BTF."""

    def __init__(self, data: bytes) -> None:
        if len(data) < HEADER.size:
            raise ValueError("no BTF")
        magic, _, _, length, types, types_length, strings, strings_length = HEADER.unpack_from(data)
        if magic != MAGIC:
            raise ValueError("no BTF")
        self._data = data
        self._strings = data[length + strings : length + strings + strings_length]
        self._types: list[int] = [0]  # where each begins, by number
        at, end = length + types, length + types + types_length
        while at < end:
            self._types.append(at)
            _, info, _ = TYPE.unpack_from(data, at)
            kind = info >> 24 & 31
            at += TYPE.size + EACH.get(kind, 0) * (info & 0xFFFF) + ONCE.get(kind, 0)

    def number(self, kind: int, name: str) -> int:
        """Of the type of this name that has members, if it is a structure."""
        wanted = self._strings.index(b"\0" + name.encode() + b"\0") + 1
        for number, at in enumerate(self._types[1:], 1):
            found, info, _ = TYPE.unpack_from(self._data, at)
            if info >> 24 & 31 == kind and (found == wanted or self._name(found) == name):
                return number
        raise LookupError(f"this kernel has no {name}")

    def offset(self, structure: str, field: str) -> int:
        """Of a field, in bytes; also of one in a structure or union without a name."""
        try:
            at = next(self._fields(self._types[self.number(STRUCT, structure)], field, 0))
        except (ValueError, StopIteration):
            raise LookupError(f"this kernel has no {field} in struct {structure}") from None
        return at // 8

    def _name(self, at: int) -> str:
        return self._strings[at : self._strings.index(b"\0", at)].decode()

    def _fields(self, at: int, wanted: str, base: int) -> Iterator[int]:
        _, info, _ = TYPE.unpack_from(self._data, at)
        for i in range(info & 0xFFFF):
            name, kind, bits = MEMBER.unpack_from(self._data, at + TYPE.size + i * MEMBER.size)
            if info >> 31:  # the upper byte is the size of a bit field
                bits &= 0xFFFFFF
            if name and self._name(name) == wanted:
                yield base + bits
            elif not name and TYPE.unpack_from(self._data, self._types[kind])[1] >> 24 & 31 in (STRUCT, UNION):
                yield from self._fields(self._types[kind], wanted, base + bits)


def offsets(btf: Btf, fields: Sequence[str]) -> dict[str, int]:
    """Of fields, written as "struct.field"."""
    return {field: btf.offset(*field.split(".")) for field in fields}
