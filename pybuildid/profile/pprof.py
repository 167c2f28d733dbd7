# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a profiler collects for a file in the format of pprof."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from pybuildid.stacks.model import Label, Line, Location, Mapping, Sample, StackProfile, ValueType
from pybuildid.stacks.pprof import encode, write_pprof

CPU = ValueType("cpu", "nanoseconds")


@dataclass
class PprofWriter:
    """Collects mappings and samples."""

    period_ns: int  #: between two samples
    time_ns: int = 0  #: when it began, since 1970
    duration_ns: int = 0
    comments: tuple[str, ...] = ()
    _mappings: list[Mapping] = field(default_factory=list)
    _names: dict[int, Callable[[int], Line | None]] = field(default_factory=dict)
    _locations: dict[Location, int] = field(default_factory=dict)
    _samples: list[Sample] = field(default_factory=list)

    def mapping(self, start: int, limit: int, offset: int, path: str, build_id: bytes) -> int:
        """Adds a mapping; its number."""
        self._mappings.append(Mapping(start, limit, offset, path, build_id.hex()))
        return len(self._mappings)

    def name(self, mapping: int, find: Callable[[int], Line | None]) -> None:
        """What tells the names of addresses in a mapping that is no file, in which they could be looked up later."""
        self._names[mapping] = find

    def sample(self, address: int, count: int, mapping: int = 0, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Adds an instruction pointer that was seen so often; mapping 0: in none."""
        self.stack([(address, mapping)], count, labels)

    def stack(self, frames: Sequence[tuple[int, int]], count: int, labels: Iterable[tuple[str, str]] = ()) -> None:
        """Adds a stack that was seen so often: (address, mapping) of each frame, the innermost first. The address of a
        caller is one less than the return address: in the call, whose line is wanted, and in the same function."""
        numbers = self._locations
        stack = tuple(numbers.setdefault(Location(mapping, address), len(numbers) + 1) for address, mapping in frames)
        marks = tuple(Label(key, text) for key, text in labels)
        self._samples.append(Sample(stack, (count, count * self.period_ns), marks))

    def profile(self) -> StackProfile:
        return StackProfile(
            types=[ValueType("samples", "count"), CPU],
            samples=self._samples,
            mappings=self._mappings,
            locations=[self._named(location) for location in self._locations],
            period_type=CPU,
            period=self.period_ns,
            time_ns=self.time_ns,
            duration_ns=self.duration_ns,
            comments=list(self.comments),
        )

    def _named(self, location: Location) -> Location:
        find = self._names.get(location.mapping)
        line = find(location.address) if find else None
        return location._replace(lines=(line,)) if line else location

    def encode(self) -> bytes:
        """The message, not compressed."""
        return encode(self.profile())

    def write(self, path: str | os.PathLike[str]) -> None:
        write_pprof(self.profile(), path)
