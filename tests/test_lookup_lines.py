# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How many lines of memory a cold hit waits for one after the other (G11)."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from stress.mutants.edits import Edit, copy_edited
from study.bench.waits import PLACES, PROCESSOR, SLOTS, waits

pytestmark = pytest.mark.skipif(
    platform.machine() != PROCESSOR, reason="reads x86-64's instructions; run this on x86-64"
)


def test_a_hit_waits_for_two_lines() -> None:
    """The table's first one and the bucket's; one more where the record has no place in the bucket."""
    assert waits() == [2] * PLACES + [3] * (SLOTS - PLACES)


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (Edit("table/bucket.h", "        bid_platform_prefetch((char *)bucket + line);", "        (void)line;"), 3),
        (
            Edit(
                "table/lookup.c",
                "bid_home_search(bid_head_base(head),",
                "bid_home_search(bid_array_of(table, head)->base,",
            ),
            3,
        ),
    ],
    ids=["places-not-fetched", "through-the-descriptor"],
)
def test_more_lines_are_counted(edit: Edit, expected: int, tmp_path: Path) -> None:
    csrc = copy_edited([edit], tmp_path / "csrc")
    assert waits(csrc)[0] == expected
