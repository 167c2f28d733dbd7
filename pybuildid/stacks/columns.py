# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles in the format of pprof as C has read them (csrc/pprof): columns of numbers, and rows of samples.

A row is a stack with a set of labels, and the sums of all samples that have both. The format's own bytes of a stack are
its key, so a million rows take about 100 MB.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Literal

from pybuildid._core import ffi, lib
from pybuildid.stacks.memory import STEP, available
from pybuildid.stacks.model import Label, Sample
from pybuildid.stacks.wire import WireError
from pybuildid.stacks.work import check_work

CHUNK = 1 << 20  #: bytes that are read at a time
SOME = 4096  #: rows that are decoded or written at a time
SHARE = 4  #: a profile may take so small a part of the memory that there is; what is made of it takes more
LOCATION, LINE, FUNCTION = lib.BID_PPROF_LOCATION, lib.BID_PPROF_LINE, lib.BID_PPROF_FUNCTION

_PROBLEMS = {
    lib.BID_PPROF_E_CUT: "a message ends in the midst of a field",
    lib.BID_PPROF_E_NUMBER: "a number has more than ten bytes",
    lib.BID_PPROF_E_WIRE: "a field has an unknown wire type, or one that is wrong for this field",
    lib.BID_PPROF_E_LARGE: f"a field, or all mappings together, have more than {lib.BID_PPROF_FIELD_MAX >> 20} MiB",
    lib.BID_PPROF_E_MESSAGE: "a number stands where a message should",
    lib.BID_PPROF_E_VALUES: f"samples differ in how many values they have, or have over {lib.BID_PPROF_VALUES_MAX:,}",
    lib.BID_PPROF_E_LOCATION: "a sample is of a location that there is not",
    lib.BID_PPROF_E_FIELD: "a field has the number 0",
    lib.BID_PPROF_E_ID: "two locations have the same id, or one has none",
}


def check(status: int) -> int:
    """Raises what a status of C means."""
    if status == lib.BID_PPROF_E_MEMORY:
        raise MemoryError("no memory for the samples of a profile")
    if status < 0:
        raise WireError(_PROBLEMS[status])
    return status


def _seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


def allocated(made: Any, free: Callable[[Any], None]) -> Any:
    """An object of C, which is freed when nobody has it any more."""
    if made == ffi.NULL:
        raise MemoryError("no memory for a profile")
    return ffi.gc(made, free)


class Message:
    """A message that is read from its first byte to its last. Raises WireError where it is damaged, and MemoryError if
    it takes more than one SHARE of the memory that is available: a small file can unpack to a large message. Raises
    WorkError if it asks for more work than a file of its size can need."""

    def __init__(self, read: Callable[[int], bytes], chunk: int = CHUNK, size: int | None = None) -> None:
        """read: gives the next n bytes at most, and b"" at the end. size: bytes of its file, packed or not; None: it is
        from no file."""
        self.c = allocated(lib.bid_pprof_create(_seed()), lib.bid_pprof_destroy)
        rest, taken = b"", STEP
        while more := read(chunk):
            data = rest + more
            rest = data[check(lib.bid_pprof_read(self.c, data, len(data))) :]
            taken = self._check_memory(taken)
            check_work(int(lib.bid_pprof_work(self.c)), "bytes of labels, names and places of code", size)
        if rest:
            raise WireError("it ends in the midst of a field")
        check(lib.bid_pprof_finish(self.c))
        check_work(int(self.c.frames), "functions on all its stacks", size)

    def _check_memory(self, before: int) -> int:
        """What it takes. before: so much was not too much."""
        taken = int(lib.bid_pprof_bytes(self.c))
        if taken > before and taken > available() // SHARE:
            raise MemoryError(f"what is distinct in it takes more than 1/{SHARE} of the memory that there is")
        return max(taken, before)

    def column(self, name: str, width: int, at: int, kind: Literal["Q", "q"] = "Q") -> list[int]:
        """Of a table whose items have so many numbers, the ones at this place. kind: "q" for signed ones."""
        numbers = getattr(self.c, name)
        if not numbers.count:
            return []
        whole = memoryview(ffi.buffer(numbers.items, 8 * numbers.count)).cast("B").cast(kind)
        return whole[at::width].tolist()

    def strings(self) -> list[str]:
        text = _bytes(self.c.text)
        ends = self.column("strings", 1, 0)
        return [text[begin:end].decode("utf-8", "surrogateescape") for begin, end in zip([0, *ends], ends)]

    def others(self) -> bytes:
        """The fields that are in no table."""
        return _bytes(self.c.others)

    def label_sets(self) -> list[bytes]:
        """Each as a message of which field 3 is a label."""
        keys, rows = _bytes(self.c.labels.keys), self.c.labels.rows
        return [keys[rows[at].key : rows[at].key + rows[at].size] for at in range(self.c.labels.count)]


