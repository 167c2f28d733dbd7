# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The machine that figures are from."""

from __future__ import annotations

import os
import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    processor: str
    processors: int  # that this process may use
    kernel: str
    memory_bytes: int
    huge_pages: str  # the choice for transparent ones: always, madvise or never
    python: str
    date: str  # of the figures, UTC, ISO 8601


def this() -> Machine:
    """This machine, now; "unknown" where it does not tell."""
    return Machine(
        processor=_find(Path("/proc/cpuinfo"), r"^model name\s*:\s*(.*)$") or platform.machine(),
        processors=len(os.sched_getaffinity(0)),
        kernel=f"{os.uname().sysname} {os.uname().release}",
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        huge_pages=_find(Path("/sys/kernel/mm/transparent_hugepage/enabled"), r"\[(\w+)\]") or "unknown",
        python=platform.python_version(),
        date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def _find(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text(), re.MULTILINE)
    except OSError:
        return None
    return found[1] if found else None
