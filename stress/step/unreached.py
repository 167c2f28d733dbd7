# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The instructions of the table that no scenario reaches, by their source lines, and why. A run of all scenarios checks
the list: what is not reached has to be in it, and what is in it has to be not reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stress.step.trace import Coverage

#: Functions of which the compiler has made a part of each caller, which are stepped. The function itself is for callers
#: in other files, and has none here. Nothing of it is entered.
COPIED = ("bid_pins_over",)

HEAD = "a table always has a head array: its word is never 0, and what the compiler makes for that case is not executed"

#: Why, and of which functions which lines. A line is named by its text, without a comment. It is listed if some
#: instruction of it is not reached, in whatever function the compiler has put it.
UNREACHED: dict[str, dict[str, tuple[str, ...]]] = {
    HEAD: {
        "bid_leave": (
            "while (bid_array_of(table, head) == array && !(head & BID_HEAD_LEFT))",
            "if (bid_cas(&table->head, &head, head | BID_HEAD_LEFT, BID_H_RELEASE))",
            "}",
        ),
        "bid_array_is_private": ("const struct bid_array *head = bid_head(table);",),
        "bid_lookup_many": ("some = n < BID_BATCH ? n : BID_BATCH;",),
    },
    "where the first step of one key is done and no second step of another, no third step is due yet": {
        "bid_lookup_batch": (
            "hits += bid_answer_row(table, head, keys[third], fetched != 0, rows + third * id_size, id_size,",
        ),
    },
    "a slot that is not EMPTY never is again": {
        "bid_deciding_find": ("unsigned slot = read.empty ? bid_first_slot(read.empty) : BID_BUCKET_SLOTS - 1;",),
    },
    "only removes compare generations, and the compiler has made the comparison a part of other updates as well": {
        "bid_operation_declines": (
            "if (!op->match_generation || bid_record_of(array->base, at->word)->generation == op->generation)",
        ),
    },
    "a remove in NMI context populates no records, so that cannot fail after one was taken": {
        "bid_record_take": (
            "if (status != BID_OK && taker == BID_TAKE_REMOVE && bid_record_aside(table, array, index))",
        ),
    },
    "a temporary pin slot is taken for one pin, so no pin of it has another one inside": {
        "bid_pin_enter": (
            "uint64_t before = bid_load(&slot->word, BID_RELAXED), word = before + 1;",
            "bid_store(&slot->word, word, BID_U_RELEASE);",
        ),
    },
    "two threads that share a counter of the overflow are about to fork at once: no scenario does that": {
        "bid_fork_save_overflow": (
            "after = before - most + BID_FORK_ONE + (before < BID_FORK_ONE || most < overflow ? overflow : most);",
        ),
    },
    "pthread_atfork() fails only if libc cannot have a few bytes": {"bid_pin_area_make": ("return BID_E_NO_MEMORY;",)},
    "the bitmap at the end of an array is never on huge pages": {"bid_platform_map": ("}",)},
    "nobody asks for no bytes at all": {"bid_platform_populate": ("return BID_OK;", "}")},
}


def reasons() -> dict[tuple[str, str], str]:
    """By function and text of a line."""
    return {
        (function, text): why
        for why, functions in UNREACHED.items()
        for function, lines in functions.items()
        for text in lines
    }


def wrong(coverage: Iterable[Coverage]) -> Iterator[str]:
    """What the list lacks, and what it has without need."""
    listed, missed, entered = reasons(), set(), set()
    for found in coverage:
        if found.missed < found.instructions:
            entered.add(found.function)
        if found.function in COPIED:
            continue
        for line in found.never_reached:
            key = (line.function, line.text)
            if key not in listed and key not in missed:
                yield f"{line.where} was not reached, and unreached.py gives no reason: {line.text}"
            missed.add(key)
    for function, text in sorted(listed.keys() - missed):
        yield f"unreached.py says that a line of {function}() cannot be reached, and it was: {text}"
    for function in sorted(entered.intersection(COPIED)):
        yield f"unreached.py says that {function}() is never entered, and it was"
