# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How every check ends: with a verdict, a JSON report and an exit status."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from pybuildid.cli._json import write_json


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


class Judged:
    """The outcome of a check."""

    failures: list[str]  #: why it is no success, one sentence each

    @property
    def verdict(self) -> str:
        return "FAILURE" if self.failures else "SUCCESS"


def conclude(verdict: str, found: Mapping[str, object], json_file: Path | None) -> NoReturn:
    """Writes the JSON report, if one is wanted, and exits: with status 0 for SUCCESS only."""
    write_json(json_file, lambda: {"verdict": verdict, **found, **machine()})
    sys.exit(verdict != "SUCCESS")
