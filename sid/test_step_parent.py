# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Stepping from a parent process, as on processors without a trap flag: the same scenarios, and the same findings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stress.mutants.edits import Edit, copy_edited
from stress.step import run as step
from stress.step import trace

try:
    step.program(parent=True)
except step.StepError as error:
    pytest.skip(str(error), allow_module_level=True)
if not shutil.which("objdump"):
    pytest.skip(trace.NEEDS_BINUTILS, allow_module_level=True)

#: One thread; a resize; processes that are forked; threads that end while they are stepped.
SCENARIOS = ("insert-new", "replace-resizing", "fork", "pin-temporary")


def test_every_instruction_is_interrupted() -> None:
    outcome = step.run(SCENARIOS, ["updates"], step.QUICKLY, parent=True)
    assert outcome.verdict == "SUCCESS", outcome.failures
    assert outcome.total("skipped") == outcome.total("wrong") == 0
    assert outcome.total("interrupted") > 30_000
    assert outcome.total("system_calls") <= 10  # the parent stops the program after these, too
    assert outcome.total("updates") > 3000
    assert outcome.total("in_resize") > 5000


def test_a_lookup_has_as_many_instructions_as_by_the_trap_flag() -> None:
    ways = [step.run(["replace-resizing"], [], step.QUICKLY, parent=parent) for parent in (False, True)]
    one, other = (outcome.highest("max_instructions") for outcome in ways)
    assert one == other > 300


def test_a_planted_fault_is_noticed(tmp_path: Path) -> None:
    edit = Edit("table/lookup.c", "return other.record ? other : found;", "return found.record ? found : other;")
    csrc = copy_edited([edit], tmp_path / "csrc")
    outcome = step.run(["replace-resizing"], [], step.QUICKLY, csrc=csrc, parent=True)
    assert "after the operation, key" in "; ".join(outcome.failures)
