# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the time of a measurement is shared out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from math import sqrt

Clock = Callable[[], float]


def rounds(most: int, until: float, clock: Clock = time.monotonic) -> Iterator[int]:
    """One round at least, and another one as long as it should end in time, by the mean of those before."""
    begin = clock()
    for number in range(most):
        yield number
        now = clock()
        if now + (now - begin) / (number + 1) > until:
            return


def share(left: float, size: int, sizes: Sequence[int]) -> float:
    """What a size gets of the time that is left for all of these sizes: larger ones more, by the square root."""
    weights = [weight(each) for each in sizes]
    return max(left, 0.0) * weight(size) / sum(weights)


def weight(size: int) -> float:
    return 1 + sqrt(size / 57_000)
