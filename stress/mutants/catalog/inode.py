# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/inode and of generations: the flag-bit protocol."""

from __future__ import annotations

from stress.mutants.checks import Histories, Mutant, Program, Storm
from stress.mutants.edits import Edit

PROTOCOL = [
    Mutant(
        "generation-not-compared",
        "G3",
        "a lookup that names a generation gets the build ID of another file that had the same inode",
        (
            Edit(
                "table/lookup.c",
                "if (generation != BID_ANY_GENERATION && found.record->generation != generation)",
                "if (0)",
            ),
        ),
        (Program("test_inode"), Storm(), Histories()),
    ),
    Mutant(
        "evict-forgets-the-flag",
        "G3",
        "evict does not mark the inode as dying, so an associate that comes later leaves an entry behind",
        (
            Edit(
                "inode/inode.c",
                "bid_or(bid_inode_flags(inode), BID_INODE_DYING, BID_I_ACQUIRE);",
                "bid_load(bid_inode_flags(inode), BID_RELAXED);",
            ),
        ),
        (Program("test_inode"),),
    ),
]
