# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A profile as people read it: samples of stacks, whose frames are addresses in files, or names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

FALLBACK = "fallback"  #: the key of the label that says why an address was not resolved
#: Keys of labels that say which thread a sample is of, by a name and by a number; the best first.
NAMES, NUMBERS = ("thread", "comm", "command"), ("tid", "pid", "process")


class Line(NamedTuple):
    """A function at an address. name: for people. system_name: as the linker has it. Line 0 is not known."""

    name: str
    system_name: str = ""
    file: str = ""
    line: int = 0
    start_line: int = 0


class Mapping(NamedTuple):
    """A part of a file as it was mapped. build_id: hexadecimal, "" for none; others' profiles may have other words.

    functions, files, lines, inlined: whether the names of its locations have been looked up.
    """

    start: int
    limit: int
    offset: int
    path: str
    build_id: str = ""
    functions: bool = False
    files: bool = False
    lines: bool = False
    inlined: bool = False

    @property
    def identity(self) -> str:
        """What files are told apart by: the build ID, or the path where there is none."""
        return self.build_id or self.path

    @property
    def name(self) -> str:
        return os.path.basename(self.path) or self.path or self.build_id[:16] or "?"


class Location(NamedTuple):
    """An address that was on a stack. Of a caller it is in the call instruction, not the return address.

    mapping: its number in StackProfile.mappings, from 1; 0 for none. lines: the innermost of inlined functions first.
    """

    mapping: int
    address: int
    lines: tuple[Line, ...] = ()
    folded: bool = False


class Label(NamedTuple):
    key: str
    text: str = ""
    number: int = 0
    unit: str = ""


class Sample(NamedTuple):
    """stack: numbers of locations, from 1, the innermost first. values: one for each of StackProfile.types."""

    stack: tuple[int, ...]
    values: tuple[int, ...]
    labels: tuple[Label, ...] = ()

    def label(self, *keys: str) -> str:
        """The text of the first of these labels that it has, or ""."""
        for key in keys:
            for label in self.labels:
                if label.key == key:
                    return label.text or str(label.number)
        return ""


class ValueType(NamedTuple):
    kind: str
    unit: str


class Frame(NamedTuple):
    """A function on a stack, as pictures and tables show it.

    name: or, without one, the file's in brackets. module: the file's name. identity: of the file. source: FILE:LINE.
    named: whether the name is known.
    """

    name: str
    module: str = ""
    identity: str = ""
    source: str = ""
    named: bool = True


@dataclass
class StackProfile:
    """What profile.proto holds. Mappings and locations count from 1 there: use mapping() and location()."""

    types: list[ValueType] = field(default_factory=list)
    samples: Iterable[Sample] = field(default_factory=list)
    mappings: list[Mapping] = field(default_factory=list)
    locations: list[Location] = field(default_factory=list)
    period_type: ValueType | None = None
    period: int = 0
    time_ns: int = 0
    duration_ns: int = 0
    comments: list[str] = field(default_factory=list)
    default_type: str = ""
    drop_frames: str = ""
    keep_frames: str = ""

    def mapping(self, location: Location) -> Mapping | None:
        return self.mappings[location.mapping - 1] if location.mapping else None

    def location(self, number: int) -> Location:
        return self.locations[number - 1]

    def value_index(self, name: str = "") -> int:
        """Which value counts: that of this name; or the number of samples, else the one that the profile says, else the
        first. Raises LookupError."""
        kinds = [each.kind for each in self.types]
        if not name:
            return next((kinds.index(kind) for kind in ("samples", self.default_type) if kind in kinds), 0)
        if name not in kinds:
            raise LookupError(f"there is no value {name!r} in the profile: it has {', '.join(kinds) or 'none'}")
        return kinds.index(name)

    def file_offset(self, location: Location) -> int:
        """Where in the file the address is; the address itself if it is in no mapping."""
        mapping = self.mapping(location)
        return location.address - mapping.start + mapping.offset if mapping else location.address

    def frames(self) -> list[tuple[Frame, ...]]:
        """Of each location, in their order: its functions, the innermost first."""
        return [tuple(self._frames(location)) for location in self.locations]

    def _frames(self, location: Location) -> Iterator[Frame]:
        mapping = self.mapping(location)
        module, identity = (mapping.name, mapping.identity) if mapping else ("", "")
        for line in location.lines:
            source = f"{line.file}:{line.line}" if line.file and line.line else line.file
            yield Frame(line.name or line.system_name or "?", module, identity, source)
        if not location.lines:
            yield Frame(f"[{module}]" if module else "[unknown]", module, identity, "", named=False)


def stack_frames(frames: Sequence[tuple[Frame, ...]], sample: Sample) -> list[Frame]:
    """A sample's functions, the outermost first. frames: of the profile."""
    found = [frame for number in sample.stack for frame in frames[number - 1]]
    found.reverse()
    reason = sample.label(FALLBACK)
    if reason and found and not found[-1].named and not found[-1].module:
        found[-1] = found[-1]._replace(name=f"[{reason}]")
    return found


def thread_name(sample: Sample) -> str:
    """The thread that a sample is of, as its labels name it; "" if they do not."""
    name, number = sample.label(*NAMES), sample.label(*NUMBERS)
    return f"{name} {number}" if name and number else name or number