def _bytes(buffer: Any) -> bytes:
    return bytes(ffi.buffer(buffer.bytes, buffer.size)) if buffer.size else b""


class Rows:
    """Samples, as often as they are iterated over. labels: the sets that rows have, by their numbers."""

    def __init__(self, sums: Any, labels: Sequence[tuple[Label, ...]], message: Message | None = None) -> None:
        self.sums, self.labels, self.message = sums, labels, message

    def __len__(self) -> int:
        return int(self.sums.count)

    @property
    def width(self) -> int:
        """How many values a row has."""
        return int(self.sums.width)

    def __iter__(self) -> Iterator[Sample]:
        for begin in range(0, len(self), SOME):
            yield from self._some(begin, min(begin + SOME, len(self)))

    def _some(self, begin: int, end: int) -> Iterator[Sample]:
        sums, count, width = self.sums, end - begin, self.width
        last = sums.rows[end - 1]
        stacks = array("I", bytes(4 * (last.key + last.size - sums.rows[begin].key)))
        ends, sets = array("I", bytes(4 * count)), array("I", bytes(4 * count))
        profile = self.message.c if self.message else ffi.NULL
        lib.bid_sums_stacks(
            sums, profile, begin, end, *(ffi.from_buffer("uint32_t[]", each) for each in (stacks, ends, sets))
        )
        values = array("q", bytes(ffi.buffer(sums.values + begin * width, 8 * count * width)))
        start = 0
        for at, (stop, labels) in enumerate(zip(ends, sets)):
            stack = tuple(stacks[start:stop])
            yield Sample(stack, tuple(values[at * width : (at + 1) * width]), self.labels[labels])
            start = stop

    def encoded(self, encode: Callable[[tuple[Label, ...]], bytes]) -> Iterator[bytes]:
        """Fields of a profile, with locations by their numbers. encode: makes fields of a sample from labels."""
        assert self.message
        sums = Sums(self.width)
        sums.add(self, array("I", range(1, self.message.c.locations.count // LOCATION + 1)))
        return sums.encoded(encode)


class Sums(Rows):
    """Rows of several profiles."""

    def __init__(self, width: int) -> None:
        self._numbers: dict[tuple[Label, ...], int] = {}
        self._sets: list[tuple[Label, ...]] = []
        super().__init__(allocated(lib.bid_sums_create(width, _seed()), lib.bid_sums_destroy), self._sets)

    def add(self, rows: Rows, locations: array[int], without: Collection[str] = ()) -> None:
        """Adds those of a message. locations: their numbers here. without: keys of labels that are dropped."""
        assert rows.message
        numbers = array("I")
        for labels in rows.labels:
            kept = tuple(label for label in labels if label.key not in without)
            if kept not in self._numbers:
                self._numbers[kept] = len(self._sets)
                self._sets.append(kept)
            numbers.append(self._numbers[kept])
        here = [ffi.from_buffer("uint32_t[]", each) for each in (locations, numbers)]
        check(lib.bid_sums_add(self.sums, rows.message.c, *here))

    def encoded(self, encode: Callable[[tuple[Label, ...]], bytes]) -> Iterator[bytes]:
        labels, ends = [encode(each) for each in self.labels], array("Q")
        for each in labels:
            ends.append(len(each) + (ends[-1] if ends else 0))
        text, out = b"".join(labels), ffi.gc(ffi.new("struct bid_bytes *"), lib.bid_bytes_free)
        for begin in range(0, len(self), SOME):
            end = min(begin + SOME, len(self))
            out.size = 0
            check(lib.bid_sums_write(self.sums, begin, end, text, ffi.from_buffer("uint64_t[]", ends), out))
            yield _bytes(out)
