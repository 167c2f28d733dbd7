# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What every JSON report of the harness ends with."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path


def processor() -> str:
    """The processor's name as the kernel has it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def machine() -> dict[str, object]:
    """Where and when: the fields that every JSON report ends with."""
    return {
        "kernel": os.uname().release,
        "processor": processor(),
        "processors": len(os.sched_getaffinity(0)),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
