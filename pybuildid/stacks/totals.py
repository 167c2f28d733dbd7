# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What functions take: by themselves, and with all that they call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pybuildid.stacks.model import FALLBACK, Frame, StackProfile, stack_frames


class FunctionKey(NamedTuple):
    """A function of one build of a file. identity: its build ID, or its path. module: its name, the first if it has
    several."""

    name: str
    identity: str
    module: str


@dataclass
class Totals:
    """alone: in the function itself. total: with all that it calls."""

    alone: int = 0
    total: int = 0
    named: bool = True


class _Functions(dict[int, list[int]]):
    """The functions at each location, by its number, as numbers of `found`: made when a stack first has it."""

    def __init__(self, frames: Sequence[Sequence[Frame]]) -> None:
        super().__init__()
        self._frames = frames
        self._modules: dict[str, str] = {}
        self._numbers: dict[FunctionKey, int] = {}
        self.found: list[Totals] = []

    def __missing__(self, location: int) -> list[int]:
        self[location] = numbers = [self.number(frame) for frame in self._frames[location - 1]]
        return numbers

    def number(self, frame: Frame) -> int:
        module = self._modules.setdefault(frame.identity, frame.module)
        at = self._numbers.setdefault(FunctionKey(frame.name, frame.identity, module), len(self.found))
        if at == len(self.found):
            self.found.append(Totals(named=frame.named))
        return at

    def totals(self) -> dict[FunctionKey, Totals]:
        return dict(zip(self._numbers, self.found))


def function_totals(profile: StackProfile, value: int) -> tuple[dict[FunctionKey, Totals], int]:
    """Of each function, and of all samples. One that is on a stack twice counts once in its total."""
    frames = profile.frames()
    functions = _Functions(frames)
    whole = 0
    for sample in profile.samples:
        count = sample.values[value]
        whole += count
        if sample.label(FALLBACK):
            stack = [functions.number(frame) for frame in reversed(stack_frames(frames, sample))]
        else:
            stack = [at for location in sample.stack for at in functions[location]]
        for at in set(stack):
            functions.found[at].total += count
        if stack:
            functions.found[stack[0]].alone += count
    return functions.totals(), whole
