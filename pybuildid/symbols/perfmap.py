# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Names of code that a program made at run time, from the file that it writes for perf: /tmp/perf-PID.map."""

from __future__ import annotations

import os
import re
import stat
from bisect import bisect
from collections.abc import Collection

from pybuildid.stacks.model import Line

MOST = 256 << 20  #: bytes of such a file
_PATH = re.compile(r"/tmp/perf-\d+\.map")
_LINE = re.compile(rb"^(?:0x)?([0-9a-f]{1,16}) ([0-9a-f]{1,16}) (.+)$", re.MULTILINE | re.IGNORECASE)


def is_perf_map(path: str) -> bool:
    return _PATH.fullmatch(path) is not None


def open_perf_map(path: str, since: float, owners: Collection[int]) -> int | None:
    """A descriptor of the file, which the caller closes. None, if there is no such file, if it is older than `since`
    (then another process with the same number has left it), or if it is of a user who is no owner of the process: in
    /tmp anybody may have put it there. perf does not believe such files, either."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid in owners and status.st_mtime >= since:
        return descriptor
    os.close(descriptor)
    return None


class PerfMap:
    """The names that one process gave to its code. Code that came later at the same address has the later name."""

    def __init__(self, text: bytes = b"") -> None:
        self._code = {int(start, 16): (int(size, 16), name) for start, size, name in _LINE.findall(text)}
        self._starts = sorted(self._code)

    @classmethod
    def read(cls, path: str, since: float) -> PerfMap:
        """Without names, if there is no such file, or it is not to be believed: see open_perf_map()."""
        descriptor = open_perf_map(path, since, {0, os.geteuid()})
        if descriptor is None:
            return cls()
        with open(descriptor, "rb") as file:
            return cls(file.read(MOST))

    @property
    def range(self) -> tuple[int, int]:
        """From the first address that has a name to the end of the last one."""
        last = self._starts[-1]
        return self._starts[0], min(last + self._code[last][0], (1 << 64) - 1)

    def find(self, address: int) -> Line | None:
        """The function at an address. CPython writes py::NAME:FILE."""
        at = bisect(self._starts, address) - 1
        if at < 0:
            return None
        start = self._starts[at]
        size, name = self._code[start]
        if address >= start + size:
            return None
        text = name.decode(errors="replace")
        function, _, file = text.removeprefix("py::").partition(":") if text.startswith("py::") else (text, "", "")
        return Line(function, text, file)
