# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The coverage-guided fuzzers of the readers of notes and profiles: a moment of each here, a minute in `make fuzz`."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parent / "fuzz" / "fuzz.py"


def test_a_moment_of_fuzzing(tmp_path: Path) -> None:
    file = tmp_path / "found.json"
    run = subprocess.run([sys.executable, RUN, "--seconds", "4", "--json", file], capture_output=True, text=True)
    if run.returncode == 2:
        pytest.skip(run.stderr.strip().splitlines()[-1])
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(file.read_text())
    assert found["broken"] == ""
    assert found["targets"].keys() == {"note", "pprof"}
    for target in found["targets"].values():
        assert target["executions"] > 100
        assert target["covered"] > 50


def test_what_an_older_checkout_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program of a fuzzer was build/fuzz/note once."""
    monkeypatch.syspath_prepend(RUN.parent)
    fuzz = importlib.import_module("fuzz")
    monkeypatch.setattr(fuzz, "BUILD", tmp_path)
    if next(filter(None, map(fuzz.shutil.which, fuzz.CLANGS)), None) is None:
        pytest.skip("no clang with libFuzzer: apt-get install clang")
    (tmp_path / "note").write_bytes(b"a program")
    found = fuzz.fuzz("note", 1)
    assert found.executions > 100
    assert found.broken == ""


def test_without_clang() -> None:
    run = subprocess.run([sys.executable, RUN, "--seconds", "1"], capture_output=True, text=True, env={"PATH": ""})
    assert run.returncode == 2
    assert run.stderr == "the fuzzer needs clang with libFuzzer: apt-get install clang\n"
