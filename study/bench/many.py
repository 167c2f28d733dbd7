# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a lookup of many keys costs from Python, beside the same lookups in C: in one process, in turns."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from pybuildid.table import Table
from study._measure import ffi, lib
from study.bench.keys import buffer
from study.bench.result import MANY_C, MANY_LFHT, MANY_LOOP, MANY_PYTHON
from study.bench.subject import BenchError, Subject

ID_BYTES = int(lib.BID_ID_NARROW)


def octets(array: bytearray) -> Any:
    return ffi.from_buffer("uint8_t[]", array)


def _ways(subject: Subject) -> tuple[tuple[str, int], ...]:
    """What a design with into_arrays() can do; liburcu's has no call for many keys."""
    return ((MANY_C, 1), (MANY_LOOP, 0)) if subject.functions.lookup_many != ffi.NULL else ((MANY_LFHT, 0),)


class Many:
    """A table of the package with the entries of our subject, and arrays for all answers, which both sides fill."""

    def __init__(self, subject: Subject, seed: int, others: Sequence[Subject] = ()) -> None:
        """others: tables with the same entries that can do the same."""
        keys = subject.keys
        self.subject, self.others, self.n = subject, others, int(keys.hits.n)
        self.drawn = memoryview(ffi.buffer(keys.hits.keys, 8 * self.n)).cast("Q")
        self.draws = keys.hits
        self.ids, self.lengths = bytearray(self.n * ID_BYTES), bytearray(self.n)
        present = array("Q", bytes(ffi.buffer(keys.present, 8 * keys.n)))
        self.table = Table(id_size=ID_BYTES, seed=seed)
        self.table.insert_many(present, self._ids(present))

    def _ids(self, present: array[int]) -> bytearray:
        """Those of the subject's entries."""
        ids, lengths = bytearray(len(present) * ID_BYTES), bytearray(len(present))
        arguments = buffer(present), len(present), octets(ids), octets(lengths)
        found = self.subject.functions.lookup_many(self.subject.table, *arguments)
        if found != len(present):
            raise BenchError("ours: a key is missing")
        return ids

    def close(self) -> None:
        self.table.close()

    def turn(self) -> Iterator[tuple[str, Subject, float]]:
        """Each way once: its figure, and ns a key. Raises BenchError if the answers are not the same."""
        answers = None
        for subject in (self.subject, *self.others):
            for what, many in _ways(subject):
                yield what, subject, self._into_arrays(subject, many)
                answers = answers or (self.ids[:], self.lengths[:])
                if answers != (self.ids, self.lengths):
                    raise BenchError(f"{subject.contender.name} and ours disagree")
        begin = time.perf_counter_ns()
        self.table.lookup_many(self.drawn, ids=self.ids, lengths=self.lengths)
        yield MANY_PYTHON, self.subject, (time.perf_counter_ns() - begin) / self.n
        if answers != (self.ids, self.lengths):
            raise BenchError("ours: Table.lookup_many() and C disagree")

    def _into_arrays(self, subject: Subject, many: int) -> float:
        timing = ffi.new("struct timing *")
        arrays = octets(self.ids), octets(self.lengths)
        subject.check(lib.timing_into_arrays(subject.functions, subject.table, self.draws, many, *arrays, timing))
        return float(timing.ns)
