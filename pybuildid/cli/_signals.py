# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How a command that goes on until it is told to end is told so."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEP = 0.05  #: seconds, after which a wait looks again


class Ending:
    """Whether the command is to end.

    A signal handler may say so at any moment, also while the main thread is in wait(). So there is no lock here:
    threading.Event.set() in a handler may wait for the wait() that it interrupted, and that is for ever.
    """

    def __init__(self, ignored: tuple[int, ...] = ()) -> None:
        """ignored: signals that were ignored before, which a command that is started now is to ignore as well."""
        self.ignored = ignored
        self._over = False

    def set(self) -> None:
        self._over = True

    def is_set(self) -> bool:
        return self._over

    def wait(self, seconds: float) -> None:
        """Until it is to end, or for so many seconds."""
        end = time.monotonic() + seconds
        while not self._over and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, STEP))


@contextmanager
def ending() -> Iterator[Ending]:
    """What comes with SIGINT, SIGTERM or SIGHUP: the command is to end, with what it has. Under nohup SIGHUP is
    ignored, and stays so. SIGINT is ignored in the background of a shell, where `kill -INT` ends the command all the
    same."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ignored = tuple(number for number in numbers if signal.getsignal(number) == signal.SIG_IGN)
    over = Ending(ignored)
    ending = [number for number in numbers if number != signal.SIGHUP or number not in ignored]
    before = {number: signal.signal(number, lambda number, frame: over.set()) for number in ending}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
