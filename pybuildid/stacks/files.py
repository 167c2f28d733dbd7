# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles from files, whatever their format."""

from __future__ import annotations

from pybuildid.stacks.errors import ProfileFormatError
from pybuildid.stacks.folded import read_folded
from pybuildid.stacks.model import StackProfile
from pybuildid.stacks.pprof import GZIP, StrPath, open_regular, read_pprof


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
