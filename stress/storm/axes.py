# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The options of a table as axes of the storm: what each can be, and which the seed picks."""

from __future__ import annotations

import random
import resource
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stress.storm._storm import lib

CAP_IPC_LOCK = 14
HUGE_ENTRIES = 600_000  #: the slots for so many lie on huge pages from the start

Set = Callable[[Any, int], None]  #: of struct bid_options, and the number of entries at the start


def _assign(**values: int) -> Set:
    def set(options: Any, entries: int) -> None:
        for name, value in values.items():
            setattr(options, name, value)

    return set


def _flag(flag: int) -> Set:
    def set(options: Any, entries: int) -> None:
        options.flags |= flag

    return set


def _twice_the_entries(options: Any, entries: int) -> None:
    options.max_entries = 2 * entries


def _room_for_entries(options: Any, entries: int) -> None:
    options.expected_entries = entries


def _random_seed(options: Any, entries: int) -> None:
    options.seed = 0
    options.flags &= ~lib.BID_FIXED_SEED


NOTHING = _assign()

#: What is usual comes first. All fields of struct bid_options are among them, and all its flags.
AXES: dict[str, dict[str, Set]] = {
    "pins": {"plain": NOTHING, "fenced": _flag(lib.BID_FENCED_PINS)},
    "id-size": {"64": _assign(id_size=64), "20": NOTHING, "33": _assign(id_size=33)},
    "entries": {"unlimited": NOTHING, "limited": _twice_the_entries},
    "retired": {"default": NOTHING, "small": _assign(retired_limit=256 << 10)},
    "room": {"small": NOTHING, "all": _room_for_entries, "huge-pages": _assign(expected_entries=HUGE_ENTRIES)},
    "seed": {"fixed": NOTHING, "random": _random_seed},
    "memory": {"pageable": NOTHING, "locked": _flag(lib.BID_MLOCK)},
}
#: Sizes that the limits leave no room for.
CONFLICTS = {("entries", "limited"): ("room", "huge-pages"), ("memory", "locked"): ("room", "huge-pages")}


def usual() -> dict[str, str]:
    return {axis: next(iter(values)) for axis, values in AXES.items()}


def may_lock() -> bool:
    """Whether this process may lock as much memory as it likes."""
    if resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY:
        return True
    status = Path("/proc/self/status").read_text()
    capabilities = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(capabilities.split()[1], 16) >> CAP_IPC_LOCK & 1)


def choose(seed: int, given: Mapping[str, str]) -> dict[str, str]:
    """A value on each axis: the one that is given, else by the seed, and two times in three the usual one."""
    rng = random.Random(seed)
    chosen = {}
    for axis, values in AXES.items():
        first, *others = values
        drawn = rng.choice(others) if rng.random() < 1 / 3 else first
        chosen[axis] = given.get(axis, drawn)
    if chosen["memory"] == "locked" and "memory" not in given and not may_lock():
        chosen["memory"] = "pageable"
    for (axis, value), (other, conflicting) in CONFLICTS.items():
        if chosen[axis] == value and chosen[other] == conflicting:
            loser = axis if other in given else other
            chosen[loser] = next(iter(AXES[loser]))
    return chosen


def apply(chosen: Mapping[str, str], options: Any, seed: int, entries: int) -> None:
    """Sets the fields of a struct bid_options."""
    options.flags, options.seed = lib.BID_FIXED_SEED, seed
    for axis, value in chosen.items():
        AXES[axis][value](options, entries)


def describe(chosen: Mapping[str, str]) -> str:
    """What is not usual."""
    changed = [f"{axis} {value}" for axis, value in chosen.items() if value != usual()[axis]]
    return ", ".join(changed) or "the usual ones"
