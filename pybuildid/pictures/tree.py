# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The stacks of a profile as one tree of functions, each with what was counted there: what pictures are drawn from.

C sorts the stacks and makes the nodes (csrc/pprof/tree.c); here functions, threads and reasons get their numbers.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Literal

from pybuildid._core import ffi, lib
from pybuildid.stacks.columns import Rows, allocated, check
from pybuildid.stacks.model import FALLBACK, Frame, Sample, StackProfile, thread_name
from pybuildid.stacks.pprof import message_of

CODE = "I"  #: of array: a number in C, of 32 bits


@dataclass
class Tree:
    """Stacks with their counts, for each profile that was added."""

    kind: str
    unit: str
    frames: dict[Frame, int] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=lambda: {"": 0})
    _made: Any = field(default_factory=lambda: allocated(lib.bid_tree_create(), lib.bid_tree_destroy))

    def add(self, profile: StackProfile, value: int, *, builds_alike: bool = False) -> None:
        """A profile, beside those before. builds_alike: functions of one name in builds of one file are the same."""
        file = message_of(profile)
        columns = [*self._locations(file.frames(), builds_alike), *self._label_sets(file.samples)]
        kept = [ffi.from_buffer(f"uint{8 * each.itemsize}_t[]", each) for each in columns]
        places = ffi.new("struct bid_tree_places *", kept)
        assert file.samples.message
        check(lib.bid_tree_add(self._made, file.samples.message.c, value, places))

    def _locations(self, frames: Sequence[Sequence[Frame]], builds_alike: bool) -> Iterable[array[int]]:
        """As struct bid_tree_places has them."""
        parts = [[self._function(frame, builds_alike) for frame in reversed(each)] for each in frames]
        unnamed = [next((frame for frame in each if not frame.named), None) for each in frames]
        yield array(CODE, [function for part in parts for function in part])
        yield array(CODE, accumulate(map(len, parts)))
        yield array(
            CODE, [self._reason(f"no name in {each.module or 'unknown code'}") if each else 0 for each in unnamed]
        )
        yield array("B", [each is not None and not each.module for each in unnamed])

    def _label_sets(self, rows: Rows) -> Iterable[array[int]]:
        """The rest. The box of an innermost frame in no file says why."""
        samples = [Sample((), (), labels) for labels in rows.labels]
        names, reasons = map(thread_name, samples), [sample.label(FALLBACK) for sample in samples]
        yield array(CODE, [self.threads.setdefault(name, len(self.threads)) for name in names])
        yield array(CODE, map(self._reason, reasons))
        boxes = [Frame(f"[{reason}]", named=False) if reason else None for reason in reasons]
        yield array(CODE, [self._function(box, False) if box else 0 for box in boxes])

    def _reason(self, text: str) -> int:
        return self.missing.setdefault(text, len(self.missing))

    def _function(self, frame: Frame, builds_alike: bool) -> int:
        """Of all lines of a function: it is one box."""
        frame = frame._replace(source=frame.source.rpartition(":")[0] or frame.source)
        if builds_alike:
            frame = frame._replace(identity="", source="")
        return self.frames.setdefault(frame, len(self.frames))

    def document(self, title: str, names: Sequence[str]) -> dict[str, Any]:
        """All but the stacks, for JSON; names by their numbers. names: of the profiles."""
        texts: dict[str, int] = {}
        columns = [
            [texts.setdefault(getattr(frame, name), len(texts)) for frame in self.frames]
            for name in ("name", "module", "identity", "source")
        ]
        return {
            "title": title,
            "kind": self.kind,
            "unit": self.unit,
            "profiles": list(names),
            "texts": list(texts),
            "frames": columns,
            "nameless": [at for at, frame in enumerate(self.frames) if not frame.named],
            "threads": list(self.threads),
            "missing": list(self.missing),
        }

    def columns(self) -> dict[str, array[Any]]:
        """The stacks, after the last profile. Nodes are numbered: the root is 0, and a node is followed by all that are
        below it, then by the next one beside it. depths, functions: of each node but the root. nodes, threads, missing:
        of each count. counts0 and so on: what was counted in a node itself, for each profile. Numbers are as short as
        they can be."""
        made = self._made
        if made.nodes == ffi.NULL:
            check(lib.bid_tree_finish(made))
        columns: dict[str, array[Any]] = {
            "depths": _short(made.depths, made.node_count, made.deepest),
            "functions": _short(made.functions, made.node_count, len(self.frames)),
            "nodes": array(CODE, bytes(ffi.buffer(made.nodes, 4 * made.count))),
            "threads": _short(made.threads, made.count, len(self.threads)),
            "missing": _short(made.missing, made.count, len(self.missing)),
        }
        for at in range(made.profiles):
            counts = ffi.buffer(made.counts + at * (made.row_count + 1), 8 * made.count)
            columns[f"counts{at}"] = array("d", bytes(counts))
        return columns


def _short(numbers: Any, count: int, most: int) -> array[int]:
    """Numbers of C up to `most`, each in as few bytes as that takes."""
    code: Literal["B", "H", "I"] = "B" if most < 1 << 8 else "H" if most < 1 << 16 else "I"
    size = array(code).itemsize
    parts = memoryview(bytes(ffi.buffer(numbers, 4 * count))).cast(code)
    first = 0 if sys.byteorder == "little" else 4 // size - 1  # the part with the low bytes
    return array(code, parts[first :: 4 // size].tobytes())


def tree_of(profile: StackProfile, value: int) -> Tree:
    kind, unit = profile.types[value] if profile.types else ("samples", "count")
    tree = Tree(kind, unit)
    tree.add(profile, value)
    return tree
