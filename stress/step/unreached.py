# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The instructions of the table that no scenario reaches, by their source lines, and why. A run of all scenarios checks
the list: what is not reached has to be in it, and what is in it has to be not reached."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stress.step.trace import Coverage

#: Functions of which the compiler has made a part of each caller, which are stepped. The function itself is for callers
#: in other files, and has none here. Nothing of it is entered.
COPIED: tuple[str, ...] = ()

#: Why, and of which functions which lines. A line is named by its text. It is listed if some instruction of it is not
#: reached, in whatever function the compiler has put it.
UNREACHED: dict[str, dict[str, tuple[str, ...]]] = {}


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
                yield f"{line.where} in {found.function}() was not reached; unreached.py gives no reason: {line.text}"
            missed.add(key)
    for function, text in sorted(listed.keys() - missed):
        yield f"unreached.py says that a line of {function}() cannot be reached, and it was: {text}"
    for function in sorted(entered.intersection(COPIED)):
        yield f"unreached.py says that {function}() is never entered, and it was"
