# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Every check in its short form, and one page of what they found: ``make prove`` writes docs/proof.md."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from stress import report
from stress.programs import ROOT

RESULTS = ROOT / "build" / "prove"
CODE = (".c", ".h", ".cpp")
SECONDS = 900  #: for one check, on a busy machine
Found = dict[str, Any]

GUARANTEES = {
    "G1": "a lookup is wait-free",
    "G2": "a lookup needs nothing",
    "G3": "a lookup is right wherever it interrupts",
    "G4": "updates are lock-free",
    "G5": "linearizable, across resizes",
    "G6": "no registration",
    "G7": "memory is reclaimed",
    "G8": "no pathological input",
    "G9": "fork, thread exit, alternate stacks and nested handlers change nothing",
    "G12": "an interrupted program is as it is alone",
    "notes": "the reader of build IDs bears any bytes",
}


@dataclass(frozen=True)
class Check:
    """A command that writes JSON to FILE, and what to say of it."""

    name: str
    guarantees: tuple[str, ...]
    command: tuple[str, ...]  #: after the interpreter; FILE is where the JSON goes
    figure: Callable[[Any], str]
    skips: bool = False  #: its exit status 2 says that this machine lacks a tool; the last line on standard error which
    skipped: Callable[[Any], bool] = lambda found: False  #: some of it was

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name.replace(' ', '-')}.json"


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

    def as_json(self) -> Found:
        return {"verdict": self.verdict, **asdict(self)}


def _storm(found: Found) -> str:
    return (
        f"{found['interruptions']:,} interruptions, {found['landed_in_update']:,} inside an update, "
        f"{found['lookups']:,} lookups, {found['wrong']} wrong, {found['blocked']} blocked; "
        f"at most {found['max_slots_read']} slots read, bound {found['bound_slots']}"
    )


def _step(found: Found) -> str:
    missed = sum(function["missed"] for function in found["coverage"])
    instructions = sum(function["instructions"] for function in found["coverage"])
    return (
        f"{found['executed']:,} instructions executed, {found['interrupted']:,} interrupted (the rest are "
        f"libc's, after its system calls), {found['lookups']:,} lookups and {found['updates']:,} updates there, "
        f"{found['wrong']} wrong; "
        f"a lookup read at most {found['max_slots_read']} slots, bound {found['bound_slots']}, and "
        f"{found['max_records_read']} records, bound {found['bound_records']}, in {found['lookup_instructions']:,} "
        f"instructions where paths were made as long as can be; {instructions - missed:,} of {instructions:,} "
        "of the table's reached"
    )


def _freeze(found: Found) -> str:
    return (
        f"a thread stopped for good after {found['points']:,} of {found['instructions']:,} instructions; the others "
        f"finished {found['operations']:,} operations, blocked {found['blocked']} times, with at most "
        f"{found['max_retired'] / 1e6:.0f} MB retired"
    )


def _histories(found: Found) -> str:
    return (
        f"{found['legal']:,} of {found['histories']:,} histories linearizable, {found['undecided']} undecided; "
        f"{found['across_a_resize']:,} across a resize"
    )


def _faults(found: Found) -> str:
    bad = [one["scenario"] for one in found["scenarios"] if one["verdict"] != "SUCCESS"]
    text = f"{len(found['scenarios']) - len(bad)} of {len(found['scenarios'])} kinds of fault survived"
    return "; ".join([text, *bad])


def _mutants(found: Found) -> str:
    mutants = [mutant for mutant in found["mutants"] if mutant["mutant"] != "sound"]
    caught = sum(mutant["caught"] for mutant in mutants)
    return f"{caught} of {len(mutants)} broken builds caught by every check named for them"


def _tests_of(what: str) -> Callable[[Found], str]:
    def figure(found: Found) -> str:
        failed = int(found["failures"]) + int(found["errors"])
        text = f"{found['tests']} tests of {what}, {failed} failed, {found['skipped']} skipped"
        return "; ".join([text, *found["reasons"]])

    return figure


def _models(found: list[Found]) -> str:
    return f"{sum(one['ok'] for one in found)} of {len(found)} scenarios and weakened orders as they have to be"


def _fuzz(found: Found) -> str:
    return f"{found['executions']:,} inputs, {found['broken'] or 'nothing broke'}"


def _kernel(found: Found) -> str:
    two, inodes, caught = found["two_processors"], found["inodes"], found["mutants"]
    return (
        f"real NMIs, in Linux {found['guest_kernel']} under QEMU: {found['nmis']:,} exact ones, {found['in_update']:,} "
        f"inside an update, {found['in_resize']:,} inside a resize; {two['nmis']:,} between two processors; "
        f"{found['lookups'] + two['lookups']:,} lookups, {found['wrong'] + two['wrong']} wrong, {found['blocked']} "
        f"blocked; {inodes['looked']:,} lookups of real inodes, {inodes['wrong']} wrong; "
        f"{sum(map(bool, caught.values()))} of {len(caught)} broken builds caught"
    )


