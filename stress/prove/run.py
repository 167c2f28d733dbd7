# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every check in its short form, one after the other: ``make prove``."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from stress import report
from stress.programs import ROOT
from stress.prove.checks import CANNOT, CHECKS, RESULTS, Check, Found

CODE = (".c", ".h", ".cpp")
SECONDS = 900  #: for one check, on a busy machine


@dataclass
class Result:
    check: str
    guarantees: Sequence[str]
    command: str
    verdict: str  #: SUCCESS, FAILURE or SKIPPED
    figure: str
    seconds: float = 0
    output: str = ""  #: the end of what it printed, if it failed


def digest(folder: Path) -> str:
    """Of the code below it: what is written about it may change and the page stays true."""
    total = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.suffix in CODE):
        total.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:16]


@dataclass
class Proof:
    results: list[Result] = field(default_factory=list)
    mutants: list[Found] = field(default_factory=list)
    machine: dict[str, object] = field(default_factory=report.machine)

    sources: str = field(default_factory=lambda: digest(ROOT / "csrc"))

    def _of(self, verdict: str) -> list[str]:
        return [result.check for result in self.results if result.verdict == verdict]

    @property
    def verdict(self) -> str:
        """SUCCESS is of the checks that ran whole: SKIPPED if there are none."""
        return "FAILURE" if self._of("FAILURE") else "SUCCESS" if self._of("SUCCESS") else "SKIPPED"

    def summary(self) -> str:
        """The verdict, and what it does not speak for."""
        skipped = self._of("SKIPPED")
        ran = len(self.results) - len(skipped)
        text = f"{self.verdict}: {ran} check{'s' * (ran != 1)}"
        if skipped:
            text += f", without {len(skipped)} that were skipped, at least in part: {', '.join(skipped)}"
        return text


def _read(file: Path) -> Any:
    """JSON; or of pytest's XML, the counts of its test suite, and why tests were skipped."""
    text = file.read_text()
    if not text.startswith("<"):
        return json.loads(text)
    (suite,) = ElementTree.fromstring(text).iter("testsuite")
    reasons = dict.fromkeys(skipped.get("message", "") for skipped in suite.iter("skipped"))
    return {**suite.attrib, "reasons": list(reasons)}


def run_one(check: Check) -> Result:
    command = [str(check.file) if word == "FILE" else word for word in check.command]
    shown = " ".join(["python", *(word for word in check.command[: -2 if "FILE" in check.command else None])])
    result = Result(check.name, check.guarantees, shown, "SUCCESS", "")
    check.file.unlink(missing_ok=True)
    began = time.monotonic()
    try:
        run = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=SECONDS)
        failed, output = run.returncode != 0, (run.stdout + run.stderr)[-2000:]
        if check.skips and run.returncode in CANNOT:
            said = run.stderr.strip() or run.stdout.strip()
            result.verdict, result.figure = "SKIPPED", said.rpartition("\n")[2].removeprefix("SKIPPED: ")
            return result
    except subprocess.TimeoutExpired:
        failed, output = True, f"no end after {SECONDS} s"
    result.seconds = round(time.monotonic() - began, 1)
    if check.file.exists():
        found = _read(check.file)
        result.figure, result.verdict = check.figure(found), "SKIPPED" if check.skipped(found) else "SUCCESS"
    if failed or not check.file.exists():
        result.verdict, result.output = "FAILURE", output
    return result


def prove(
    names: Sequence[str] = (), tick: Callable[[str], None] = lambda name: None, say: Callable[[Result], None] = print
) -> Proof:
    """Runs the checks, all by default, one after the other."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    proof = Proof()
    for check in CHECKS:
        if names and check.name not in names:
            continue
        tick(check.name)
        proof.results.append(run_one(check))
        say(proof.results[-1])
        if check.name == "mutants" and check.file.exists():
            proof.mutants = [
                mutant for mutant in json.loads(check.file.read_text())["mutants"] if mutant["mutant"] != "sound"
            ]
    return proof
