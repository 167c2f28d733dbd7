# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What each design of the thread costs in memory, for the counts of a census."""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass

from pybuildid.census import Census
from pybuildid.table import Table

POINTER_BYTES = 8  # on 64-bit machines
ID_BYTES = 20


@dataclass(frozen=True)
class Design:
    """name: the design. objects: how many it pays for, and of what. total_bytes: for all; None if not counted."""

    name: str
    objects: str
    total_bytes: int | None


def table_bytes(entries: int) -> int:
    """Measured: what this library's table holds in slots and records with that many entries, grown to it."""
    keys = random.Random(entries).sample(range(0xFFFF888100000000, 0xFFFF888900000000, 8), entries)
    with Table(id_size=ID_BYTES) as table:
        if keys:
            table.insert_many(array("Q", keys), bytes(ID_BYTES * entries))
        stats = table.stats()
    return stats.bytes_slots + stats.bytes_records


def designs(counts: Census) -> tuple[Design, ...]:
    """The pointer fields alone, without the build IDs that they point to; the table with its build IDs."""

    def pointer(what: str, number: int | None) -> Design:
        total = None if number is None else number * POINTER_BYTES
        return Design(f"a pointer in each {what}", f"{number:,}" if number is not None else "not known", total)

    entries = counts.mapped_build_ids
    return (
        pointer("struct file", counts.struct_files),
        pointer("struct inode", counts.cached_inodes),
        Design("a table on the side: slots and records", f"{entries:,} build IDs", table_bytes(entries)),
    )