HARMLESS = ("differential", "refused")
CHECKS = (
    Check("storm", ("G1", "G2", "G3", "G4", "G5", "G9"), ("-m", "stress", "--seconds", "20", "--json", "FILE"), _storm),
    Check("step", ("G1", "G3", "G4", "G5", "G6", "G9"), ("-m", "stress", "step", "--json", "FILE"), _step),
    Check("freeze", ("G4",), ("-m", "stress", "freeze", "--json", "FILE"), _freeze),
    Check(
        "histories", ("G3", "G5"), ("-m", "stress", "histories", "--histories", "5000", "--json", "FILE"), _histories
    ),
    Check(
        "tests",
        ("G1", "G2", "G3", "G4", "G6", "G7", "G8", "G9", "G12"),
        ("-m", "pytest", "-q", "tests/test_lookup_object.py", "tests/test_c.py", "--junitxml", "FILE"),
        _tests_of("the lookup's object file and of the core in C"),
        skipped=lambda found: int(found["skipped"]) > 0,
    ),
    Check(
        "harmless",
        ("G12",),
        ("-m", "pytest", "-q", *(f"tests/test_profile_{part}.py" for part in HARMLESS), "--junitxml", "FILE"),
        _tests_of("programs that are profiled"),
        skipped=lambda found: int(found["skipped"]) > 0,
    ),
    Check("faults", ("G4", "G6", "G7", "G9"), ("-m", "stress", "faults", "--quick", "--json", "FILE"), _faults),
    Check("kernel", ("G3", "G4", "G7"), ("-m", "stress", "kernel", "--quick", "--json", "FILE"), _kernel, skips=True),
    Check("mutants", tuple(GUARANTEES), ("-m", "stress", "mutants", "--json", "FILE"), _mutants),
    Check(
        "fuzz",
        ("notes",),
        ("tests/fuzz/fuzz.py", "--seconds", "60", "--json", "FILE"),
        _fuzz,
        skips=True,
    ),
    Check(
        "models",
        ("G3", "G5", "G7"),
        ("tests/models/run.py", "--quick", "--json", "FILE"),
        _models,
        skips=True,
    ),
)


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
        if check.skips and run.returncode == 2:
            result.verdict, result.figure = "SKIPPED", run.stderr.strip().rpartition("\n")[2]
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


def _caught_by(mutant: Found) -> str:
    found = [finding for finding in mutant["findings"] if finding["found"]]
    return ", ".join(f"{finding['check']} ({finding['seconds']:.1f} s)" for finding in found) or mutant["state"]


#: How the findings of mutants begin that are one of these checks'.
LABELS = {
    "storm": ("storm",),
    "step": ("step:",),
    "freeze": ("freeze:",),
    "histories": ("histories",),
    "faults": ("faults:",),
    "tests": ("tests/c/", "object file:"),
    "models": ("model:",),
}


def _mutants_caught(proof: Proof, guarantee: str, check: str) -> str:
    """Those that break this guarantee and that this check found."""
    labels = LABELS.get(check, ())
    names = [
        mutant["mutant"]
        for mutant in proof.mutants
        if mutant["guarantee"] == guarantee
        and any(finding["found"] and finding["check"].startswith(labels) for finding in mutant["findings"] if labels)
    ]
    return ", ".join(names)


def page(proof: Proof) -> str:
    """docs/proof.md."""
    machine = proof.machine
    lines = [
        "# What was checked, and what was found",
        "",
        "Written by `make prove`, which runs the short forms; do not edit.",
        "",
        f"**{proof.summary()}** on {machine['date']}, Linux {machine['kernel']}, {machine['processor']}, "
        f"{machine['processors']} processors, of the code in csrc/ whose SHA-256, its files taken together by name, "
        f"begins with {proof.sources}.",
        "",
        "| | guarantee | check | found | mutants that it caught |",
        "|---|---|---|---|---|",
    ]
    for guarantee, text in GUARANTEES.items():
        for result in proof.results:
            if guarantee in result.guarantees and result.check != "mutants":
                caught = _mutants_caught(proof, guarantee, result.check)
                found = f"{result.verdict}: {result.figure}"
                lines.append(f"| {guarantee} | {text} | {result.check} | {found} | {caught} |")
    lines += ["", "## The commands", "", "| check | command | seconds |", "|---|---|---|"]
    lines += [f"| {result.check} | `{result.command}` | {result.seconds:,.0f} |" for result in proof.results]
    if proof.mutants:
        lines += [
            "",
            "## Mutants",
            "",
            "Builds of the table with one fault each. Every check that is named for one has to catch it by itself.",
            "",
            "| guarantee | mutant | fault | caught by |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {mutant['guarantee']} | {mutant['mutant']} | {mutant['fault']} | {_caught_by(mutant)} |"
            for mutant in proof.mutants
        ]
    return "\n".join(lines) + "\n"
