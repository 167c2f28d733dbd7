# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Threads stopped for good: after every instruction of the short operations, and an update with a lock is noticed."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from stress.freeze import run as freeze
from stress.mutants.catalog import MUTANTS
from stress.mutants.edits import copy_edited
from stress.step import run as step

if platform.machine() != "x86_64":
    pytest.skip(step.NEEDS_TRAP_FLAG, allow_module_level=True)


def test_after_every_instruction() -> None:
    outcome = freeze.run(("remove", "lookup", "lookup-resizing"), points=None)
    assert outcome.verdict == "SUCCESS", outcome.failures
    found = outcome.report()
    assert found["points"] == found["instructions"] > 500
    assert found["operations"] > 4000 * found["points"]
    resizing = next(one for one in outcome.results if one.operation == "lookup-resizing")
    assert found["in_resize"] == resizing.in_resize == resizing.points > 100
    assert found["limits"] > 0  # a stopped reader keeps what is retired, up to the limit
    assert found["blocked"] == found["quiet_calls"] == 0
    assert found["rival_blocked"] == 1


@pytest.mark.parametrize("operation", ["grow", "insert-growing"])
def test_some_instructions_of_a_long_operation(operation: str) -> None:
    binary = freeze.program()
    parts = [
        freeze.freeze(binary, "ours", operation, first, stride)
        for first, stride in freeze.shares(binary, operation, 40, 2)
    ]
    found = parts[0] + parts[1]
    assert found.whole
    assert 35 <= found.points <= 41
    assert 0 < found.in_resize < found.points
    assert found.blocked == found.wrong == 0
    assert found.last > parts[0].instructions * 0.9


def test_a_lock_in_updates_is_noticed(tmp_path: Path) -> None:
    edits = next(mutant.edits for mutant in MUTANTS if mutant.name == "lock-in-update")
    outcome = freeze.run(("remove",), points=10, csrc=copy_edited(edits, tmp_path / "csrc"))
    assert outcome.verdict == "FAILURE"
    assert "remove: others were blocked by a thread stopped after instruction" in "; ".join(outcome.failures)


def test_a_system_call_in_an_update_for_nmi_context_is_noticed(tmp_path: Path) -> None:
    edits = next(mutant.edits for mutant in MUTANTS if mutant.name == "nmi-form-yields")
    outcome = freeze.run(("lookup",), points=2, csrc=copy_edited(edits, tmp_path / "csrc"))
    assert [failure for failure in outcome.failures if "system calls where there may be none" in failure]
    assert outcome.report()["blocked"] == 0
