# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The quick form of each scenario of ``python -m stress faults``, and planted faults that they must catch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stress import faults
from stress.programs import ROOT, Toolchain


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


#: Edits of csrc/table: the scenario that must fail, the file, what stands there, what to write instead.
PLANTED = {
    "an array that was not published is kept": (
        "allocation",
        "array.c",
        "    if (status != BID_OK)\n        bid_platform_unmap(array->mapping, array->mapping_bytes);\n",
        "",
    ),
    "an insert that found no memory says it is done": (
        "allocation",
        "update.c",
        "return status == BID_OK ? op->status : status;",
        "return status == BID_OK || status == BID_E_NO_MEMORY ? op->status : status;",
    ),
    "what records take is not counted": (
        "byte-limit",
        "record.c",
        "if (!copying && bill)",
        "if (0)",
    ),
    "retired memory has no limit": (
        "stalled-reader",
        "resize.c",
        "return !retired || retired + bytes <= limit ? BID_OK : BID_E_RETIRED;",
        "return limit ? BID_OK : retired ? BID_E_RETIRED : BID_OK;",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted(tmp_path: Path, name: str) -> None:
    scenario, file, old, new = PLANTED[name]
    csrc = tmp_path / "csrc"
    shutil.copytree(ROOT / "csrc", csrc)
    source = csrc / "table" / file
    text = source.read_text()
    assert text.count(old) == 1, f"{file} has changed: the fault {name!r} can no longer be planted there"
    source.write_text(text.replace(old, new))
    outcome = faults.run(faults.find(scenario), quick=True, toolchain=Toolchain(("cc"), ("-O1", "-Wno-error"), csrc))
    assert outcome.verdict == "FAILURE"


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
