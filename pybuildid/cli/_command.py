# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line that is running, for documents that say how they were made."""

from __future__ import annotations

import shlex
import sys


def command_line() -> str:
    return shlex.join(["pybuildid", *sys.argv[1:]])
