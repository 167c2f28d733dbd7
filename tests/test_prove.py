# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The page of proofs: made from a short check that is run, and from one that fails."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from stress import prove
from stress.__main__ import main


def test_one_check_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in prove.CHECKS if check.name == "histories")
    fewer = tuple("200" if word == "5000" else word for word in check.command)
    monkeypatch.setattr(prove, "CHECKS", (replace(check, command=fewer),))
    page, report = tmp_path / "proof.md", tmp_path / "proof.json"
    options = ["prove", "--check", "histories", "--page", str(page), "--json", str(report)]
    run = CliRunner().invoke(main, options)
    assert run.exit_code == 0, run.output
    assert json.loads(report.read_text())["verdict"] == "SUCCESS"
    assert "| G5 | linearizable, across resizes | histories | SUCCESS: 200 of 200 histories" in page.read_text()


def test_a_check_that_fails_or_writes_nothing_is_a_failure() -> None:
    failing = prove.Check("failing", ("G1",), ("-c", "raise SystemExit('broken')"), str)
    result = prove.run_one(failing)
    assert result.verdict == "FAILURE"
    assert "broken" in result.output
    proof = prove.Proof([result])
    assert proof.verdict == "FAILURE"
    assert "**FAILURE**" in prove.page(proof)


def test_a_missing_tool_is_skipped_and_named() -> None:
    lacks = ("-c", "import sys; print('oh\\nno tool: install it', file=sys.stderr); sys.exit(2)")
    result = prove.run_one(prove.Check("absent", ("G1",), lacks, str, skips=True))
    assert result.verdict == "SKIPPED"
    assert result.figure == "no tool: install it"
    assert prove.run_one(prove.Check("absent", ("G1",), lacks, str)).verdict == "FAILURE"


def test_every_guarantee_has_a_check() -> None:
    covered = {guarantee for check in prove.CHECKS if check.name != "twins" for guarantee in check.guarantees}
    assert covered == set(prove.GUARANTEES)
