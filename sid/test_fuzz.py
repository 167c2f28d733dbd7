# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The coverage-guided fuzzer of the note reader: a moment of it here, a minute in `make fuzz`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "fuzz" / "fuzz.py"


def test_a_moment_of_fuzzing(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    run = subprocess.run([sys.executable, RUN, "--seconds", "3", "--json", file], capture_output=True, text=True)
    if run.returncode == 2:
        pytest.skip(run.stderr.strip().splitlines()[-1])
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(file.read_text())
    assert found["executions"] > 100
    assert found["covered"] > 50
    assert found["broken"] == ""


def test_without_clang() -> None:
    run = subprocess.run([sys.executable, RUN, "--seconds", "1"], capture_output=True, text=True, env={"PATH": ""})
    assert run.returncode == 2
    assert run.stderr == "the fuzzer needs clang with libFuzzer: apt-get install clang\n"
