# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/region, and of the grace periods of readers elsewhere."""

from __future__ import annotations

from stress.mutants.checks import Model, Mutant, Program
from stress.mutants.edits import Edit

TABLE, READERS = Program("test_region"), Program("test_region_readers")
OBSERVED = Model("retire, observe a reader elsewhere, reclaim")
PAGES = Model("pages of a region given back and taken")
BOTH_OVER = "return oldest < observed ? oldest : observed;"

REGION = [
    Mutant(
        "grace-period-of-the-wrong-flavor",
        "G7",
        "a table in a region frees memory when its own pins allow it, even while others read elsewhere",
        (Edit("process/grace.c", BOTH_OVER, "(void)observed;\n    return oldest;"),),
        (TABLE, READERS, OBSERVED),
    ),
    Mutant(
        "pins-forgotten-in-shared",
        "G7",
        "a table in a region frees memory when nobody reads elsewhere, even while a thread has a pin",
        (Edit("process/grace.c", BOTH_OVER, "(void)oldest;\n    return observed;"),),
        (TABLE,),
    ),
    Mutant(
        "number-of-the-future",
        "G7",
        "an observed grace period also counts for what is retired while it lasts",
        (
            Edit(
                "process/grace.c",
                "return bid_load(&table->pins->epoch, BID_E_ACQUIRE) >> BID_PIN_DEPTH_BITS;",
                "return (bid_load(&table->pins->epoch, BID_E_ACQUIRE) >> BID_PIN_DEPTH_BITS) + 1;",
            ),
        ),
        (TABLE, OBSERVED),
    ),
    Mutant(
        "late-number-goes-back",
        "G7",
        "an observer that comes late takes back what another has observed",
        (
            Edit(
                "process/grace.c",
                "while (before < number && !bid_cas(&table->observed,",
                "if (!bid_cas(&table->observed,",
            ),
        ),
        (TABLE,),
    ),
    Mutant(
        "child-updates-its-parents-table",
        "G9",
        "the child of a fork updates a table in memory that it shares with its parent",
        (Edit("table/update.h", "return table->flavor->shared &&", "return 0 &&"),),
        (TABLE,),
    ),
    Mutant(
        "reader-ignores-the-future",
        "G3",
        "a lookup in a region never asks the future array",
        (Edit("region/reader.c", "if (!future || (found", "if (1 || (found"),),
        (TABLE,),
    ),
    Mutant(
        "reader-believes-addresses",
        "G3",
        "a lookup in a region takes the updating process's addresses for its own",
        (
            Edit(
                "region/layout.h",
                "return (const char *)region + ((uintptr_t)there - region->address);",
                "(void)region;\n    return there;",
            ),
        ),
        (READERS,),
    ),
    Mutant(
        "pages-taken-twice",
        "G7",
        "a region gives out pages that another thread has taken meanwhile",
        (Edit("region/region.c", "if (!(before & mask))", "if (1)"),),
        (TABLE, PAGES),
    ),
    Mutant(
        "claim-not-rolled-back",
        "G7",
        "who finds a page taken keeps those of the same word that it has set",
        (Edit("region/region.c", "mask & ~before, BID_RELAXED", "0, BID_RELAXED"),),
        (TABLE, PAGES),
    ),
    Mutant(
        "first-word-not-rolled-back",
        "G7",
        "who finds a page taken keeps those of the words before",
        (Edit("region/region.c", "        bid_bits_clear(bits, first, at);\n", ""),),
        (TABLE, PAGES),
    ),
    Mutant(
        "block-not-zeroed",
        "G5",
        "a region gives out memory with what was in it",
        (
            Edit(
                "region/region.c",
                "return memset((char *)region + region->blocks + first * region->page, 0, wanted * region->page);",
                "return (char *)region + region->blocks + first * region->page;",
            ),
        ),
        (TABLE,),
    ),
]
