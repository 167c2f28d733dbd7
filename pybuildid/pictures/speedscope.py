# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Profiles in speedscope's format: github.com/jlfwong/speedscope/wiki/Importing-from-custom-sources."""

from __future__ import annotations

from typing import Any

from pybuildid.stacks.model import Frame, StackProfile, stack_frames, thread_name

SCHEMA = "https://www.speedscope.app/file-format-schema.json"
UNITS = {"nanoseconds": "nanoseconds", "microseconds": "microseconds", "milliseconds": "milliseconds", "bytes": "bytes"}


def speedscope(profile: StackProfile, value: int, name: str) -> dict[str, Any]:
    """One of its profiles for each thread."""
    frames = profile.frames()
    numbers: dict[Frame, int] = {}
    threads: dict[str, tuple[list[list[int]], list[int]]] = {}
    for sample in profile.samples:
        stack = [numbers.setdefault(frame, len(numbers)) for frame in stack_frames(frames, sample)]
        samples, weights = threads.setdefault(thread_name(sample), ([], []))
        samples.append(stack)
        weights.append(sample.values[value])
    unit = UNITS.get(profile.types[value].unit, "none") if profile.types else "none"
    return {
        "$schema": SCHEMA,
        "exporter": "pybuildid",
        "name": name,
        "shared": {"frames": [_frame(frame) for frame in numbers]},
        "profiles": [
            {
                "type": "sampled",
                "name": thread or name,
                "unit": unit,
                "startValue": 0,
                "endValue": sum(weights),
                "samples": samples,
                "weights": weights,
            }
            for thread, (samples, weights) in threads.items()
        ],
    }


def _frame(frame: Frame) -> dict[str, Any]:
    file, _, line = frame.source.rpartition(":")
    if file and line.isdecimal():
        return {"name": frame.name, "file": file, "line": int(line)}
    return {"name": frame.name, "file": frame.source or frame.module}
