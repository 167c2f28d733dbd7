# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is being measured right now, and since when: a peer may hang, and then that is all that is left to say."""

from __future__ import annotations

import time


class Watch:
    """Written by the thread that measures, read by one that waits for it."""

    def __init__(self) -> None:
        self.step = self.who = ""
        self.since = time.monotonic()

    def begin(self, step: str) -> None:
        self.step, self.who, self.since = step, "", time.monotonic()

    def turn(self, who: str) -> None:
        """Before each call that may take long."""
        self.who, self.since = who, time.monotonic()

    def waited(self) -> float:
        """Seconds."""
        return time.monotonic() - self.since

    def complaint(self) -> str:
        where = f"{self.step}: " if self.step else ""
        return f"{where}{self.who or 'a contender'} did not come back within {self.waited():.0f} seconds"


watch = Watch()  #: of this process, which measures one thing at a time
