# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Statistics of a table, from C."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from pybuildid._core import ffi, lib
from pybuildid.errors import check


class Resizes(NamedTuple):
    """Resizes by their cause."""

    grow: int  # too few empty slots for the live entries
    shrink: int  # few live entries, or shrink()
    tombstones: int  # tombstones or used-up records: the same size again
    reseed: int  # a probe sequence was full at a low load: the same size with another seed
    reserve: int  # reserve()


@dataclass(frozen=True)
class TableStats:
    """Statistics of a table, counted by visiting every entry: exact when no update is under way. Sizes in bytes."""

    entries: int  # live, as counted by visiting them
    tombstones: int  # slots of removed keys that no resize has dropped yet
    slots: int  # of the current bucket array
    load: float  # entries / slots
    bytes_slots: int  # mapped and populated, all arrays that are not retired
    bytes_records: int  # populated, all arrays that are not retired
    bytes_retired: int  # waiting for a grace period
    bytes_pins: int  # of the process, shared by all tables
    retired_arrays: int  # waiting for a grace period
    resizes: int  # finished
    resize_begun: Resizes  # begun, by cause
    seed: int  # of the current bucket array
    slots_read: tuple[int, ...]  # [n]: keys found by n looks at buckets of 8 slots; the last: that many or more
    records_read: tuple[int, ...]  # [n]: keys of which a lookup reads n records; the last: that many or more
    max_slots_read: int  # by a lookup of any live key, in slots
    max_records_read: int
    membarrier: bool  # pins without a fence, updaters use membarrier(); else pins with a fence
    pin_slots: int  # of the process
    pin_slots_used: int  # by threads, living and dead
    resizing: bool  # a resize stood half done


def statistics_of(table: Any) -> TableStats:
    """Of a table in C."""
    stats = ffi.new("struct bid_stats *")
    stats.size = ffi.sizeof("struct bid_stats")
    check(lib.bid_statistics(table, stats))
    values: dict[str, Any] = {field.name: getattr(stats, field.name, None) for field in fields(TableStats)}
    values.update(
        load=stats.entries / stats.slots,
        resize_begun=Resizes(*stats.resize_begun),
        slots_read=tuple(stats.slots_read),
        records_read=tuple(stats.records_read),
        membarrier=bool(stats.membarrier),
        resizing=bool(stats.resizing),
    )
    return TableStats(**values)
