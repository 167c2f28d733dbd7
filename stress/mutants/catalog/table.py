# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Mutants of csrc/table: lookups, updates and resizes."""

from __future__ import annotations

from stress.mutants.checks import NARROW, STRONG, Fault, Freeze, Histories, Model, Mutant, Program, Reading, Step, Storm
from stress.mutants.edits import Edit

MANY = Model("retire, reclaim, look up many")
TWO_HELPERS = Model("two helpers of one resize, look up")
LATE_COPY = Model("grow against remove: the late copy")


LOOKUP = """\
int bid_lookup(const struct bid_table *table, uint64_t key, struct bid_build_id *id)
{
"""
LOOKUP_INCLUDES = '#include "probe.h"\n'


def in_lookup(statement: str, declaration: str = "") -> tuple[Edit, ...]:
    """A statement that every bid_lookup() begins with."""
    return (
        Edit("table/lookup.c", LOOKUP, f"{LOOKUP}    {statement}\n"),
        Edit("table/lookup.c", LOOKUP_INCLUDES, f"{LOOKUP_INCLUDES}{declaration}\n"),
    )


#: A word of the table for what a mutant needs to remember.
TABLE_WORD = Edit("table/table.h", "    BID_LINE bid_word count;", "    bid_word mutant;\n    BID_LINE bid_word count;")

#: The whole of bid_lookup().
SIMPLE = "    return bid_lookup_simple(table, key, BID_ANY_GENERATION, id, NULL);\n"
AGAIN_WHILE = """\
    uint64_t before;
    int status;
    do {
        before = %s;
        status = bid_lookup_simple(table, key, BID_ANY_GENERATION, id, NULL);
    } while (%s);
    return status;
"""

UPDATE_ONCE = "        int status = bid_update_once(table, op);\n"
FILL = "    bid_record_fill(table, array, op);\n    op->record_array = array;\n"
PUBLISHED = "    op->status = op->kind == BID_UPSERT && live"
COUNTED = "    bid_operation_count(table, array, op, &at);\n"
NEW_RECORD = "    if (has_slot)\n        status = bid_operation_record(table, array, op, at);\n"

