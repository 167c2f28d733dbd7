# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line on a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys


def on_terminal(*arguments: object, env: dict[str, str] | None = None) -> bytes:
    """What a command prints when standard output and error are a terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "pybuildid", *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", **(env or {})}
    for name in ("NO_COLOR", "FORCE_COLOR"):
        if name not in (env or {}):
            environment.pop(name, None)
    with subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment) as process:
        os.close(follower)
        out = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # the other end is closed
                break
            if not chunk:
                break
            out += chunk
    os.close(leader)
    assert process.returncode == 0
    return out
