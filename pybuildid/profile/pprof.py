# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles in the format of pprof: profile.proto of github.com/google/pprof, as gzip.

The message is small and its encoding is stable, so it is written here instead of by generated code: each field is a
tag (number << 3 | wire type), then a varint, or a length and bytes (protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VARINT, BYTES = 0, 2  # wire types


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 0xFFFFFFFFFFFFFFFF  # a negative int64 is its two's complement
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | VARINT) + _varint(value) if value else b""  # 0 is what a missing field means


def _message(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | BYTES) + _varint(len(content)) + content


def _packed(number: int, values: Iterable[int]) -> bytes:
    return _message(number, b"".join(map(_varint, values)))


@dataclass
class PprofWriter:
    """Collects mappings and samples. Identifiers and strings are numbered as they come, as the format wants them."""

    period_ns: int  #: between two samples
    time_ns: int = 0  #: when it began, since 1970
    duration_ns: int = 0
    comments: tuple[str, ...] = ()
    _strings: dict[str, int] = field(default_factory=lambda: {"": 0})
    _mappings: list[bytes] = field(default_factory=list)
    _numbers: dict[tuple[int, int], int] = field(default_factory=dict)
    _locations: list[bytes] = field(default_factory=list)
    _samples: list[bytes] = field(default_factory=list)

    def _string(self, text: str) -> int:
        return self._strings.setdefault(text, len(self._strings))

    def mapping(self, start: int, limit: int, offset: int, path: str, build_id: bytes) -> int:
        """Adds a mapping; its number."""
        number = len(self._mappings) + 1
        self._mappings.append(
            _number(1, number)
            + _number(2, start)
            + _number(3, limit)
            + _number(4, offset)
            + _number(5, self._string(path))
            + _number(6, self._string(build_id.hex()))
        )
        return number

    def sample(self, address: int, count: int, mapping: int = 0, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Adds an instruction pointer that was seen so often; mapping 0: in none."""
        self.stack([(address, mapping)], count, labels)

    def stack(self, frames: Sequence[tuple[int, int]], count: int, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Adds a stack that was seen so often: (address, mapping) of each frame, the innermost first. The address of a
        caller is one less than the return address: in the call, whose line is wanted, and in the same function."""
        content = _packed(1, [self._location(*frame) for frame in frames]) + _packed(2, [count, count * self.period_ns])
        for key, value in labels:
            content += _message(3, _number(1, self._string(key)) + _number(2, self._string(value)))
        self._samples.append(content)

    def _location(self, address: int, mapping: int) -> int:
        number = self._numbers.get((address, mapping))
        if number is None:
            number = self._numbers[address, mapping] = len(self._locations) + 1
            self._locations.append(_number(1, number) + _number(2, mapping) + _number(3, address))
        return number

    def _value_type(self, kind: str, unit: str) -> bytes:
        return _number(1, self._string(kind)) + _number(2, self._string(unit))

    def encode(self) -> bytes:
        """The message, not compressed."""
        types = [self._value_type("samples", "count"), self._value_type("cpu", "nanoseconds")]
        comments = [self._string(comment) for comment in self.comments]
        parts = [_message(1, kind) for kind in types]
        parts += [_message(2, sample) for sample in self._samples]
        parts += [_message(3, mapping) for mapping in self._mappings]
        parts += [_message(4, location) for location in self._locations]
        parts += [_message(6, text.encode("utf-8", "surrogateescape")) for text in self._strings]
        parts += [_number(9, self.time_ns), _number(10, self.duration_ns)]
        parts += [_message(11, types[1]), _number(12, self.period_ns)]
        if comments:
            parts.append(_packed(13, comments))
        return b"".join(parts)

    def write(self, path: str | os.PathLike[str]) -> None:
        Path(path).write_bytes(gzip.compress(self.encode()))
