# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The page of proofs: made from a short check that is run, and from one that fails."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from stress.__main__ import main
from stress.programs import ROOT
from stress.prove import checks
from stress.prove import run as prove
from stress.prove.checks import CHECKS, GUARANTEES, Check
from stress.prove.page import page


def test_one_check_through_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (check,) = (check for check in CHECKS if check.name == "histories")
    fewer = tuple("200" if word == "5000" else word for word in check.command)
    monkeypatch.setattr(prove, "CHECKS", (replace(check, command=fewer),))
    file, report = tmp_path / "proof.md", tmp_path / "proof.json"
    options = ["prove", "--check", "histories", "--page", str(file), "--json", str(report)]
    run = CliRunner().invoke(main, options)
    assert run.exit_code == 0, run.output
    assert json.loads(report.read_text())["verdict"] == "SUCCESS"
    text = file.read_text()
    assert "| number | guarantee | histories |\n" in text
    assert "| G5 | linearizable, across resizes | ✓ |" in text
    assert "| G1 | a lookup is wait-free |  |" in text
    assert "| histories | SUCCESS: 200 of 200 histories" in text


def test_a_check_that_fails_or_writes_nothing_is_a_failure() -> None:
    failing = Check("failing", ("G1",), ("-c", "raise SystemExit('broken')"), str)
    result = prove.run_one(failing)
    assert result.verdict == "FAILURE"
    assert "broken" in result.output
    proof = prove.Proof([result])
    assert proof.verdict == "FAILURE"
    assert "**FAILURE: 1 check**" in page(proof)


def test_a_missing_tool_is_skipped_and_named() -> None:
    lacks = ("-c", "import sys; print('oh\\nno tool: install it', file=sys.stderr); sys.exit(2)")
    result = prove.run_one(Check("absent", ("G1",), lacks, str, skips=True))
    assert result.verdict == "SKIPPED"
    assert result.figure == "no tool: install it"
    assert prove.run_one(Check("absent", ("G1",), lacks, str)).verdict == "FAILURE"


def test_real_nmis_stand_beside_emulated_ones() -> None:
    (check,) = (check for check in CHECKS if check.name == "kernel")
    assert "--quick" in check.command
    assert check.skips
    run = {"nmis": 1000, "in_update": 600, "in_resize": 200, "lookups": 9000, "wrong": 1}
    report = {**run, "guest_kernel": "6.1", "blocked": 0, "two_processors": run, "inodes": {"looked": 5, "wrong": 2}}
    text = check.figure({**report, "mutants": {"no-seal": "3 wrong answers", "torn-copy": ""}})
    assert "1,000 exact ones, 600 inside an update, 200 inside a resize" in text
    assert "18,000 lookups, 2 wrong, 0 blocked; 5 lookups of real inodes, 2 wrong; 1 of 2 broken builds" in text


def test_every_guarantee_has_a_check() -> None:
    assert {guarantee for check in CHECKS for guarantee in check.guarantees} == set(GUARANTEES)
    assert [number for number in GUARANTEES if number[1:].isdigit()] == [f"G{number}" for number in range(1, 13)]


def result(name: str, verdict: str) -> prove.Result:
    return prove.Result(name, ("G1",), "python", verdict, "")


def mutant(name: str, guarantee: str, *caught: str) -> dict[str, object]:
    findings = [{"check": f"{kind}: x", "kind": kind, "found": "wrong", "seconds": 1.5} for kind in caught]
    return {"mutant": name, "guarantee": guarantee, "fault": "a fault", "state": "caught", "findings": findings}


def test_the_matrix_counts_the_mutants_of_each_check() -> None:
    mutants = [mutant("a", "G1", "storm", "step"), mutant("b", "G1", "storm"), mutant("c", "G2", "storm")]
    results = [result("storm", "SUCCESS"), result("step", "SKIPPED"), prove.Result("mutants", (), "x", "SUCCESS", "")]
    text = page(prove.Proof(results, mutants))
    assert "| number | guarantee | storm | step |\n" in text
    assert "| G1 | a lookup is wait-free | ✓ 2 | skipped 1 |" in text
    assert "| G2 | a lookup needs nothing | 1 |  |" in text
    assert "| G1 | a | a fault | storm: x (1.5 s), step: x (1.5 s) |" in text


def test_each_figure_is_said_once() -> None:
    proof = prove.Proof([prove.Result("storm", ("G1", "G2", "G3"), "python", "SUCCESS", "many lookups", 7)])
    assert page(proof).count("many lookups") == 1


def test_what_was_skipped_is_no_success() -> None:
    some = prove.Proof([result("storm", "SUCCESS"), result("models", "SKIPPED")])
    assert some.verdict == "SUCCESS"
    assert "**SUCCESS: 1 check, without 1 that were skipped, at least in part: models**" in page(some)
    assert prove.Proof([result("models", "SKIPPED")]).verdict == "SKIPPED"
    assert prove.Proof([result("models", "SKIPPED"), result("storm", "FAILURE")]).verdict == "FAILURE"


def test_tests_that_were_skipped_are_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tests = tmp_path / "test_some.py"
    tests.write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip('no seccomp here')\n")
    (check,) = (check for check in CHECKS if check.name == "tests")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), "--junitxml", "FILE")
    monkeypatch.setattr(checks, "RESULTS", tmp_path)
    found = prove.run_one(replace(check, command=command))
    assert found.verdict == "SKIPPED"
    assert found.figure.endswith("0 failed, 1 skipped; no seccomp here")


def test_the_page_has_a_line_for_programs_that_are_profiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tests are there, and one that fails fails it."""
    (check,) = (check for check in CHECKS if check.name == "harmless")
    files = [word for word in check.command if word.endswith(".py")]
    assert len(files) == 2
    assert all((ROOT / file).exists() for file in files)
    tests = tmp_path / "test_some.py"
    tests.write_text("def test_a(): pass\ndef test_b(): assert not 'the same as alone'\n")
    command = ("-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), "--junitxml", "FILE")
    monkeypatch.setattr(checks, "RESULTS", tmp_path)
    found = prove.run_one(replace(check, command=command))
    assert found.verdict == "FAILURE"
    text = page(prove.Proof([found]))
    assert "| G12 | an interrupted program is as it is alone | ✗ |" in text
    assert "| harmless | FAILURE: 2 tests" in text


def test_the_page_says_of_which_sources(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text("x")
    before = prove.digest(tmp_path)
    assert f"begins with {prove.digest(ROOT / 'csrc')}." in page(prove.Proof())
    (tmp_path / "README.md").write_text("What is written about the code.")
    assert prove.digest(tmp_path) == before
    for name in ("b.c", "b.h", "b.cpp"):
        (tmp_path / name).write_text("x")
        before, last = prove.digest(tmp_path), before
        assert before != last
    (tmp_path / "a.c").rename(tmp_path / "c.c")
    assert prove.digest(tmp_path) != before


def test_the_pages_are_there() -> None:
    """Made anew before each release (CONTRIBUTING.md): between releases the code may be newer than they are."""
    proof = (ROOT / "docs/proof.md").read_text()
    assert re.search(r"^\*\*SUCCESS: .* begins with [0-9a-f]{16}\.$", proof, re.MULTILINE)
    assert "| place | function | order |" in (ROOT / "docs/orders.md").read_text()
