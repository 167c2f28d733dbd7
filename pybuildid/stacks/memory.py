# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How much memory there is, and a bound on what a command takes of it: an error comes before the OOM killer does."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from pybuildid._core import lib

STEP = 64 << 20  #: bytes: how exact available() is


def available() -> int:
    """Bytes that the system can give, and every memory cgroup of this process, to within STEP."""
    low, high = 0, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // STEP + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if lib.bid_platform_has(middle * STEP) else (low, middle)
    return low * STEP


@contextmanager
def bounded() -> Iterator[None]:
    """Within it, this process and those that it starts fail to get memory (MemoryError) when this one has taken three
    quarters of what is available now, or one STEP. A lower limit of the user's (`ulimit -d`) stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _data_bytes() + max(available() // 4 * 3, STEP)
    lower = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_DATA, (min([most, *lower]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _data_bytes() -> int:
    """What RLIMIT_DATA counts: private memory that may be written to."""
    with open("/proc/self/status", "rb") as file:
        return next((int(line.split()[1]) << 10 for line in file if line.startswith(b"VmData:")), 0)
