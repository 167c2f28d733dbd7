# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line that is running, for documents that say how they were made."""

from __future__ import annotations

import shlex
import sys


def command_line(program: str = "pybuildid") -> str:
    return " ".join(filter(None, [program, shlex.join(sys.argv[1:])]))
