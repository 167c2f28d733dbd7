# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles as people read them: stacks of functions, from pprof or folded files, and back."""

from __future__ import annotations

from pybuildid.stacks.folded import read_folded
from pybuildid.stacks.model import (
    Frame,
    Label,
    Line,
    Location,
    Mapping,
    ProfileFormatError,
    Sample,
    StackProfile,
    ValueType,
)
from pybuildid.stacks.pprof import GZIP, StrPath, open_regular, read_pprof, write_pprof

__all__ = [
    "Frame",
    "Label",
    "Line",
    "Location",
    "Mapping",
    "ProfileFormatError",
    "Sample",
    "StackProfile",
    "ValueType",
    "read_pprof",
    "read_profile",
    "write_pprof",
]


def read_profile(path: StrPath) -> StackProfile:
    """A profile in the format of pprof, or folded: lines of OUTERMOST;...;INNERMOST COUNT.

    Of the former, samples are read from the file when they are iterated over. Raises ProfileFormatError, also then.
    """
    with open_regular(path) as file:
        start = file.read(4096)
    if not start:
        raise ProfileFormatError(str(path), "it is empty")
    if not start.startswith(GZIP) and b"\0" not in start and start[:1] != b"\n":
        return read_folded(path)
    return read_pprof(path)
