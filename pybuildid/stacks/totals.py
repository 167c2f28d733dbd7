# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What functions take: by themselves, and with all that they call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from pybuildid.stacks.model import StackProfile, stack_frames


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


def function_totals(profile: StackProfile, value: int) -> tuple[dict[FunctionKey, Totals], int]:
    """Of each function, and of all samples. One that is on a stack twice counts once in its total."""
    frames = profile.frames()
    found: dict[FunctionKey, Totals] = {}
    modules: dict[str, str] = {}
    whole = 0
    for sample in profile.samples:
        count = sample.values[value]
        whole += count
        stack = stack_frames(frames, sample)
        keys = [
            FunctionKey(frame.name, frame.identity, modules.setdefault(frame.identity, frame.module)) for frame in stack
        ]
        for key, frame in zip(keys, stack):
            if key not in found:
                found[key] = Totals(named=frame.named)
        for key in set(keys):
            found[key].total += count
        if keys:
            found[keys[-1]].alone += count
    return found, whole
