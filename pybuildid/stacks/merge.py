# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles of many processes or machines as one: code is the same where the build ID and the offset are.

One file is open at a time, and its samples are streamed. What stays in memory is what is distinct.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.model import Label, Location, Mapping, Sample, StackProfile, ValueType

Place = tuple[str, int, str]  #: of a location: the file, the offset there, and the name where there is no address
Row = tuple[tuple[int, ...], tuple[Label, ...]]


@dataclass
class Merger:
    """Sums up profiles. without: keys of labels that are dropped, such as "tid", which differs on every machine."""

    without: Collection[str] = ()
    profiles: int = 0
    _mappings: dict[tuple[str, str, int], int] = field(default_factory=dict)
    _locations: dict[Place, int] = field(default_factory=dict)
    _rows: dict[Row, list[int]] = field(default_factory=dict)
    _merged: StackProfile = field(default_factory=StackProfile)

    def add(self, profile: StackProfile, source: str) -> None:
        """Raises ProfileFormatError if it is damaged or counts something else; then nothing of it has been added."""
        self._check(profile, source)
        fresh: defaultdict[Row, list[int]] = defaultdict(lambda: [0] * len(profile.types))
        for sample in profile.samples:  # to the end, before anything is added: it may be damaged there
            row = fresh[sample.stack, self._labels(sample)]
            for at, value in enumerate(sample.values):
                row[at] += value
        mappings = [self._mapping(mapping) for mapping in profile.mappings]
        locations = [self._location(profile, location, mappings) for location in profile.locations]
        for (stack, labels), values in fresh.items():
            key = tuple([locations[number - 1] for number in stack]), labels
            row = self._rows.setdefault(key, [0] * len(values))
            for at, value in enumerate(values):
                row[at] += value
        self._sum_up(profile)

    def result(self) -> StackProfile:
        merged = self._merged
        merged.samples = _Rows(self._rows)
        merged.comments = [f"merged from {self.profiles:,} profiles"]
        return merged

    def _check(self, profile: StackProfile, source: str) -> None:
        if not self.profiles or profile.types == self._merged.types:
            return
        ours, theirs = _kinds(self._merged.types), _kinds(profile.types)
        raise ProfileFormatError(source, f"it counts {theirs}, and the profiles before count {ours}")

    def _labels(self, sample: Sample) -> tuple[Label, ...]:
        if not self.without or not sample.labels:
            return sample.labels
        return tuple([label for label in sample.labels if label.key not in self.without])

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

    def _location(self, profile: StackProfile, location: Location, mappings: list[tuple[int, int]]) -> int:
        mapping = profile.mapping(location)
        number, shift = mappings[location.mapping - 1] if mapping else (0, 0)
        name = "" if location.address else "\n".join(line.name for line in location.lines)
        place = mapping.identity if mapping else "", profile.file_offset(location), name
        known = self._locations.setdefault(place, len(self._locations) + 1)
        moved = location._replace(mapping=number, address=location.address + shift)
        if known > len(self._merged.locations):
            self._merged.locations.append(moved)
        elif not self._merged.locations[known - 1].lines:
            self._merged.locations[known - 1] = moved  # this profile may have the names
        return known

    def _sum_up(self, profile: StackProfile) -> None:
        merged = self._merged
        if not self.profiles:
            for name in ("types", "period_type", "period", "time_ns", "default_type", "drop_frames", "keep_frames"):
                setattr(merged, name, getattr(profile, name))
        self.profiles += 1
        merged.duration_ns += profile.duration_ns
        merged.time_ns = min(filter(None, (merged.time_ns, profile.time_ns)), default=0)
        if merged.period != profile.period:
            merged.period = 0  # there is none that holds for all


@dataclass(frozen=True)
class _Rows:
    rows: dict[Row, list[int]]

    def __iter__(self) -> Iterator[Sample]:
        for (stack, labels), values in self.rows.items():
            yield Sample(stack, tuple(values), labels)


def _kinds(types: list[ValueType]) -> str:
    return ", ".join(f"{each.kind} in {each.unit}" for each in types) or "nothing"
