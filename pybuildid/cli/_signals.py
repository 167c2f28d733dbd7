# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How a command that goes on until it is told to end is told so."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue


class Ending:
    """Whether the command is to end.

    A signal handler may say so at any moment, also while the main thread is in wait(). threading.Event cannot be used:
    its set() takes the lock that an interrupted wait() may hold. SimpleQueue.put() may interrupt get().
    """

    def __init__(self) -> None:
        self._told: SimpleQueue[None] = SimpleQueue()
        self._over = False

    def set(self) -> None:
        self._over = True
        self._told.put(None)

    def is_set(self) -> bool:
        return self._over

    def wait(self, seconds: float) -> None:
        """Until it is to end, or for so many seconds."""
        if not self._over:
            with suppress(Empty):
                self._told.get(timeout=seconds)


@contextmanager
def ending() -> Iterator[Ending]:
    """What comes with SIGINT, SIGTERM or SIGHUP: the command is to end, with what it has."""
    over = Ending()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda number, frame: over.set()) for number in numbers}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
