# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Folded stacks, which flame graphs of others are made from: lines of OUTERMOST;...;INNERMOST COUNT."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Union

from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.model import Line, Location, Sample, StackProfile, ValueType, stack_frames, thread_name

StrPath = Union[str, "os.PathLike[str]"]
DIGITS = 18  #: of a count, which is an int64 in pprof
IN_NAMES = str.maketrans(";\n\r\0", ",   ")  #: for what ends a name, a line, or a text


def read_folded(path: StrPath) -> StackProfile:
    """The names are all that is known of such a profile. Raises ProfileFormatError."""
    numbers: dict[str, int] = {}
    samples = []
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for at, line in enumerate(file, 1):
            text, _, count = line.rstrip().rpartition(" ")
            if not line.strip():
                continue
            if not text or not count.isdecimal() or len(count) > DIGITS:
                raise ProfileFormatError(str(path), f"neither of pprof nor folded: line {at} does not end with a count")
            stack = [numbers.setdefault(name, len(numbers) + 1) for name in reversed(text.split(";"))]
            samples.append(Sample(tuple(stack), (int(count),)))
    locations = [Location(0, 0, (Line(name),)) for name in numbers]
    return StackProfile([ValueType("samples", "count")], samples, [], locations)


def folded_lines(profile: StackProfile, value: int, *, threads: bool = False) -> Iterator[str]:
    """Each distinct stack once. threads: the thread is outermost. In names, semicolons become commas, and
    ends of lines spaces."""
    frames = profile.frames()
    counts: Counter[str] = Counter()
    for sample in profile.samples:
        names = [frame.name for frame in stack_frames(frames, sample)]
        names = names or ["[no stack]"]
        if threads:
            names.insert(0, thread_name(sample) or "[unknown thread]")
        counts[";".join(name.translate(IN_NAMES) for name in names)] += sample.values[value]
    for stack, count in sorted(counts.items()):
        if count > 0:
            yield f"{stack} {count}"
