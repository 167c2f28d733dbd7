# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles of many processes or machines as one: code is the same where the build ID and the offset are.

A few files are read at a time. What stays in memory is what is distinct.
"""

from __future__ import annotations

from array import array
from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Union

from pybuildid.stacks.columns import Sums
from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.files import read_profile
from pybuildid.stacks.model import Location, Mapping, StackProfile, ValueType
from pybuildid.stacks.pprof import FileProfile, message_of

Problem = Union[ProfileFormatError, OSError]
AHEAD = 2  #: files that are read meanwhile


@dataclass
class Merger:
    """Sums up profiles. without: keys of labels that are dropped, such as "tid", which differs on every machine.

    profiles: how many have been added.
    """

    without: Collection[str] = ()
    types: list[ValueType] | None = None  #: what profiles count; None: what the first one does
    profiles: int = 0
    _mappings: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _places: defaultdict[str, dict[int | str, int]] = field(default_factory=lambda: defaultdict(dict))
    _sums: Sums | None = None
    _merged: StackProfile = field(default_factory=StackProfile)

    def add(self, profile: StackProfile, source: str, profiles: int = 1) -> None:
        """Raises ProfileFormatError if it counts something else; then nothing of it has been added. profiles: from how
        many it was merged."""
        self._check(profile, source)
        file = message_of(profile)
        if self._sums is None:
            self._sums = Sums(len(profile.types))
        self._sums.add(file.samples, self._locations(file), self.without)
        self._sum_up(profile)
        self.profiles += profiles

    def add_files(self, files: Sequence[str]) -> Iterator[tuple[str, Problem | None]]:
        """Adds each, and tells which, and why it was left out. Threads read two files ahead."""
        pending: deque[tuple[str, Future[StackProfile]]] = deque()
        pool = ThreadPoolExecutor(AHEAD)
        try:
            for at in range(len(files) + AHEAD):
                if at < len(files):
                    pending.append((files[at], pool.submit(read_profile, files[at])))
                if at >= AHEAD:
                    yield self._add_read(*pending.popleft())
            pool.shutdown()
        finally:  # without waiting: one of its own threads may be the one that collects this as garbage
            pool.shutdown(wait=False, cancel_futures=True)

    def _add_read(self, file: str, reading: Future[StackProfile]) -> tuple[str, Problem | None]:
        try:
            self.add(reading.result(), file)
        except (ProfileFormatError, OSError) as error:
            return file, error
        return file, None

    def result(self) -> StackProfile:
        merged = self._merged
        merged.samples = self._sums if self._sums else []
        merged.comments = [f"merged from {self.profiles:,} profiles"]
        return merged

    def _check(self, profile: StackProfile, source: str) -> None:
        if self.types is None or profile.types == self.types:
            return
        ours, theirs = _kinds(self.types), _kinds(profile.types)
        raise ProfileFormatError(source, f"it counts {theirs}, and the profiles before count {ours}")

    def _mapping(self, mapping: Mapping) -> tuple[int, int]:
        """The number of the same part of the same build, and what an address there is more than here."""
        key = mapping.build_id, "" if mapping.build_id else mapping.path, mapping.offset
        number = self._mappings.setdefault(key, len(self._mappings) + 1)
        if number > len(self._merged.mappings):
            self._merged.mappings.append(mapping)
            return number, 0
        known = self._merged.mappings[number - 1]
        shift = known.start - mapping.start
        flags = (one or other for one, other in zip(known[-4:], mapping[-4:]))
        whole = known._replace(limit=max(known.limit, mapping.limit + shift), path=known.path or mapping.path)
        self._merged.mappings[number - 1] = Mapping(*whole[:5], *flags)
        return number, shift

    def _locations(self, file: FileProfile) -> array[int]:
        """The numbers here of its locations. A place is an offset in a file, or a name where there is no address."""
        mappings = [(0, 0), *map(self._mapping, file.mappings)]
        starts = [(0, self._places[""])]  # of each mapping: what makes an address an offset, and the places of its file
        starts += [(each.offset - each.start, self._places[each.identity]) for each in file.mappings]
        locations, found = self._merged.locations, array("I")
        for number, place in enumerate(file.places(), 1):
            mapping, address, begin, end = place
            shift, places = starts[mapping]
            key: int | str = address + shift if address else self._name(file, number, place)
            known = places.get(key)
            if known is None:
                places[key] = known = len(locations) + 1
                locations.append(self._moved(file.make_location(number, place), mappings))
            elif begin != end and not locations[known - 1].lines:
                locations[known - 1] = self._moved(file.make_location(number, place), mappings)
            found.append(known)
        return found

    def _moved(self, location: Location, mappings: list[tuple[int, int]]) -> Location:
        number, shift = mappings[location.mapping]
        return location._replace(mapping=number, address=location.address + shift)

    def _name(self, file: FileProfile, number: int, place: tuple[int, int, int, int]) -> str:
        return "\n".join(line.name for line in file.make_location(number, place).lines)

    def _sum_up(self, profile: StackProfile) -> None:
        merged = self._merged
        self.types = profile.types
        if not self.profiles:
            for name in ("types", "period_type", "period", "time_ns", "default_type", "drop_frames", "keep_frames"):
                setattr(merged, name, getattr(profile, name))
        merged.duration_ns += profile.duration_ns
        merged.time_ns = min(filter(None, (merged.time_ns, profile.time_ns)), default=0)
        if merged.period != profile.period:
            merged.period = 0  # there is none that holds for all


def _kinds(types: list[ValueType]) -> str:
    return ", ".join(f"{each.kind} in {each.unit}" for each in types) or "nothing"
