# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The page of proofs: made from a short check that is run, and from one that fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from stress import prove

ROOT = Path(__file__).resolve().parent.parent


def test_one_check_through_the_command_line(tmp_path: Path) -> None:
    page, report = tmp_path / "proof.md", tmp_path / "proof.json"
    options = ["--check", "histories", "--page", str(page), "--json", str(report)]
    command = [sys.executable, "-m", "stress", "prove", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert json.loads(report.read_text())["verdict"] == "SUCCESS"
    assert "| G5 | linearizable, across resizes | histories | SUCCESS: 5,000 of 5,000 histories" in page.read_text()


def test_a_check_that_fails_or_writes_nothing_is_a_failure() -> None:
    failing = prove.Check("failing", ("G1",), ("-c", "raise SystemExit('broken')"), str)
    result = prove.run_one(failing)
    assert result.verdict == "FAILURE"
    assert "broken" in result.output
    proof = prove.Proof([result])
    assert proof.verdict == "FAILURE"
    assert "**FAILURE**" in prove.page(proof)


def test_a_missing_tool_is_skipped_and_named() -> None:
    result = prove.run_one(prove.Check("absent", ("G1",), ("-c", ""), str, "no-such-program", "install it"))
    assert result.verdict == "SKIPPED"
    assert "install it" in result.figure


def test_every_guarantee_has_a_check() -> None:
    covered = {guarantee for check in prove.CHECKS if check.name != "twins" for guarantee in check.guarantees}
    assert covered == set(prove.GUARANTEES)