LOOKUPS = [
    Mutant(
        "seqlock-reader",
        "G1",
        "a lookup waits while an update is under way, and starts again after one",
        (
            TABLE_WORD,
            Edit(
                "table/lookup.c",
                SIMPLE,
                AGAIN_WHILE
                % (
                    "bid_load(&table->mutant, BID_P_ACQUIRE)",
                    "before % 2 || bid_load(&table->mutant, BID_P_ACQUIRE) != before",
                ),
            ),
            Edit(
                "table/update.c",
                UPDATE_ONCE,
                f"        bid_add(&table->mutant, 1, memory_order_acq_rel);\n{UPDATE_ONCE}"
                "        bid_add(&table->mutant, 1, memory_order_acq_rel);\n",
            ),
        ),
        (Storm(), Freeze("insert"), Reading("uncounted loops")),
    ),
    Mutant(
        "retry-without-bound",
        "G1",
        "a lookup starts again whenever the head has moved meanwhile: lock-free, not wait-free",
        (
            Edit(
                "table/lookup.c",
                SIMPLE,
                AGAIN_WHILE
                % (
                    "(uintptr_t)bid_load(&table->head, BID_H_ACQUIRE)",
                    "(uintptr_t)bid_load(&table->head, BID_H_ACQUIRE) != before",
                ),
            ),
        ),
        (Reading("uncounted loops"),),
    ),
    Mutant(
        "wait-for-a-resize",
        "G1",
        "a lookup waits until no resize is under way",
        in_lookup("while (bid_resizing(table))\n        ;"),
        (Storm(), Reading("uncounted loops")),
    ),
    Mutant(
        "lazy-tls",
        "G2",
        "a lookup counts in thread-local storage, which a library gets lazily, by malloc",
        in_lookup("bid_mutant++;", "static _Thread_local volatile unsigned bid_mutant;"),
        (Reading("TLS relocations"),),
    ),
    Mutant(
        "malloc-in-lookup",
        "G2",
        "a lookup allocates",
        in_lookup("free(bid_mutant = malloc(1 << 20));", "#include <stdlib.h>\nstatic void *volatile bid_mutant;"),
        (Reading("undefined symbols"), Program("test_nothing_needed"), Step(("lookup-hit",))),
    ),
    Mutant(
        "errno-touched",
        "G2",
        "a lookup sets errno",
        in_lookup("errno = 0;", "#include <errno.h>"),
        (Program("test_nothing_needed"), Storm(), Reading("undefined symbols")),
    ),
    Mutant(
        "system-call-in-lookup",
        "G2",
        "a lookup yields the processor, by a bare system call",
        in_lookup(
            'uint64_t result = 24; /* sched_yield() */\n    __asm__ volatile("syscall" : "+a"(result) : : "rcx", "r11",'
            ' "memory");'
        ),
        (
            Reading("system calls"),
            Program("test_nothing_needed"),
            Storm(),
            Step(("lookup-hit",)),
        ),
    ),
    Mutant(
        "callback-in-lookup",
        "G2",
        "a lookup calls a function by a pointer, so who knows what",
        in_lookup(
            "bid_mutant();",
            "static void bid_nothing(void)\n{\n}\nstatic void (*volatile bid_mutant)(void) = bid_nothing;",
        ),
        (Reading("indirect calls"),),
    ),
    Mutant(
        "constant-in-memory",
        "G2",
        "a lookup reads a constant from memory, for which the child of a fork takes a page fault",
        in_lookup("(void)bid_mutant[key & 1];", "static const volatile unsigned bid_mutant[2] = {1, 2};"),
        (Reading("constants"),),
    ),
    Mutant(
        "deep-stack",
        "G2",
        "a lookup needs a kilobyte of stack",
        in_lookup("volatile char scratch[1024];\n    scratch[0] = scratch[1023] = 0;"),
        (Reading("stack"),),
    ),
    Mutant(
        "locked-pin",
        "G2",
        "every pin is an atomic addition",
        (
            Edit(
                "process/pins.h",
                "    bid_store(&slot->word, word, BID_U_RELEASE);",
                "    bid_store(&slot->word, word - 1, BID_U_RELEASE);\n    bid_add(&slot->word, 1, BID_U_RELEASE);",
            ),
        ),
        (Reading("locked instructions"),),
    ),
    Mutant(
        "fault-on-first-touch",
        "G2",
        "slots are published without having been populated",
        (
            Edit(
                "table/array.c",
                "int status = bid_populate(table, array->base, layout->bucket_bytes);",
                "int status = BID_OK;",
            ),
        ),
        (Program("test_nothing_needed"),),
    ),
    Mutant(
        "lookup-in-one-array",
        "G3",
        "a lookup never asks the future array",
        (
            Edit("table/lookup.c", "    if (!future)\n", "    if (1)\n"),
            Edit(
                "table/lookup.c",
                "    if (future)\n        array = bid_choose(",
                "    if (0)\n        array = bid_choose(",
            ),
        ),
        (Storm(), Histories(), Step(("insert-resizing", "lookup-hit-resizing")), Model("grow against insert, look up")),
    ),
    Mutant(
        "frozen-word-believed",
        "G3",
        "a lookup that finds its key frozen in the head does not ask the future array",
        (
            Edit("table/lookup.c", "if (found.record && (moved || !(found.word & BID_FROZEN)))", "if (found.record)"),
            Edit("table/lookup.c", "decides = moved | !(found.word & BID_FROZEN);", "decides = 1;"),
        ),
        (Storm(), Model("copy against replace, look up")),
    ),
    Mutant(
        "many-unpinned",
        "G7",
        "bid_lookup_many() gives up its pin before it reads",
        (
            Edit(
                "table/lookup.c",
                "        hits += bid_lookup_batch(table, keys, some, ids, id_size, lengths);\n"
                "        bid_unpin(table->pins, pin);\n",
                "        bid_unpin(table->pins, pin);\n"
                "        hits += bid_lookup_batch(table, keys, some, ids, id_size, lengths);\n",
            ),
        ),
        (Storm(), Program("test_pins"), MANY),
    ),
    Mutant(
        "many-in-one-array",
        "G3",
        "bid_lookup_many() asks the head only",
        (
            Edit(
                "table/lookup.c",
                "        found = bid_find(table, key, NULL);\n",
                "        found = bid_probe(head, key, NULL);\n",
            ),
        ),
        (Storm(), Histories(), Program("test_pins")),
    ),
    Mutant(
        "step-without-the-top-bits",
        "G8",
        "the top bits of a key do not reach the step of its probe sequence",
        (Edit("table/hash.h", "(mixed ^ mixed >> 32) << 32", "mixed << 32"),),
        (Program("test_hash"),),
    ),
]

