# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""`python -m stress record`, some of it in short; and a fault that it has to find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from recording import need_record

from csrc.build_bpf import compile_bpf
from stress.mutants.edits import Edit, copy_edited
from stress.record.lookups import lookups
from stress.record.run import SCENARIOS, find, run

#: What a mapping covers stays in the space: so code that replaces other code goes by its build ID.
STAYS = Edit("bpf/space.bpf.h", "if (to <= start || from >= end)", "if (to <= start || from >= end || end)")


def test_scenarios_in_short(tmp_path: Path) -> None:
    need_record()
    names = ["evicted", "remap", "nmi-all"]
    command = [sys.executable, "-m", "stress", "record", "--seconds", "1.5", "--json", str(tmp_path / "found.json")]
    command += [word for name in names for word in ("--scenario", name)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "SUCCESS: 3 of 3 scenarios" in result.stdout
    found = {one["scenario"]: one["figures"] for one in json.loads((tmp_path / "found.json").read_text())["scenarios"]}
    assert set(found) == set(names)
    assert found["evicted"]["kernel, %"] < 95 < found["evicted"]["table, %"]  # other tests may bring pages back


def test_ranges_that_stay_are_found(tmp_path: Path) -> None:
    need_record()
    csrc = copy_edited([STAYS], tmp_path / "csrc")
    output = tmp_path / "stays.bpf.o"
    compile_bpf(csrc / "record" / "record.bpf.c", output, csrc / "record", csrc=csrc)
    for _ in range(5):
        outcome = run(find("remap"), seconds=2, programs=output)
        if outcome.figures["wrong"]:
            break
    assert any("wrong build IDs" in failure for failure in outcome.failures)


def test_lookups_beside_the_kernels_hash_map() -> None:
    need_record()
    found = lookups()
    assert [one.keys for one in found] == [1000, 57_000, 1_000_000]
    assert all(one.ratio < 2 for one in found)


def test_every_scenario_is_listed() -> None:
    command = [sys.executable, "-m", "stress", "record", "--list"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert [line.split()[0] for line in result.stdout.splitlines()] == [scenario.name for scenario in SCENARIOS]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_names_are_found(scenario: object) -> None:
    assert find(scenario.name) is scenario  # type: ignore[attr-defined]
