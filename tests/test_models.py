# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table's sources under the C11 model checker: the scenarios that take seconds, and the planted faults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "models"))
import run

TOOLS = run.Tools.find()
if TOOLS is None:
    pytest.skip(run.HOW_TO_GET, allow_module_level=True)

QUICK = [s for s in run.SCENARIOS + run.FAULTS if s.quick]


@pytest.mark.parametrize("scenario", QUICK, ids=lambda scenario: scenario.name)
def test_model(scenario: run.Scenario) -> None:
    """A scenario passes in every execution; a planted fault is reported."""
    assert TOOLS is not None
    verdict = run.verify(TOOLS, scenario)
    assert verdict.ok, verdict.error or "the fault was not reported"
    assert verdict.fault or verdict.executions > 1


def test_every_order_is_weakened() -> None:
    """Each order of bid_atomic.h has a fault here."""
    lines = (run.CSRC / "table" / "bid_atomic.h").read_text().splitlines()
    orders = {line.split()[1] for line in lines if line.startswith("#ifndef BID_")} - {"BID_ATOMIC_H"}
    assert {fault.name.split()[0] for fault in run.FAULTS} >= orders
