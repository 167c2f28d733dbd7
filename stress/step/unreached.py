# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The functions of the table that no scenario enters, and why; where all scenarios are run, the list has to be true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stress.step.trace import Coverage

AUDIT = "an aid of tests, for tables that nobody updates meanwhile"
INLINED = "compiled into its callers, which are stepped; what is left is for callers in other files, and has none here"

REASONS = {
    "bid_audit": AUDIT,
    "bid_audit_array": AUDIT,
    "bid_pins_over": INLINED,
    "bid_platform_unmap": "a table's memory is given back by a copy of it that is inlined; this is for pins that two "
    "threads made at once",
}


def wrong(coverage: Iterable[Coverage]) -> Iterator[str]:
    """What the list lacks, and what it has without need."""
    for found in coverage:
        entered = found.missed < found.instructions
        if not entered and found.function not in REASONS:
            yield f"{found.function}() was never entered, and no reason is given in unreached.py"
        if entered and found.function in REASONS:
            yield f"{found.function}() was entered: unreached.py says that it cannot be"
