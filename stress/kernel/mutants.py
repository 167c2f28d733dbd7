# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the torture must catch: a rival with locks, and builds of the table with one fault each."""

from __future__ import annotations

from dataclasses import dataclass

from stress.mutants.catalog import MUTANTS as OF_TABLE
from stress.mutants.edits import Edit


@dataclass(frozen=True)
class Mutant:
    name: str
    fault: str
    edits: tuple[Edit, ...]


def _of_table(name: str) -> Mutant:
    mutant = next(mutant for mutant in OF_TABLE if mutant.name == name)
    return Mutant(mutant.name, mutant.fault, mutant.edits)


FREED_AT_ONCE = Mutant(
    "freed-at-once",
    "what was left is freed without a grace period",
    (
        Edit(
            "kernel/platform_kernel.c",
            "return smp_load_acquire(&bid_grace.over);",
            "return U64_MAX;",
        ),
    ),
)
SLEEPERS_FORGOTTEN = Mutant(
    "sleepers-forgotten",
    "reclaim waits for lookups, by RCU, and not for updates that sleep, by SRCU",
    (
        Edit(
            "kernel/platform_kernel.c",
            " ||\n        !poll_state_synchronize_srcu(&bid_updates, bid_grace.srcu))",
            ")",
        ),
    ),
)

#: Caught by exact NMIs on one processor, in one boot but for those that crash it.
MUTANTS = (
    *map(
        _of_table,
        (
            "published-before-filled",
            "no-seal",
            "lookup-in-one-array",
            "frozen-word-believed",
            "torn-copy",
            "no-tombstone",
            "head-moved-too-early",
        ),
    ),
    FREED_AT_ONCE,
    SLEEPERS_FORGOTTEN,
)
