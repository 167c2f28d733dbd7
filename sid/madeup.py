# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Made-up profiles of stacks, for the tests of what reads them."""

from __future__ import annotations

import random

from pybuildid.stacks.model import Label, Line, Location, Mapping, Sample, StackProfile, ValueType

TYPES = [ValueType("samples", "count"), ValueType("cpu", "nanoseconds")]
PERIOD = 1_000_000


def named_profile(*stacks: tuple[str, int], labels: tuple[Label, ...] = ()) -> StackProfile:
    """From folded stacks; a name FILE!FUNCTION puts the function into that file, whose build ID is made of its name."""
    files: dict[str, int] = {}
    names: dict[str, int] = {}
    locations: list[Location] = []
    samples: list[Sample] = []
    for stack, count in stacks:
        for name in stack.split(";"):
            if name not in names:
                file, _, function = name.rpartition("!")
                mapping = files.setdefault(file, len(files) + 1) if file else 0
                names[name] = len(names) + 1
                lines = (Line(function, function, f"{function}.c", 10),) if function else ()
                locations.append(Location(mapping, mapping * 0x10000 + len(names), lines))
        samples.append(
            Sample(tuple(names[name] for name in reversed(stack.split(";"))), (count, count * PERIOD), labels)
        )
    mappings = [
        Mapping(n * 0x10000, n * 0x10000 + 0x8000, 0, f"/usr/lib/{file}", file.encode().hex().ljust(40, "0"))
        for file, n in files.items()
    ]
    return StackProfile(TYPES, samples, mappings, locations, TYPES[1], PERIOD, comments=["made up"])


def large_profile(stacks: int, depth: int, seed: int = 1, functions: int = 3000, threads: int = 8) -> StackProfile:
    """So many different stacks, like those of a program: callers call few functions."""
    rng = random.Random(seed)
    locations = [
        Location(1 + i % 20, (1 + i % 20) << 24 | i, (Line(f"function_{i}", f"function_{i}", f"src/{i % 97}.c", i),))
        for i in range(functions)
    ]
    mappings = [Mapping(n << 24, (n + 1) << 24, 0, f"/usr/lib/lib{n}.so", f"{n:040x}") for n in range(1, 21)]
    seen: set[tuple[int, ...]] = set()
    samples: list[Sample] = []
    while len(samples) < stacks:
        place, stack = 1, [1]
        for _ in range(rng.randint(depth // 2, depth)):
            place = (place * 31 + min(int(rng.expovariate(0.8)), 9) * 7919) % functions + 1
            stack.append(place)
        key = tuple(reversed(stack))
        if key not in seen:
            seen.add(key)
            count = 1 + int(rng.paretovariate(1.2))
            labels = (Label("thread", f"worker {len(samples) % threads}"),)
            samples.append(Sample(key, (count, count * PERIOD), labels))
    return StackProfile(TYPES, samples, mappings, locations, TYPES[1], PERIOD)
