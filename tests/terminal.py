# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The command line on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Callable

LONGEST = 60  #: seconds that a test waits for something to be shown


class Terminal:
    """A command in a session of its own with a terminal, whose keys the test presses."""

    def __init__(self, *arguments: object, env: dict[str, str] | None = None) -> None:
        self._leader, follower = pty.openpty()
        command = [sys.executable, "-m", "pybuildid", *map(str, arguments)]
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "60", **(env or {})}
        for name in ("NO_COLOR", "FORCE_COLOR"):
            if name not in (env or {}):
                environment.pop(name, None)
        self._process = subprocess.Popen(
            command, stdin=follower, stdout=follower, stderr=follower, env=environment, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(follower)
        self.output = b""
        self.status: int | None = None

    def hang_up(self) -> int:
        """Closes the terminal, as when its window is closed. Returns the command's status."""
        os.close(self._leader)
        self._leader = -1
        return self._process.wait(LONGEST)

    def press(self, keys: bytes) -> None:
        os.write(self._leader, keys)

    def read_until(self, text: bytes, *, times: int = 1) -> None:
        """Reads until a text was shown so often."""
        self._read(lambda: self.output.count(text) >= times)
        assert self.output.count(text) >= times, self.output

    def read_to_end(self) -> bytes:
        self._read(lambda: False)
        self.status = self._process.wait(LONGEST)
        return self.output

    def _read(self, enough: Callable[[], bool]) -> None:
        end = time.monotonic() + LONGEST
        while not enough():
            ready, _, _ = select.select([self._leader], [], [], max(0.0, end - time.monotonic()))
            assert ready, f"nothing more is shown: {self.output!r}"
            try:
                self.output += os.read(self._leader, 65536)
            except OSError:  # the other end is closed
                return

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        if self._leader >= 0:
            os.close(self._leader)


def on_terminal(*arguments: object, env: dict[str, str] | None = None) -> bytes:
    """What a command prints when standard output and error are a terminal."""
    with Terminal(*arguments, env=env) as terminal:
        output = terminal.read_to_end()
    assert terminal.status == 0
    return output
