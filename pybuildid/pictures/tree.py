# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The stacks of a profile as one tree of functions, each with what was counted there: what pictures are drawn from.

A stack is kept as bytes, four for each function, the outermost first. Sorted, stacks with the same callers stand
together: each one's nodes are those that the stack before does not have.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pybuildid.stacks.model import FALLBACK, Frame, Label, Sample, StackProfile, thread_name

CODE = "I"  #: of array: a function's number
WIDTH = array(CODE).itemsize


class Key(NamedTuple):
    """What counts are told apart by. stack: functions, the outermost first. thread, missing: numbers."""

    stack: bytes
    thread: int
    missing: int


@dataclass
class Tree:
    """Stacks with their counts, for each profile that was added."""

    kind: str
    unit: str
    frames: dict[Frame, int] = field(default_factory=dict)
    threads: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=lambda: {"": 0})
    counts: list[dict[Key, int]] = field(default_factory=list)

    def add(self, profile: StackProfile, value: int, *, builds_alike: bool = False) -> None:
        """A profile, beside those before. builds_alike: functions of one name in builds of one file are the same."""
        stacks = _Stacks(self, profile, builds_alike)
        counts: dict[Key, int] = {}
        threads: dict[tuple[Label, ...], int] = {}
        for sample in profile.samples:
            thread = threads.get(sample.labels)
            if thread is None:
                name = thread_name(sample)
                thread = threads[sample.labels] = self.threads.setdefault(name, len(self.threads))
            reason = sample.label(FALLBACK) if sample.labels else ""
            key = Key(stacks.functions(sample, reason), thread, stacks.missing(sample, reason))
            counts[key] = counts.get(key, 0) + sample.values[value]
        self.counts.append(counts)

    def function(self, frame: Frame, builds_alike: bool) -> int:
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
        """The stacks. Nodes are numbered: the root is 0, and a node is followed by all that are below it, then by the
        next one beside it. depths, functions: of each node but the root. nodes, threads, missing: of each count.
        counts0 and so on: what was counted in a node itself, for each profile. Numbers are as short as they can be."""
        keys = sorted(set().union(*self.counts))
        depths, functions, nodes = array(CODE), array(CODE), array(CODE)
        before = b""
        for key in keys:
            stack = key.stack
            if stack != before:
                shared = _shared(before, stack)
                functions.frombytes(stack[shared:])
                depths.extend(range(shared // WIDTH + 1, len(stack) // WIDTH + 1))
                before = stack
            nodes.append(len(functions) if stack else 0)
        return {
            "depths": _short(depths),
            "functions": _short(functions),
            "nodes": nodes,
            "threads": _short([key.thread for key in keys]),
            "missing": _short([key.missing for key in keys]),
            **{f"counts{at}": array("d", [of.get(key, 0) for key in keys]) for at, of in enumerate(self.counts)},
        }


def _short(numbers: Sequence[int]) -> array[int]:
    most = max(numbers, default=0)
    return array("B" if most < 1 << 8 else "H" if most < 1 << 16 else CODE, numbers)


def _shared(one: bytes, other: bytes) -> int:
    """Bytes of the callers that two stacks share."""
    least = min(len(one), len(other))
    unlike = int.from_bytes(one[:least], "big") ^ int.from_bytes(other[:least], "big")
    return (least - (unlike.bit_length() + 7) // 8) // WIDTH * WIDTH


class _Stacks:
    """Of a profile: the functions of its locations, and those that have no name."""

    def __init__(self, tree: Tree, profile: StackProfile, builds_alike: bool) -> None:
        frames = profile.frames()
        self._tree = tree
        self._parts = [b"", *(self._part(frame, builds_alike) for frame in frames)]
        nameless = enumerate((next((frame for frame in each if not frame.named), None) for each in frames), 1)
        self._nameless = {number: frame for number, frame in nameless if frame}

    def _part(self, frames: Sequence[Frame], builds_alike: bool) -> bytes:
        return array(CODE, [self._tree.function(frame, builds_alike) for frame in reversed(frames)]).tobytes()

    def functions(self, sample: Sample, reason: str) -> bytes:
        """The box of an innermost frame in no file says why."""
        stack, parts, end = sample.stack, self._parts, b""
        innermost = self._nameless.get(stack[0]) if reason and stack else None
        if innermost and not innermost.module:
            stack = stack[1:]
            end = array(CODE, [self._tree.function(Frame(f"[{reason}]", named=False), False)]).tobytes()
        return b"".join([parts[number] for number in reversed(stack)]) + end

    def missing(self, sample: Sample, reason: str) -> int:
        if not reason and not self._nameless.keys().isdisjoint(sample.stack):
            frame = next(self._nameless[number] for number in sample.stack if number in self._nameless)
            reason = f"no name in {frame.module or 'unknown code'}"
        return self._tree.missing.setdefault(reason, len(self._tree.missing))


def tree_of(profile: StackProfile, value: int) -> Tree:
    kind, unit = profile.types[value] if profile.types else ("samples", "count")
    tree = Tree(kind, unit)
    tree.add(profile, value)
    return tree
