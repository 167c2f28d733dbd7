# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of the pins and of what frees memory: reclamation, retired arrays, forks."""

from __future__ import annotations

from stress.mutants.checks import NARROW, Fault, Model, Mutant, Program
from stress.mutants.edits import Edit

RECLAIM = Model("retire, reclaim, look up")
HANDED_OVER = Model("a temporary slot handed over")
#: Where a retired array is freed: before its pin, and before that is given up.
FORKS = "    uint64_t forks = bid_load(&table->pins->forks, BID_RELAXED);\n"
FREED = "        bid_add(&table->frees, 1, BID_RELAXED);\n    }\n"
GRACE = "life >> BID_LIFE_BITS < over"

RECLAMATION = [
    Mutant(
        "no-grace-period",
        "G7",
        "what was retired is freed at once",
        (Edit("table/reclaim.c", GRACE, "1"),),
        (Program("test_iterate"), RECLAIM),
    ),
    Mutant(
        "half-a-grace-period",
        "G7",
        "a pin of the epoch in which an array was retired does not keep it",
        (Edit("table/reclaim.c", GRACE, "life >> BID_LIFE_BITS <= over"),),
        (Program("test_iterate"), RECLAIM),
    ),
    Mutant(
        "settled-too-early",
        "G7",
        "a thread that stands still as it frees keeps the others from freeing the rest",
        (
            Edit(
                "table/reclaim.c",
                "    bid_retire(table);\n    for",
                "    bid_store(&table->settled, resizes, BID_RELAXED);\n    bid_retire(table);\n    for",
            ),
        ),
        (Program("test_reclaim"),),
    ),
    Mutant(
        "no-barrier",
        "G7",
        "the reclaimer scans the pins without a barrier: it may miss one that is still in a store buffer (S)",
        (Edit("process/grace.c", "    bid_platform_barrier(pins);", "   "),),
        (RECLAIM,),
        NARROW,
    ),
    Mutant(
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
    Mutant(
        "no-limit-on-retired",
        "G7",
        "memory that waits for a stalled reader grows without a limit",
        (Edit("table/resize.c", "return !retired || retired + bytes <= limit ?", "return 1 || limit ?"),),
        (Program("test_limits"), Fault("stalled-reader")),
    ),
    Mutant(
        "array-kept-unpublished",
        "G7",
        "an array that could not be made whole is never freed",
        (
            Edit(
                "table/array.c",
                "    if (status != BID_OK) {\n        bid_array_free(table, array);\n",
                "    if (status != BID_OK) {\n        array->mapping = NULL;\n        bid_array_free(table, array);\n",
            ),
        ),
        (Fault("allocation"),),
    ),
    Mutant(
        "pins-not-reentrant",
        "G9",
        "a handler's lookup takes away the pin of what it interrupted",
        (Edit("process/pins.h", "bid_store(&pin.slot->word, pin.before,", "bid_store(&pin.slot->word, 0,"),),
        (Program("test_iterate"),),
    ),
    Mutant(
        "overflow-not-counted",
        "G6",
        "readers for whom the pin table had no room do not keep what they read",
        (Edit("process/grace.c", "if (bid_load(&pins->area->overflow[i], BID_U_ACQUIRE))", "if (0)"),),
        (Program("test_threads"), Model("retire, reclaim, overflowing pins")),
    ),
    Mutant(
        "pins-written-through-a-fork",
        "G9",
        "the pins lie in ordinary memory, which a fork write-protects and hands on to the child",
        (Edit("process/pins.c", "status == BID_OK && madvise(", "0 && madvise("),),
        (Program("test_nothing_needed"), Program("test_fork")),
    ),
    Mutant(
        "child-loses-its-pins",
        "G9",
        "the child of a fork does not get back the pins of what it goes on with",
        (Edit("process/pins.c", "            bid_fork_restore(kind, area, saved);\n", "            ;\n"),),
        (Program("test_fork"), Program("test_pins")),
    ),
    Mutant(
        "fork-keeps-one-pin",
        "G9",
        "of the temporary pins that a forking thread holds, its child gets back the first",
        (
            Edit(
                "process/pins.c",
                "        own |= i < BID_PIN_SLOTS;\n",
                "        own |= i < BID_PIN_SLOTS;\n        break;\n",
            ),
        ),
        (Program("test_pins"),),
    ),
    Mutant(
        "fork-forgets-the-overflow",
        "G9",
        "a child whose thread was counted in the overflow is not",
        (Edit("process/pins.c", "    bid_store(&area->overflow[number], overflow, BID_RELAXED);\n", ""),),
        (Program("test_pins"),),
    ),
    Mutant(
        "fork-takes-the-overflow-of-others",
        "G9",
        "a child whose thread has a slot of its own gets the overflow of threads it does not have, and frees nothing",
        (Edit("process/pins.c", "bid_fork_copy_own(area, saved) && bid_fork_from_overflow[kind] != thread", "0"),),
        (Program("test_pins"),),
    ),
    Mutant(
        "fork-handlers-twice",
        "G9",
        "where two threads have registered the fork handlers, the child forgets its pins among the overflow",
        (
            Edit(
                "process/pins.c",
                "bid_load(&saved->overflow[i], BID_RELAXED) % BID_FORK_ONE, BID_RELAXED)",
                "0, BID_RELAXED)",
            ),
        ),
        (Program("test_pins"),),
    ),
    Mutant(
        "fork-in-a-fork-counted-twice",
        "G9",
        "the child of a handler that interrupted a fork takes back a count that it does not have, and its children "
        "keep pins that have ended",
        (Edit("process/pins.c", "while (before >= BID_FORK_ONE && !bid_cas(", "while (!bid_cas("),),
        (Program("test_pins"),),
    ),
    Mutant(
        "nested-pin-takes-the-newest-epoch",
        "G7",
        "while a visit or a handler's lookup is inside another visit, what only the outer one may read is not kept",
        (
            Edit(
                "process/pins.h",
                "word = before + 1;",
                "word = bid_load(&pins->epoch, BID_RELAXED) + (before & BID_PIN_DEPTH_MASK);",
            ),
        ),
        (Program("test_pins"),),
    ),
    Mutant(
        "temporary-pin-given-up-first",
        "G7",
        "a temporary slot is free for others before its pin is taken back, which then takes back theirs",
        (
            Edit(
                "process/pin_forms.h",
                "    bid_pin_leave(pin);\n    if (pin.slot >=",
                "    if (pin.slot >=",
            ),
            Edit(
                "process/pin_forms.h",
                "        bid_store(&pin.slot->owner, 0, BID_U_RELEASE);",
                "        bid_store(&pin.slot->owner, 0, BID_U_RELEASE);\n    bid_pin_leave(pin);",
            ),
        ),
        (Program("test_pins"), HANDED_OVER),
    ),
    Mutant(
        "orphans-kept",
        "G9",
        "arrays of which a thread was making or freeing one at a fork are lost to the child",
        (Edit("table/reclaim.c", "    bid_orphans_consider(table);\n", "    (void)bid_orphans_consider;\n"),),
        (Program("test_fork_resize"),),
    ),
    Mutant(
        "orphan-taken-back-twice",
        "G9",
        "two threads of a child take the same array back, and its memory is freed twice",
        (
            Edit(
                "table/orphan.c",
                "bid_cas(&array->life, &life, bid_life_word(forks, life >> BID_LIFE_BITS, BID_LIFE_FREEING), "
                "BID_L_ACQUIRE))",
                "(bid_store(&array->life, bid_life_word(forks, life >> BID_LIFE_BITS, BID_LIFE_FREEING), "
                "BID_RELAXED), 1))",
            ),
        ),
        (Model("what a fork left, taken back by two threads"),),
        NARROW,
    ),
    Mutant(
        "orphan-has-its-thread",
        "G9",
        "the child of a thread that forked in the middle of making or freeing an array takes that away from it",
        (Edit("table/reclaim.c", "table->flavor->over(table) > bid_load(&table->pins->forked, BID_RELAXED)", "1"),),
        (Program("test_fork_resize"),),
    ),
    Mutant(
        "unpinned-while-it-frees",
        "G9",
        "nothing shows that the thread of a child is freeing an array",
        (
            Edit("table/reclaim.c", f"{FORKS}    struct bid_pin pin = bid_pin_update(table->pins, 1);\n", FORKS),
            Edit("table/reclaim.c", f"{FREED}    bid_unpin_update(table->pins, pin);\n", FREED),
        ),
        (Program("test_fork_resize"),),
    ),
    Mutant(
        "forgets-the-mapping-first",
        "G9",
        "an array forgets where its memory is before it gives that back: a fork in between loses it to the child",
        (
            Edit(
                "process/memory.c",
                "    bid_empty(memory, bytes);\n    *address = NULL;\n",
                "    *address = NULL;\n    bid_empty(memory, bytes);\n",
            ),
        ),
        (Program("test_fork_resize"),),
    ),
    Mutant(
        "touch-without-a-write",
        "G2",
        "where the kernel cannot populate memory, it is only read, and later writes fault",
        (
            Edit(
                "process/memory.c",
                "__atomic_fetch_or(address + offset, nothing, __ATOMIC_RELAXED);",
                "nothing = *(volatile char *)(address + offset);",
            ),
        ),
        (Program("test_old_kernel"),),
    ),
]
