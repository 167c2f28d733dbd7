# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The stacks of a profile as one tree of functions, each with what was counted there: what pictures are drawn from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pybuildid.stacks.model import FALLBACK, Frame, StackProfile, thread_name

ROOT = 0


@dataclass
class Tree:
    """Nodes are numbered, the root is 0, and a node comes after its parent. counts: what was sampled in a node itself,
    by (node, thread, what is missing), for each profile that was added."""

    kind: str
    unit: str
    frames: dict[Frame, int] = field(default_factory=dict)
    parents: list[int] = field(default_factory=lambda: [ROOT])
    functions: list[int] = field(default_factory=lambda: [0])
    threads: dict[str, int] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=lambda: {"": 0})
    counts: list[dict[tuple[int, int, int], int]] = field(default_factory=list)
    _children: dict[tuple[int, int], int] = field(default_factory=dict)

    def add(self, profile: StackProfile, value: int, *, builds_alike: bool = False) -> None:
        """A profile, beside those before. builds_alike: functions of one name in builds of one file are the same."""
        frames = profile.frames()
        places = [tuple(self._function(frame, builds_alike) for frame in reversed(each)) for each in frames]
        nameless = [next((frame for frame in each if not frame.named), None) for each in frames]
        counts: defaultdict[tuple[int, int, int], int] = defaultdict(int)
        stacks: dict[tuple[tuple[int, ...], str], int] = {}
        for sample in profile.samples:
            reason = sample.label(FALLBACK) if sample.labels else ""
            node = stacks.get((sample.stack, reason))
            if node is None:
                node = stacks[sample.stack, reason] = self._node(places, nameless, sample.stack, reason)
            thread = self.threads.setdefault(thread_name(sample) if sample.labels else "", len(self.threads))
            counts[node, thread, self._missing(nameless, sample.stack, reason)] += sample.values[value]
        self.counts.append(counts)

    def _function(self, frame: Frame, builds_alike: bool) -> int:
        """Of all lines of a function: it is one box."""
        frame = frame._replace(source=frame.source.rpartition(":")[0] or frame.source)
        if builds_alike:
            frame = frame._replace(identity="", source="")
        return self.frames.setdefault(frame, len(self.frames))

    def _node(
        self, places: Sequence[tuple[int, ...]], nameless: Sequence[Frame | None], stack: tuple[int, ...], reason: str
    ) -> int:
        node = ROOT
        innermost = nameless[stack[0] - 1] if stack and reason else None
        unknown = innermost is not None and not innermost.module  # its box says why
        for number in reversed(stack[1:] if unknown else stack):
            for function in places[number - 1]:
                node = self._below(node, function)
        return self._below(node, self._function(Frame(f"[{reason}]", named=False), False)) if unknown else node

    def _below(self, node: int, function: int) -> int:
        below = self._children.get((node, function))
        if below is None:
            below = self._children[node, function] = len(self.parents)
            self.parents.append(node)
            self.functions.append(function)
        return below

    def _missing(self, nameless: Sequence[Frame | None], stack: tuple[int, ...], reason: str) -> int:
        if not reason:
            frame = next((frame for number in stack if (frame := nameless[number - 1])), None)
            reason = f"no name in {frame.module or 'unknown code'}" if frame else ""
        return self.missing.setdefault(reason, len(self.missing))

    def document(self, title: str, names: Sequence[str]) -> dict[str, Any]:
        """For JSON: arrays, and names by their numbers. names: of the profiles."""
        texts: dict[str, int] = {}
        columns = [
            [texts.setdefault(getattr(frame, name), len(texts)) for frame in self.frames]
            for name in ("name", "module", "identity", "source")
        ]
        keys = sorted({key for counts in self.counts for key in counts})
        return {
            "title": title,
            "kind": self.kind,
            "unit": self.unit,
            "profiles": list(names),
            "texts": list(texts),
            "frames": columns,
            "nameless": [at for at, frame in enumerate(self.frames) if not frame.named],
            "parents": self.parents,
            "functions": self.functions,
            "threads": list(self.threads),
            "missing": list(self.missing),
            "samples": [list(column) for column in zip(*keys)] or [[], [], []],
            "counts": [[counts.get(key, 0) for key in keys] for counts in self.counts],
        }


def tree_of(profile: StackProfile, value: int) -> Tree:
    kind, unit = profile.types[value] if profile.types else ("samples", "count")
    tree = Tree(kind, unit)
    tree.add(profile, value)
    return tree
