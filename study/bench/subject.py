# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One contender with a table of n entries, and what can be measured of it: a call is a sample."""

from __future__ import annotations

import os
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from study._measure import ffi, lib
from study.bench.contenders import Contender
from study.bench.keys import Keys, buffer, make
from study.bench.watch import watch

CHURN_SHARE = 8  # of the entries: the partner inserts and removes so many others


class BenchError(RuntimeError):
    """A design gave a wrong answer, or could not be measured: the message says which one, and how."""


class SlowError(BenchError):
    """Inserts were given up: a table that no longer grows takes ever longer."""


_REASONS = {
    lib.TIMING_SLOW: "inserts that do not end: the table has stopped growing",
    lib.TIMING_WRONG: "a wrong answer",
    lib.TIMING_FAILED: "an update failed",
    lib.TIMING_MEMORY: "no memory",
}


def pin(processor: int) -> None:
    """Pins the calling thread to a processor."""
    os.sched_setaffinity(0, {processor})


@dataclass(frozen=True)
class Hits:
    """Hits in company, of which nothing is left out."""

    ns: float
    busy: float | None  # the share that had no answer, of a design that may have none


class Subject:
    """A contender and its table. What measures returns ns an operation. One thread calls these; some start more."""

    def __init__(self, contender: Contender, mixed: array[int], keys: Keys, seed: int, *, filled: bool = True) -> None:
        """mixed: the keys that `keys` was made from, for designs that take objects instead."""
        self.contender = contender
        self.functions = contender.functions
        self.table = ffi.gc(self._create(keys.n, seed), self.functions.destroy)
        self.keys = self._own_keys(mixed, seed, 1 + len(keys.others)) if self.functions.object != ffi.NULL else keys
        self.left_out: list[float] = []
        if filled:
            self.check(lib.timing_fill(*self._of(self.keys.present, self.keys.next, keys.n), self.keys.absent))
            self.settle()

    def _create(self, n: int, seed: int) -> Any:
        watch.turn(self.contender.name)
        table = self.functions.create(self.contender.expected(n), seed)
        if table == ffi.NULL:
            raise BenchError(f"{self.contender.name}: no memory for {n:,} entries")
        return table

    def _own_keys(self, mixed: array[int], seed: int, threads: int) -> Keys:
        own = mixed[:]
        self.check(lib.timing_objects(self.functions, self.table, buffer(own), len(own)))
        return make(own, seed, threads)

    def _of(self, *arguments: Any) -> tuple[Any, ...]:
        """The arguments of a call, which is this contender's turn."""
        watch.turn(self.contender.name)
        return self.functions, self.table, *arguments

    def check(self, status: int) -> None:
        if status != lib.TIMING_OK:
            error = SlowError if status == lib.TIMING_SLOW else BenchError
            raise error(f"{self.contender.name}: {_REASONS[status]}")

    def settle(self) -> None:
        watch.turn(self.contender.name)
        if self.functions.settle != ffi.NULL:
            self.functions.settle(self.table)

    def close(self) -> None:
        watch.turn(self.contender.name)
        ffi.release(self.table)

    # ------------------------------------------------------------------------------------------- lookups

    def _timed(self, time: Callable[[Any], int]) -> Any:
        timing = ffi.new("struct timing *")
        self.check(time(timing))
        self.left_out.append(timing.left_out)
        return timing

    def hit(self, min_ns: int) -> float:
        """An independent lookup of a key that is there."""
        return float(self._timed(lambda t: lib.timing_hits(*self._of(self.keys.hits, min_ns, ffi.NULL, t))).ns)

    def miss(self, min_ns: int) -> float:
        return float(self._timed(lambda t: lib.timing_hits(*self._of(self.keys.misses, min_ns, ffi.NULL, t))).ns)

    def dependent_hit(self, min_ns: int) -> float:
        arguments = self._of(self.keys.cycle, self.keys.n, min_ns)
        return float(self._timed(lambda t: lib.timing_chain(*arguments, t)).ns)

    def bytes(self) -> int:
        """Bytes of slots and records, if the design counts them itself; otherwise 0."""
        return int(self.functions.mapped_bytes(self.table)) if self.functions.mapped_bytes != ffi.NULL else 0

    # ------------------------------------------------------------------------------------------- updates

    def insert(self) -> float:
        """Inserts all keys into the empty table."""
        arguments = self._of(self.keys.present, self.keys.next, self.keys.n)
        return float(self._timed(lambda t: lib.timing_insert(*arguments, t)).ns)

    def remove(self) -> float:
        """Removes all keys, in a random order. In the order of insertion, entries from malloc() follow each other in
        memory, and are prefetched."""
        return float(self._timed(lambda t: lib.timing_remove(*self._of(self.keys.cycle, self.keys.n, t))).ns)

    def churn(self) -> float:
        """An insert or a remove of other keys in a table of n entries."""
        return float(self._timed(lambda t: lib.timing_churn(*self._of(self.keys.absent, self.keys.n, t))).ns)

    # ------------------------------------------------------------------------------------------- company

    def _company(self, threads: int) -> Any:
        company = ffi.new("struct timing_company *")
        company.threads = threads
        return company

    def together(self, min_ns: int, processors: Sequence[int]) -> Hits:
        """Hits of as many threads at once as there are processors, each with draws of its own: ns a hit of each thread,
        on average."""
        company = self._company(len(processors))
        results: list[Any] = []

        def look(draws: Any) -> None:
            timing = ffi.new("struct timing *")
            self.check(lib.timing_hits(*self._of(self._allowing_busy(draws), min_ns, company, timing)))
            results.append(timing)

        draws = self.keys.others[: len(processors) - 1]
        others = [_Thread(self, processor, partial(look, own)) for processor, own in zip(processors[1:], draws)]
        look(self.keys.hits)
        for other in others:
            other.end()
        return self.hits(results)

    def quiet(self, min_ns: int) -> float:
        """Hits alone, of which nothing is left out: what hits in company are held against."""
        timing = ffi.new("struct timing *")
        self.check(lib.timing_hits(*self._of(self.keys.hits, min_ns, self._company(1), timing)))
        return float(timing.ns)

    def hits(self, timings: Sequence[Any]) -> Hits:
        """Of all threads that began at once: struct timing of each."""
        ns = sum(timing.ns for timing in timings) / len(timings)
        if self.functions.busy == ffi.NULL:
            return Hits(ns, None)
        return Hits(ns, max(timing.busy for timing in timings) / sum(timing.operations for timing in timings))

    def _allowing_busy(self, hits: Any) -> Any:
        """For designs that may have no answer, which would make the sum wrong."""
        if self.functions.busy == ffi.NULL:
            return hits
        draws = ffi.new("struct timing_draws *")
        draws.keys, draws.sums, draws.n = hits.keys, ffi.NULL, hits.n
        return draws

    def beside_churn(self, min_ns: int, processor: int) -> Hits:
        """Hits while another thread inserts and removes other keys."""
        n = max(self.keys.n // CHURN_SHARE, min(64, self.keys.n))
        if n < 64:
            raise BenchError("the partner needs 64 keys at least")
        keys = self.keys.absent
        return self._beside(min_ns, processor, 64, lambda c: lib.timing_churn_partner(*self._of(keys, n, c)))

    def beside_resizes(self, min_ns: int, processor: int) -> Hits:
        """Hits while another thread makes room for four times as many entries, and gives it back, again and again."""
        n = self.keys.n
        if ffi.NULL in (self.functions.reserve, self.functions.shrink):
            raise BenchError(f"{self.contender.name} cannot be told to resize")
        return self._beside(min_ns, processor, 1, lambda c: lib.timing_resize_partner(*self._of(n, c)))

    def _beside(self, min_ns: int, processor: int, turns: int, work: Callable[[Any], int]) -> Hits:
        """Hits beside a partner, until it has done so many turns at least."""
        company = self._company(2)
        company.wanted = turns
        partner = _Thread(self, processor, lambda: self.check(work(company)))
        timing = ffi.new("struct timing *")
        status = lib.timing_hits(*self._of(self._allowing_busy(self.keys.hits), min_ns, company, timing))
        company.stop = 1
        partner.end()
        self.check(status)
        self.settle()
        return self.hits([timing])

    def while_growing(self, start: int, processor: int) -> Any:
        """Lookups of the first entries, each timed, while another thread inserts all others: struct timing."""
        company, keys = self._company(2), self.keys
        self.check(lib.timing_insert(*self._of(keys.present, keys.next, start), ffi.new("struct timing *")))
        arguments = self._of(keys.present + start, keys.next + start, keys.n - start, company)
        partner = _Thread(self, processor, lambda: self.check(lib.timing_grow_partner(*arguments)))
        timing = ffi.new("struct timing *")
        status = lib.timing_latency(*self._of(keys.present, keys.next, start, company, timing))
        partner.end()
        self.check(status)
        return timing

    # --------------------------------------------------------------------------------------------- worst

    def cost(self) -> Any:
        """struct timing_cost of all keys."""
        cost = ffi.new("struct timing_cost *")
        lib.timing_cost(*self._of(self.keys.present, self.keys.n, cost))
        return cost

    def instructions(self, keys: Sequence[int]) -> int:
        """The most of these keys' lookups; 0 where they cannot be counted."""
        counts = ffi.new("uint32_t[]", len(keys))
        if lib.interrupt_count(*self._of(buffer(array("Q", keys)), len(keys), counts)) != lib.INTERRUPT_OK:
            raise BenchError(f"{self.contender.name}: the child that steps through a lookup failed")
        return max(int(count) for count in counts)


class _Thread:
    """A thread on a processor; end() waits for it, and raises what it raised."""

    def __init__(self, subject: Subject, processor: int, work: Callable[[], None]) -> None:
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(subject.functions, processor, work))
        self._thread.start()

    def _run(self, functions: Any, processor: int, work: Callable[[], None]) -> None:
        pin(processor)
        if functions.thread_begin != ffi.NULL:
            functions.thread_begin()
        try:
            work()
        except BaseException as error:
            self._error = error
        if functions.thread_end != ffi.NULL:
            functions.thread_end()

    def end(self) -> None:
        self._thread.join()
        if self._error is not None:
            raise self._error
