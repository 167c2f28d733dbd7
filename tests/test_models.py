# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table's sources under the C11 model checker: the scenarios that take seconds, and the planted faults."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "models"))
import run
import weaken

TOOLS = run.Tools.find()
if TOOLS is None:
    pytest.skip(run.HOW_TO_GET, allow_module_level=True)

QUICK = [s for s in run.SCENARIOS + run.FAULTS if s.quick]


@pytest.fixture(scope="module")
def verdicts() -> Iterator[dict[str, Future[run.Verdict]]]:
    """All of them, as many at a time as there are processors."""
    assert TOOLS is not None
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        yield {scenario.name: executor.submit(run.verify, TOOLS, scenario) for scenario in QUICK}


@pytest.mark.parametrize("name", [scenario.name for scenario in QUICK])
def test_model(name: str, verdicts: dict[str, Future[run.Verdict]]) -> None:
    """A scenario passes in every execution; a planted fault is reported."""
    verdict = verdicts[name].result()
    assert verdict.ok, verdict.error or "the fault was not reported"
    assert verdict.fault or verdict.executions > 1


def test_every_order_is_weakened() -> None:
    """Each order of bid_atomic.h has a fault here."""
    lines = (run.CSRC / "table" / "bid_atomic.h").read_text().splitlines()
    orders = {line.split()[1] for line in lines if line.startswith("#ifndef BID_")} - {"BID_ATOMIC_H"}
    assert {fault.name.split()[0] for fault in run.FAULTS} >= orders


#: One by a lookup, one by an update, one by the reclaimer: by file and function.
WEAKENED = (("table/lookup.c", "bid_find"), ("table/move.c", "bid_copy_publish"), ("process/grace.c", "bid_oldest_pin"))


@pytest.mark.parametrize("place", WEAKENED)
def test_a_weakened_use_is_noticed(place: tuple[str, str]) -> None:
    assert TOOLS is not None
    use = next(use for use in weaken.uses() if (use.file, use.function) == place)
    finding = weaken.weaken(TOOLS, use)
    assert finding.noticed is not None
    assert finding.asked <= 3


def test_every_use_is_in_the_page() -> None:
    """docs/orders.md tells of the uses that there are; after a change: make verify-orders."""
    page = (run.CSRC.parent / "docs" / "orders.md").read_text()
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith(("| table/", "| inode/"))]
    told = [" | ".join(cells[:3]) for cells in rows]
    assert sorted(told) == sorted(weaken.key(use) for use in weaken.uses())
    assert "NOT NOTICED" not in page
    assert weaken.REASONS.keys() <= {use.name for use in weaken.uses()}
