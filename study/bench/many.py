# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a lookup of many keys costs from Python, beside the same lookups in C: in one process, in turns."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from typing import Any

from pybuildid.table import Table
from study._measure import ffi, lib
from study.bench.keys import buffer
from study.bench.result import MANY_C, MANY_LFHT, MANY_LOOP, MANY_PYTHON
from study.bench.subject import BenchError, Subject

ID_BYTES = int(lib.BID_ID_NARROW)


def octets(array: bytearray) -> Any:
    return ffi.from_buffer("uint8_t[]", array)


class Many:
    """A table of the package with the entries of our subject, and arrays for all answers, which both sides fill."""

    def __init__(self, subject: Subject, seed: int, lfht: Subject | None = None) -> None:
        """lfht: liburcu's table with the same entries, for a loop over its lookups."""
        keys = subject.keys
        self.subject, self.lfht, self.n = subject, lfht, int(keys.hits.n)
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
        for what, many in ((MANY_C, 1), (MANY_LOOP, 0)):
            yield what, self.subject, self._into_arrays(self.subject, many)
        in_c = self.ids[:], self.lengths[:]
        if self.lfht is not None:
            yield MANY_LFHT, self.lfht, self._into_arrays(self.lfht, 0)
            if in_c != (self.ids, self.lengths):
                raise BenchError(f"{self.lfht.contender.name} and ours disagree")
        begin = time.perf_counter_ns()
        self.table.lookup_many(self.drawn, ids=self.ids, lengths=self.lengths)
        yield MANY_PYTHON, self.subject, (time.perf_counter_ns() - begin) / self.n
        if in_c != (self.ids, self.lengths):
            raise BenchError("ours: Table.lookup_many() and C disagree")

    def _into_arrays(self, subject: Subject, many: int) -> float:
        timing = ffi.new("struct timing *")
        arrays = octets(self.ids), octets(self.lengths)
        subject.check(lib.timing_into_arrays(subject.functions, subject.table, self.draws, many, *arrays, timing))
        return float(timing.ns)
