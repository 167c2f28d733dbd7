# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How a command that goes on until it is told to end is told so."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ending() -> Iterator[threading.Event]:
    """An event that comes with SIGINT, SIGTERM or SIGHUP: the command is to end, with what it has."""
    over = threading.Event()

    def end(number: int, frame: object) -> None:
        over.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield over
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
