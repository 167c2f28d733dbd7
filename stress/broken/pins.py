# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Twins of the pins and of what frees memory: reclamation, retired arrays, forks."""

from __future__ import annotations

from stress.broken.checks import NARROW, Fault, Model, Program, Twin
from stress.edits import Edit

RECLAIM = Model("retire, reclaim, look up")
GRACE = "life >> BID_LIFE_BITS >= oldest"

RECLAMATION = [
    Twin(
        "no-grace-period",
        "G7",
        "what was retired is freed at once",
        (Edit("table/reclaim.c", GRACE, "0"),),
        (Program("test_iterate"), RECLAIM),
    ),
    Twin(
        "half-a-grace-period",
        "G7",
        "a pin of the epoch in which an array was retired does not keep it",
        (Edit("table/reclaim.c", GRACE, "life >> BID_LIFE_BITS > oldest"),),
        (Program("test_iterate"), RECLAIM),
    ),
    Twin(
        "no-barrier",
        "G7",
        "the reclaimer scans the pins without a barrier: it may miss one that is still in a store buffer (S)",
        (Edit("table/reclaim.c", "    bid_platform_barrier(table->pins);", "   "),),
        (RECLAIM,),
        NARROW,
    ),
    Twin(
        "unpinned-lookup",
        "G7",
        "a lookup with the general pin gives it up before it reads",
        (
            Edit(
                "table/lookup.c",
                "    int status = bid_answer(bid_find(table, key, cost), generation, id);\n"
                "    bid_unpin(table->pins, pin);\n",
                "    bid_unpin(table->pins, pin);\n"
                "    int status = bid_answer(bid_find(table, key, cost), generation, id);\n",
            ),
        ),
        (RECLAIM,),
        NARROW,
    ),
    Twin(
        "no-limit-on-retired",
        "G7",
        "memory that waits for a stalled reader grows without a limit",
        (Edit("table/resize.c", "return !retired || retired + bytes <= limit ?", "return 1 || limit ?"),),
        (Program("test_limits"), Fault("stalled-reader")),
    ),
    Twin(
        "array-kept-unpublished",
        "G7",
        "an array that could not be made whole is never freed",
        (
            Edit(
                "table/array.c",
                "    if (status != BID_OK)\n        bid_platform_unmap(array->mapping, array->mapping_bytes);\n",
                "",
            ),
        ),
        (Fault("allocation"),),
    ),
    Twin(
        "records-not-charged",
        "G7",
        "what records take does not count against the limit on bytes",
        (Edit("table/record.c", "if (!copying && bill)", "if (0)"),),
        (Fault("byte-limit"),),
    ),
    Twin(
        "pins-not-reentrant",
        "G9",
        "a handler's lookup takes away the pin of what it interrupted",
        (Edit("table/pin.h", "bid_store(&pin.slot->word, pin.before,", "bid_store(&pin.slot->word, 0,"),),
        (Program("test_iterate"),),
    ),
    Twin(
        "crowd-not-counted",
        "G6",
        "readers for whom the pin table had no room do not keep what they read",
        (
            Edit(
                "table/reclaim.c", "return bid_load(&pins->area->crowd, BID_U_ACQUIRE) ? 0 : oldest;", "return oldest;"
            ),
        ),
        (Program("test_threads"), Model("retire, reclaim, crowded pins")),
    ),
    Twin(
        "pins-written-through-a-fork",
        "G9",
        "the pins lie in ordinary memory, which a fork write-protects and hands on to the child",
        (Edit("table/platform_user.c", "status == BID_OK && madvise(", "0 && madvise("),),
        (Program("test_nothing_needed"), Program("test_fork")),
    ),
    Twin(
        "child-loses-its-pins",
        "G9",
        "the child of a fork does not get back the pins of what it goes on with",
        (Edit("table/platform_user.c", "        if (!bid_fork_each(area, kind, bid_fork_restore))\n", ""),),
        (Program("test_fork"),),
    ),
]
