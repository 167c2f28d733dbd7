# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""An address of kernel memory that the scheduler writes when a thread runs."""

from __future__ import annotations

import subprocess

from stress.record.build import build_tool


def task_field(tid: int) -> int:
    command = [str(path) for path in build_tool("watch")]
    found = subprocess.run([*command, str(tid)], check=True, capture_output=True, text=True, timeout=60)
    return int(found.stdout)
