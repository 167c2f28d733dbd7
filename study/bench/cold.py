# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Cold hits: nothing of the process's data is in a cache before the lookup. study/measure/cold.h says how."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from study._measure import ffi, lib
from study.bench.keys import buffer, zeros
from study.bench.subject import BenchError, Subject
from study.bench.watch import watch

KEYS = 256  # of each contender in a round
AT_ONCE = 16  # keys of one contender, before it is the next one's turn
LOAD, CALL = "load", "call"  # beside the contenders' names


class UnsupportedError(BenchError):
    """Not on this processor."""


class Cold:
    """Lookups of some keys in the tables of several subjects, and loads of as many lines of an array."""

    def __init__(self, subjects: Sequence[Subject], array: Any, number: int) -> None:
        """array: the floor's. number: of the round, each of which takes other keys."""
        n = self.n = min(KEYS, subjects[0].keys.n - 1)
        first = number * n % (subjects[0].keys.n - n)
        self.who = [subject.contender.name for subject in subjects]
        self._lines = buffer(zeros(n))
        lib.timing_array_draws(array, self._lines, n)
        self._pages = ffi.new("struct cold_pages[]", n * (len(subjects) + 1))
        self._lookups = ffi.new("struct cold_lookups[]", len(subjects) + 2)
        for one, subject in zip(self._lookups, subjects):
            one.design, one.table = subject.functions, subject.table
            one.keys, one.next = subject.keys.cycle + first, subject.keys.cycle + first + 1
        for i, one in enumerate(self._lookups):
            one.n = n
            if i >= len(subjects):
                one.design, one.keys = lib.cold_floor(i == len(subjects)), self._lines
            if i <= len(subjects):
                one.pages = self._pages + i * n
        self._check(lib.cold_trace(self._lookups, len(subjects) + 1), "the child that finds out what a lookup reads")
        #: Those of which a lookup reads so many pages that it cannot be made cold.
        self.warm = [who for who, one in zip(self.who, self._lookups) if self._most(one) == lib.COLD_PAGES_MAX]

    def _most(self, one: Any) -> int:
        return max(int(one.pages[i].count) for i in range(self.n))

    def _check(self, status: int, who: str) -> None:
        if status == lib.TIMING_UNSUPPORTED:
            raise UnsupportedError("cold hits are measured on x86-64 alone")
        if status != lib.TIMING_OK:
            raise BenchError(f"{who}: {'a wrong answer' if status == lib.TIMING_WRONG else 'failed'}")

    def measure(self) -> dict[str, float]:
        """ns of a cold hit by contender, not of those in `warm`, and of a load (LOAD), above those of a call. All take
        turns."""
        everyone = list(enumerate((*self.who, LOAD, CALL)))
        samples: dict[str, list[float]] = {who: [] for _, who in everyone if who not in self.warm}
        ns = ffi.new("double[]", AT_ONCE)
        for first in range(0, self.n, AT_ONCE):
            count = min(AT_ONCE, self.n - first)
            for i, who in everyone:
                if who in self.warm:
                    continue
                watch.turn(who)
                self._check(lib.cold_hits(self._lookups + i, first, count, ns), who)
                samples[who] += list(ns)[:count]
        call = middle(samples.pop(CALL))
        return {who: middle(found) - call for who, found in samples.items()}

    def keys(self, number: int) -> set[int]:
        """Those that are looked up in the table of a subject."""
        return set(self._lookups[number].keys[0 : self.n])


def middle(samples: Sequence[float]) -> float:
    """The mean of the middle half: a median that is finer than the clock, which counts in steps."""
    quarter = len(samples) // 4
    return fmean(sorted(samples)[quarter : len(samples) - quarter])
