# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A handler after every instruction, and threads stopped for good: quick forms, and planted faults that they notice."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stress import freeze, step

ROOT = Path(__file__).resolve().parent.parent
QUICK = ("nothing", "insert-new", "remove-present", "replace-resizing", "lookup-hit-resizing", "first-pin", "evict")

if platform.machine() != "x86_64":
    pytest.skip(step.NEEDS, allow_module_level=True)
if not shutil.which("objdump"):
    pytest.skip(step.NEEDS_BINUTILS, allow_module_level=True)


def edited(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of csrc with one fault."""
    csrc = Path(shutil.copytree(ROOT / "csrc", folder / "csrc"))
    text = (csrc / file).read_text()
    assert text.count(old) == 1, f"{file} does not have this once any more: {old}"
    (csrc / file).write_text(text.replace(old, new))
    return csrc


def test_every_instruction(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    names = [f"--scenario={name}" for name in QUICK]
    command = [sys.executable, "-m", "stress", "step", *names, "--json", str(report)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    found = json.loads(report.read_text())
    assert found["verdict"] == "SUCCESS"
    assert found["wrong"] == 0
    assert found["in_resize"] > 5000
    assert found["updates"] > 100
    assert 50 < found["lookup_instructions"] < 1000
    missed = {function["function"]: function["missed"] for function in found["coverage"]}
    assert missed["bid_pin_leave"] == 0 if "bid_pin_leave" in missed else missed
    assert missed["bid_carry"] < 40


def test_a_planted_fault_is_noticed(tmp_path: Path) -> None:
    """A remove that empties its slot for a moment: no sampled interruption would be likely to see it."""
    old = "uint64_t expected = place.word;\n        if (bid_cas(place.slot, &expected, word, BID_P_RELEASE)) {"
    new = (
        "uint64_t expected = place.word;\n        if (op->kind == BID_REPLACE)"
        "\n            bid_store(place.slot, expected = bid_word_tombstone(place.word), BID_P_RELEASE);"
        "\n        if (bid_cas(place.slot, &expected, word, BID_P_RELEASE)) {"
    )
    outcome = step.run(["replace-present"], updates=False, csrc=edited(tmp_path, "table/update.c", old, new))
    assert outcome.verdict == "FAILURE"
    assert "the key in question" in outcome.failures[0]


def test_unknown_scenario() -> None:
    command = [sys.executable, "-m", "stress", "step", "--scenario", "no-such"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 2
    assert "--list" in run.stderr


def test_stopped_for_good() -> None:
    outcome = freeze.run(["insert", "remove", "lookup"], points=25)
    assert outcome.verdict == "SUCCESS", outcome.failures
    assert sum(result.points for result in outcome.results) > 40


def test_a_lock_in_an_update_is_noticed(tmp_path: Path) -> None:
    old = "int bid_update(struct bid_table *table, struct bid_operation *op)\n{\n"
    new = (
        "static bid_word lock;\nstatic int bid_update_locked(struct bid_table *, struct bid_operation *);\n"
        + old
        + "    while (bid_add(&lock, 1, memory_order_seq_cst))\n        bid_sub(&lock, 1, memory_order_seq_cst);\n"
        "    int status = bid_update_locked(table, op);\n"
        "    bid_sub(&lock, 1, memory_order_seq_cst);\n    return status;\n}\n"
        "static int bid_update_locked(struct bid_table *table, struct bid_operation *op)\n{\n"
    )
    binary = freeze.program(edited(tmp_path, "table/update.c", old, new))
    assert freeze.freeze(binary, "ours", "replace", stride=10_000, first=400).blocked == 1
