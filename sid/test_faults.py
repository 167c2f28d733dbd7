# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The quick form of each scenario of ``python -m stress faults``; that they can fail is for tests/test_mutants.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stress.faults import run as faults
from stress.programs import ROOT


def stress(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stress", "faults", *arguments], capture_output=True, text=True, cwd=ROOT
    )


@pytest.mark.parametrize("scenario", faults.SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: faults.Scenario) -> None:
    if scenario.missing:
        pytest.skip(scenario.missing)
    outcome = faults.run(scenario, quick=True)
    assert outcome.failures == []
    assert outcome.figures


def test_command(tmp_path: Path) -> None:
    report = tmp_path / "faults.json"
    result = stress("--quick", "--scenario", "allocation", "--json", str(report))
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1].startswith("SUCCESS: 1 of 1 scenarios")
    found = json.loads(report.read_text())
    assert found["scenarios"][0]["figures"]["insert"] >= 3


def test_list() -> None:
    lines = stress("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [scenario.name for scenario in faults.SCENARIOS]


def test_unknown_scenario() -> None:
    result = stress("--scenario", "flood")
    assert result.returncode == 2
    assert "'flood' is not one of" in result.stderr