UPDATES = [
    Mutant(
        "published-before-filled",
        "G3",
        "a slot names its record before that is written",
        (
            Edit("table/update.c", FILL, "    op->record_array = array;\n"),
            Edit(
                "table/update.c",
                PUBLISHED,
                "    if (op->kind != BID_REMOVE)\n        bid_record_fill(table, array, op);\n" + PUBLISHED,
            ),
        ),
        (Step(("insert-new",)), Storm()),
    ),
    Mutant(
        "torn-copy",
        "G3",
        "a replace writes the new ID over the old one, which a lookup may be copying",
        (
            Edit(
                "table/update.c",
                NEW_RECORD,
                """\
    if (op->kind == BID_REPLACE && at->own && op->length <= bid_word_length(at->word)) {
        op->record_index = bid_word_index(at->word);
        bid_record_fill(table, array, op);
    } else if (has_slot) {
        status = bid_operation_record(table, array, op, at);
    }
""",
            ),
        ),
        (Step(("replace-present",)), Storm()),
    ),
    Mutant(
        "relaxed-publication",
        "G3",
        "the swap that publishes a record does not release it (P)",
        (Edit("table/bid_atomic.h", "BID_P_RELEASE memory_order_release", "BID_P_RELEASE memory_order_relaxed"),),
        (Model("publish and look up"),),
        STRONG,
    ),
    Mutant(
        "no-memory-not-told",
        "G5",
        "an update that found no memory says that it is done",
        (
            Edit(
                "table/update.c",
                "return status == BID_OK ? op->status : status;",
                "return status == BID_OK || status == BID_E_NO_MEMORY ? op->status : status;",
            ),
        ),
        (Program("test_no_memory"),),
    ),
    Mutant(
        "slot-returns-to-empty",
        "G5",
        "a remove leaves an EMPTY slot, which ends the probe sequences of other keys",
        (Edit("table/update.c", "uint64_t word = bid_word_tombstone(at.word);", "uint64_t word = BID_EMPTY;"),),
        (Program("test_nmi_forms"), Storm(), Histories()),
    ),
    Mutant(
        "insert-gives-up",
        "G5",
        "an insert whose swap another insert of the same key has forestalled says that keys collide",
        (
            Edit(
                "table/update.c",
                "        return BID_STEP_AGAIN;\n    }\n    op->status",
                "        return op->kind == BID_INSERT ? BID_E_COLLISIONS : BID_STEP_AGAIN;\n    }\n    op->status",
            ),
        ),
        (Step(("insert-new",), ("collides",)),),
    ),
    Mutant(
        "no-tombstone",
        "G5",
        "a remove during a resize finds no slot in the future array to leave a tombstone in",
        (Edit("table/move.c", "if (!at.own || !bid_word_is_live(at.word))", "if (1)"),),
        (Storm(), LATE_COPY),
    ),
    Mutant(
        "late-copy-overwrites",
        "G5",
        "a copy that comes late takes the slot of its key from an update in the future array",
        (
            Edit(
                "table/move.c",
                "        if (at.own || at.word & BID_FROZEN) /*",
                "        if (at.word & BID_FROZEN) /*",
            ),
            Edit(
                "table/move.c",
                "        if (!bid_word_is_empty(at.word))\n            return BID_E_COLLISIONS;\n",
                "        if (!at.own && !bid_word_is_empty(at.word))\n            return BID_E_COLLISIONS;\n",
            ),
        ),
        (Storm(), LATE_COPY),
    ),
    Mutant(
        "no-seal",
        "G5",
        "an update that meets a resize works in the future array without having sealed its key in the old one",
        (Edit("table/move.c", "while (!(at.word & BID_FROZEN)) {", "while (0) {"),),
        (Model("grow and remove against remove"),),
        NARROW,
    ),
    Mutant(
        "seal-misses-the-last-slot",
        "G5",
        "a helper leaves out the last slot of each bucket",
        (
            Edit(
                "table/move.c",
                "i < BID_BUCKET_SLOTS; i++) {\n        uint64_t word = bid_freeze(",
                "i < BID_BUCKET_SLOTS - 1; i++) {\n        uint64_t word = bid_freeze(",
            ),
        ),
        (Program("test_iterate"), Storm()),
    ),
    Mutant(
        "seal-misses-the-first-empty",
        "G5",
        "a helper freezes the slots of a bucket that are taken, but not the first EMPTY one, which can be claimed yet",
        (
            Edit(
                "table/move.c",
                "        uint64_t word = bid_freeze(&bucket[i]);\n        if (bid_word_is_empty(word))",
                "        uint64_t word = bid_load(&bucket[i], BID_P_ACQUIRE);\n"
                "        if (!bid_word_is_empty(word))\n"
                "            word = bid_freeze(&bucket[i]);\n"
                "        else",
            ),
        ),
        (Model("begin to grow and grow against insert"),),
        NARROW,
    ),
    Mutant(
        "head-moved-too-early",
        "G5",
        "the head moves on while chunks are still to be copied (D)",
        (
            Edit(
                "table/move.c",
                "    if (bid_all_done(array))\n        bid_resize_finish",
                "    bid_resize_finish",
            ),
        ),
        (Program("test_iterate"), Storm(), TWO_HELPERS),
    ),
    Mutant(
        "third-array-too-early",
        "G5",
        "an update gives the future array a future of its own before the head has moved to it",
        (
            Edit(
                "table/update.c",
                "    status = bid_update_array(table, future, op);\n",
                """\
    status = bid_update_array(table, future, op);
    if (op->may_allocate)
        bid_resize_begin(table, future, BID_NEED_RESERVE, 0);
""",
            ),
        ),
        (Program("test_iterate"), Storm()),
    ),
    Mutant(
        "nmi-form-yields",
        "G2",
        "a remove for NMI context yields the processor, by a bare system call",
        (
            Edit(
                "table/update.c",
                "    return bid_remove_entry(table, (struct bid_operation){.key = key});",
                '    uint64_t result = 24; /* sched_yield() */\n    __asm__ volatile("syscall" : "+a"(result) : :'
                ' "rcx", "r11", "memory");\n    return bid_remove_entry(table, (struct bid_operation){.key = key});',
            ),
        ),
        (Storm(), Step(("remove-nmi",)), Freeze("remove-nmi-resizing")),
    ),
    Mutant(
        "late-insert-admitted",
        "G4",
        "an insert that comes late fills the array that is left, so that a resize cannot be finished",
        (Edit("table/update.c", "int left = bid_is_left(array);", "int left = 0;"),),
        (Program("test_unlucky_moments"), Model("a late insert when the future array is in use")),
    ),
    Mutant(
        "live-limit-not-kept",
        "G4",
        "an array takes more entries than the one that is being built in its place has room for",
        (Edit("table/update.c", "before < bid_load(&array->live_limit, BID_RELAXED))", "1)"),),
        (
            Step(("shrink-filled",), ("collides",)),
            Program("test_unlucky_moments"),
            Model("a late insert while a future array is built"),
        ),
    ),
    Mutant(
        "entries-counted-late",
        "G4",
        "max_entries is compared with the entries that are there, without those on their way in",
        (
            TABLE_WORD,
            Edit(
                "table/update.c",
                "before < table->options.max_entries &&",
                "bid_load(&table->mutant, BID_RELAXED) < table->options.max_entries &&",
            ),
            Edit(
                "table/update.c",
                COUNTED,
                f"    bid_add(&table->mutant, op->kind != BID_REMOVE, BID_RELAXED);\n{COUNTED}",
            ),
        ),
        (Program("test_unlucky_moments"),),
    ),
    Mutant(
        "one-entry-too-many",
        "G4",
        "a table takes one entry more than its max_entries",
        (
            Edit(
                "table/update.c",
                "before < table->options.max_entries &&",
                "before <= table->options.max_entries &&",
            ),
        ),
        (Program("test_limits"), Program("test_unlucky_moments"), Fault("max-entries")),
    ),
    Mutant(
        "claimed-twice",
        "G5",
        "an insert over a tombstone counts its slot as claimed once more: only the audit compares that with the slots",
        (
            Edit(
                "table/update.c",
                "    if (!at->own)\n        bid_add(&array->claimed,",
                "    if (op->kind == BID_INSERT)\n        bid_add(&array->claimed,",
            ),
        ),
        (Program("test_inode"), Fault("max-entries")),
    ),
    Mutant(
        "nmi-form-populates",
        "G4",
        "the forms for NMI context make records present themselves, by a system call",
        (
            Edit(
                "table/record.c",
                "    if (!may_allocate && next + units > bid_load(&array->record_ready, BID_RELAXED))\n"
                "        return BID_E_WOULD_ALLOCATE;\n    int status",
                "    int status",
            ),
            Edit(
                "table/record.c",
                "    if (!may_allocate && *index + units > bid_load(&array->record_ready, BID_RELAXED))\n"
                "        return BID_E_WOULD_ALLOCATE;\n",
                "",
            ),
        ),
        (Storm(), Program("test_nmi_forms")),
    ),
    Mutant(
        "nmi-form-maps",
        "G4",
        "the insert for NMI context makes a new array when it needs one",
        (
            Edit(
                "table/update.c",
                "return bid_store_entry(table, BID_INSERT, 0, key, generation, id, length);",
                "return bid_store_entry(table, BID_INSERT, 1, key, generation, id, length);",
            ),
        ),
        (Storm(), Step(("insert-nmi-no-room",)), Program("test_nmi_forms")),
    ),
    Mutant(
        "reserve-without-an-end",
        "G4",
        "bid_reserve() rebuilds until handlers leave it in peace",
        (
            Edit("table/resize.c", "    if (rebuild->done == BID_REBUILDS_MAX)", "    if (0)"),
            Edit("table/resize.c", "    return rebuild->done ? rebuild->entries +", "    return 0 ? 0 *"),
        ),
        (Program("test_unlucky_moments"),),
    ),
    Mutant(
        "resize-begun-without-memory",
        "G4",
        "a resize begins before the records that it will copy are present, and cannot go on when memory is short",
        (
            Edit(
                "table/array.c",
                "return bid_record_ready(table, array, array->record_first + layout->at_once / BID_RECORD_BYTES);",
                "return BID_OK;",
            ),
        ),
        (Program("test_no_memory"), Program("test_no_lock")),
    ),
    Mutant(
        "lock-in-update",
        "G4",
        "updates exclude each other by a spinlock",
        (
            TABLE_WORD,
            Edit(
                "table/update.c",
                UPDATE_ONCE,
                f"        while (bid_or(&table->mutant, 1, memory_order_acquire))\n            ;\n{UPDATE_ONCE}"
                "        bid_store(&table->mutant, 0, memory_order_release);\n",
            ),
        ),
        (Storm(), Freeze("insert")),
    ),
    Mutant(
        "same-seed-again",
        "G8",
        "a probe sequence that is full of colliding keys gets a new array with the same seed",
        (Edit("table/resize.c", "        plan->seed = bid_next_seed(table, array->seed);\n", "        ;\n"),),
        (Program("test_paths"),),
    ),
]
