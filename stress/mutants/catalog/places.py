# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/table: places for records, what is set aside for removes, and what the head word says."""

from __future__ import annotations

from stress.mutants.checks import NARROW, Freeze, Model, Mutant, Program, Step, Storm
from stress.mutants.edits import Edit

PLACES = [
    Mutant(
        "place-written-twice",
        "G3",
        "an insert takes a place that another thread has claimed, for its slot is EMPTY",
        (Edit("table/deciding.c", "at->word & BID_TAKEN ? 0 : bid_place_of", "bid_place_of"),),
        (Program("test_unlucky_moments"), Model("two inserts and one place")),
    ),
    Mutant(
        "taken-is-not-empty",
        "G4",
        "a slot whose place is claimed is not EMPTY: other inserts wait for the claiming thread, or pass it over",
        (Edit("table/slot.h", "(word & BID_STATE_MASK) == BID_EMPTY", "(word & (BID_STATE_MASK | BID_TAKEN)) == 0"),),
        (Freeze("insert"), Model("insert against insert of one key")),
    ),
    Mutant(
        "place-outside-of-its-bucket",
        "G3",
        "a record of two or three units gets the place of a slot that has none for it, in the next bucket's words",
        (
            Edit(
                "table/slot.h",
                "return (slot + 1) * units <= BID_BUCKET_PLACES ?",
                "return slot < BID_BUCKET_PLACES ?",
            ),
        ),
        (Program("test_nmi_forms"), Step(("insert-new",))),
    ),
    Mutant(
        "left-not-set",
        "G3",
        "the head word does not say that its array has a future, so lookups believe what is frozen there",
        (
            Edit("table/update.c", "    bid_leave(table, array);\n", ""),
            Edit(
                "table/resize.c",
                "    bid_leave(table, array);\n    bid_add(&table->causes",
                "    bid_add(&table->causes",
            ),
        ),
        (Step(("replace-resizing",)), Storm(), Model("begin against replace, look up")),
    ),
    Mutant(
        "left-in-a-stale-head-word",
        "G3",
        "LEFT is set by a store: the head goes back to an array that it has left meanwhile",
        (
            Edit(
                "table/move.c",
                "if (bid_cas(&table->head, &head, head | BID_HEAD_LEFT, BID_H_RELEASE))",
                "if (bid_store(&table->head, head | BID_HEAD_LEFT, BID_H_RELEASE), 1)",
            ),
        ),
        (Model("set LEFT late, when the head has moved on"),),
        NARROW,
    ),
    Mutant(
        "left-after-the-update",
        "G3",
        "LEFT is set when an update in the future array has been made, which a lookup may have seen by then",
        (
            Edit("table/update.c", "    bid_leave(table, array);\n", ""),
            Edit(
                "table/update.c",
                "    status = bid_update_array(table, future, op);\n",
                "    status = bid_update_array(table, future, op);\n    bid_leave(table, array);\n",
            ),
        ),
        (Model("begin against replace, look up twice"),),
        NARROW,
    ),
    Mutant(
        "head-moved-by-a-store",
        "G3",
        "a thread that is late with moving the head takes it back from an array to which others have moved it",
        (
            Edit(
                "table/move.c",
                "if (!bid_cas(&table->head, &expected, desired, BID_H_RELEASE))",
                "if (bid_store(&table->head, desired, BID_H_RELEASE), 0)",
            ),
        ),
        (Model("move the head late, when it has moved on twice"),),
        NARROW,
    ),
    Mutant(
        "head-word-of-an-earlier-pin",
        "G7",
        "an update that begins again works with the head word of its first pin, whose array may be freed by then",
        (
            Edit("table/update.h", "bid_array *record_array;", "bid_array *record_array, *kept;"),
            Edit(
                "table/update.c",
                "*head = bid_head(table), *future = bid_future(table, head);\n    if (op->ahead)",
                "*head = op->kept ? op->kept : (op->kept = bid_head(table)), *future = bid_future(table, head);\n"
                "    if (op->ahead)",
            ),
        ),
        (Model("remove, while the array that it began in is freed"),),
        NARROW,
    ),
    Mutant(
        "head-word-before-the-pin",
        "G7",
        "a lookup in simple form reads the head word before it pins, and works with an array that is freed",
        (
            Edit(
                "table/lookup.c",
                "    struct bid_pin pin = bid_pin_plain(table->pins, table->simple_pins);\n",
                "    uint64_t head = bid_load(&table->head, BID_H_ACQUIRE);\n"
                "    struct bid_pin pin = bid_pin_plain(table->pins, table->simple_pins);\n",
            ),
            Edit(
                "table/lookup.c",
                "    uint64_t head = bid_load(&table->head, BID_H_ACQUIRE); /* (H) as in bid_head() */\n"
                "    if (__builtin_expect(head & BID_HEAD_GENERAL, 0))",
                "    if (__builtin_expect(head & BID_HEAD_GENERAL, 0))",
            ),
        ),
        (Model("retire, reclaim with membarrier, simple form"),),
        NARROW,
    ),
    Mutant(
        "reseeded-in-a-stale-head-word",
        "G3",
        "RESEEDED is taken away by a store, and LEFT with it, which another thread has set meanwhile",
        (Edit("table/reclaim.c", "bid_cas(&table->head, &head, head & ~", "bid_store(&table->head, head & ~"),),
        (Model("take over a seed against begin and replace"),),
        NARROW,
    ),
    Mutant(
        "reseeded-not-said",
        "G3",
        "the head word does not say that its array has another seed than the table",
        (Edit("table/move.c", "        desired |= BID_HEAD_RESEEDED;\n", "        (void)desired;\n"),),
        (Step(("shrink",)), Storm(), Model("reseed, reclaim, look up")),
    ),
    Mutant(
        "seed-adopted-too-early",
        "G3",
        "the table takes over the seed of a new array while lookups with the old one are under way",
        (
            Edit("table/reclaim.c", " && !bid_retired_arrays(table)", ""),
            Edit("table/reclaim.c", "    if (!bytes)\n        bid_seed_adopt", "    bid_seed_adopt"),
        ),
        (Model("reseed, reclaim, look up"),),
        NARROW,
    ),
    Mutant(
        "set-aside-twice",
        "G3",
        "two removes in NMI context get the same of the records set aside, and one tombstone loses its key",
        (
            Edit(
                "table/record.c",
                "uint64_t number = bid_add(&array->aside, 1, BID_RELAXED);",
                "uint64_t number = bid_load(&array->aside, BID_RELAXED);",
            ),
        ),
        (Program("test_nmi_forms"), Model("two removes and two records set aside")),
    ),
    Mutant(
        "reserved-as-if-empty",
        "G4",
        "reserved room has records for as many as find no place in an empty array, not for the last to come",
        (
            Edit(
                "table/resize.c",
                "records = bid_elsewhere(table, entries, 1)",
                "records = bid_elsewhere(table, more, 1)",
            ),
        ),
        (Program("test_nmi_forms"),),
    ),
    Mutant(
        "nothing-set-aside",
        "G4",
        "a remove in NMI context fails in the midst of a resize if there is no record",
        (Edit("table/record.c", "if (status != BID_OK && taker == BID_TAKE_REMOVE &&", "if (0 &&"),),
        (Program("test_nmi_forms"),),
    ),
    Mutant(
        "copy-of-no-record",
        "G5",
        "a copy that finds no record, because others took the last ones meanwhile, is published all the same",
        (
            Edit(
                "table/move.c",
                "bid_record_take(table, future, at, taker, may_allocate, &taken);\n",
                "bid_record_take(table, future, at, taker, may_allocate, index);\n    taken = *index;\n",
            ),
        ),
        (Program("test_late_records"),),
    ),
]
