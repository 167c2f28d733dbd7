# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the mutants of the catalog under build/mutants, and sees which check catches each.

Before the mutants the sound sources go through the same checks but the models, which `make verify` runs: a check that
they fail would catch anything.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from csrc.build_bpf import BpfBuildError, compile_bpf
from pybuildid.record import RecordError
from stress import programs
from stress.common import object_file
from stress.faults import run as faults
from stress.freeze import run as freeze
from stress.histories import run as histories
from stress.mutants.checks import (
    Bpf,
    Check,
    Fault,
    Freeze,
    Histories,
    Model,
    Mutant,
    Program,
    Reading,
    Record,
    Step,
    Storm,
)
from stress.mutants.edits import Edit, copy_edited
from stress.programs import ROOT, Toolchain
from stress.record import run as record
from stress.record.build import build_tool
from stress.step import run as step
from stress.storm.build import extension

BUILD = ROOT / "build" / "mutants"
FLAGS = ("-O2", "-g", "-fPIC", "-fvisibility=hidden")
STORM_SECONDS = 6.0  #: at most: a storm over a mutant ends with the first fault
SEED = 7
PROGRAM_SECONDS = 60.0  #: what has not ended by then hangs
MODEL_SECONDS = 120.0
HISTORIES = 250
FREEZE_POINTS = 200
RECORD_SECONDS, RECORD_TURNS = 1.0, 20  # one fault shows in every third or fourth process only, and there at once
SOUND = "sound"  #: the name of the sources as they are, among the mutants


class CheckError(Exception):
    """A check could not be run."""


@dataclass(frozen=True)
class Finding:
    """What one check said about one mutant."""

    check: str
    found: str  #: the first thing that it found wrong, in a sentence; "": nothing
    seconds: float
    skipped: str = ""  #: why it could not be run
    kind: str = ""  #: of the check


@dataclass(frozen=True)
class Verdict:
    """What came of one mutant. Of the sound sources nothing may be found."""

    mutant: str
    guarantee: str
    fault: str
    findings: tuple[Finding, ...] = ()
    only_modelled: str = ""
    error: str = ""  #: why it could not be built

    @property
    def caught(self) -> bool:
        """By every check that could be run, and by one at least; the sound sources: by none."""
        if self.mutant == SOUND:
            return False
        ran = [finding for finding in self.findings if not finding.skipped]
        return bool(ran) and all(finding.found for finding in ran)

    @property
    def skipped(self) -> str:
        """Why no check at all could be run."""
        reasons = [finding.skipped for finding in self.findings]
        return reasons[0] if reasons and all(reasons) else ""

    @property
    def ok(self) -> bool:
        """As it should be: caught, or no check of it could be run here; and the sound sources are not caught."""
        if self.error:
            return False
        if self.mutant == SOUND:
            return not any(finding.found for finding in self.findings)
        return self.caught or bool(self.skipped)


class Build:
    """One mutant's sources, and what is made of them when a check asks for it. All of it raises CompilerError."""

    def __init__(self, name: str, edits: tuple[Edit, ...]) -> None:
        self.folder = BUILD / name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.csrc = copy_edited(edits, self.folder / "csrc")

    @property
    def toolchain(self) -> Toolchain:
        """Compilers find more to complain about in a mutant than in the sources."""
        return Toolchain(flags=FLAGS, strict=(), csrc=self.csrc)

    def program(self, name: str) -> Path:
        """A program of tests/c."""
        source = ROOT / "tests" / "c" / f"{name}.c"
        return programs.build(name, [source], self.toolchain, self.toolchain.sources(programs.CORE))

    def storm(self) -> Path:
        return extension(self.toolchain)


# ----------------------------------------------------------------------------------------------------- checks --


def ended(process: subprocess.CompletedProcess[str]) -> str:
    """How a process ended, if not well."""
    if process.returncode < 0:
        return f"died of {signal.Signals(-process.returncode).name}"
    said = (process.stderr.strip() or process.stdout.strip()).splitlines()
    return (said or [f"exit status {process.returncode}"])[-1] if process.returncode else ""


def run_command(command: list[str], seconds: float, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """As a session of its own, which is killed with all its children at the end of its time: TimeoutExpired then."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=folder, stdout=pipe, stderr=pipe, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            output, errors = process.communicate(timeout=seconds)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)  # it has not been waited for, so its number is its own
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def run_tool(command: list[str], seconds: float) -> subprocess.CompletedProcess[str]:
    """One that ends by itself, whatever it finds. Raises CheckError."""
    try:
        return run_command(command, seconds)
    except subprocess.TimeoutExpired as error:
        raise CheckError(f"no end after {seconds:.0f} s: {shlex.join(command)}") from error


SKIPPED = 77  #: the exit status of a C program that could not check something; its last line says what and why


class SkippedError(Exception):
    """A program could not check something here: which, and why."""


def run_to_its_end(command: list[str], build: Build) -> str:
    """What a program of the tests found; "" if nothing. Raises SkippedError."""
    try:
        result = run_command(command, PROGRAM_SECONDS, build.folder)
    except subprocess.TimeoutExpired:
        return f"did not end within {PROGRAM_SECONDS:.0f} s"
    if result.returncode == SKIPPED:
        raise SkippedError(ended(result))
    return ended(result).replace(f"{ROOT}/", "")


def run_program(check: Program, build: Build) -> str:
    return run_to_its_end([str(build.program(check.name))], build)


def run_step(check: Step, build: Build) -> str:
    try:
        outcome = step.run(check.scenarios, check.modes, effort=step.QUICKLY, csrc=build.csrc)
    except step.StepError as error:
        raise CheckError(str(error)) from error
    return "; ".join(outcome.failures[:1])


def run_storm(build: Build) -> str:
    command = [sys.executable, "-m", "stress.mutants.storm", str(build.storm()), str(STORM_SECONDS), str(SEED)]
    result = run_tool(command, STORM_SECONDS + 60)
    if result.returncode:
        raise CheckError(f"the storm could not be run: {ended(result)}")
    return "; ".join(json.loads(result.stdout))


def run_histories(build: Build) -> str:
    return "; ".join(histories.run(HISTORIES, SEED, toolchain=build.toolchain).failures[:1])


def run_freeze(check: Freeze, build: Build) -> str:
    try:
        outcome = freeze.run((check.name,), FREEZE_POINTS, csrc=build.csrc)
    except step.StepError as error:
        raise CheckError(str(error)) from error
    return "; ".join(outcome.failures[:1])


def run_fault(check: Fault, build: Build) -> str:
    outcome = faults.run(faults.find(check.name), quick=True, toolchain=build.toolchain)
    return "; ".join(outcome.failures[:1]).replace(f"{ROOT}/", "")


def run_bpf(check: Bpf, build: Build) -> str:
    try:
        built = build_tool(check.name, ROOT / "tests" / "bpf", build.csrc, build.folder, debug=True)
    except BpfBuildError as reason:
        raise SkippedError(str(reason)) from reason
    return run_to_its_end([*map(str, built), *check.arguments], build)


def run_record(check: Record, build: Build) -> str:
    """Some faults need luck to show: it is tried again until it is seen. Only wrong answers show one, for on a busy
    machine the shares are small, too."""
    output = build.folder / "record.bpf.o"
    try:
        compile_bpf(build.csrc / "record" / "record.bpf.c", output, build.csrc / "record", csrc=build.csrc)
        for _ in range(RECORD_TURNS):
            wrong = record.run(record.find(check.name), seconds=RECORD_SECONDS, programs=output).figures["wrong"]
            if wrong:
                return f"{wrong:,.0f} wrong build IDs"
    except (BpfBuildError, RecordError) as reason:
        raise SkippedError(str(reason)) from reason
    return ""


def run_reading(check: Reading, build: Build) -> str:
    file = object_file.compile_lookup(build.csrc)
    return "; ".join(object_file.READINGS[check.name](file)[:1])


def model_name(mutant: str, check: Model) -> str:
    """What tests/models/run.py calls this."""
    return f"{mutant}: {check.name}"


def run_model(check: Model, mutant: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "verdicts.json"
        script = ROOT / "tests" / "models" / "run.py"
        command = [sys.executable, str(script), "--json", str(file), model_name(mutant, check)]
        result = run_tool(command, MODEL_SECONDS)
        if not file.exists():
            raise CheckError(f"the model could not be run: {ended(result)}")
        (verdict,) = json.loads(file.read_text())
    found = str(verdict["error"])
    if found and not found.startswith("reported: "):
        raise CheckError(f"the model could not be run: {found}")
    return found.partition(": ")[2]


def run_check(check: Check, mutant: str, build: Build) -> str:
    """What it found wrong, in a sentence. Raises CompilerError, CheckError and SkippedError."""
    runners: dict[type[Check], Callable[[Any], str]] = {
        Storm: lambda _: run_storm(build),
        Program: lambda check: run_program(check, build),
        Step: lambda check: run_step(check, build),
        Histories: lambda _: run_histories(build),
        Freeze: lambda check: run_freeze(check, build),
        Fault: lambda check: run_fault(check, build),
        Reading: lambda check: run_reading(check, build),
        Bpf: lambda check: run_bpf(check, build),
        Record: lambda check: run_record(check, build),
        Model: lambda check: run_model(check, mutant),
    }
    return runners[type(check)](check)


def missing(check: Check) -> str:
    """What this machine lacks for it."""
    machine = os.uname().machine
    if isinstance(check, Model) and shutil.which("genmc") is None:
        return "genmc is not on PATH (see tests/models/run.py)"
    if isinstance(check, Reading) and check.name in object_file.X86_ONLY and machine != "x86_64":
        return f"read from x86-64's instructions, and this is {machine}"
    if isinstance(check, (Step, Freeze)) and machine != "x86_64":
        return f"steps by x86-64's trap flag, and this is {machine}"
    if isinstance(check, (Reading, Step)) and shutil.which("objdump") is None:
        return object_file.HOW_TO_GET
    return faults.find(check.name).missing if isinstance(check, Fault) else ""


def examine(check: Check, mutant: str, build: Build) -> Finding:
    """Raises CompilerError and CheckError."""
    if reason := missing(check):
        return Finding(check.label, "", 0.0, reason, check.kind)
    if isinstance(check, Program):
        build.program(check.name)  # not to be timed
    if isinstance(check, Storm):
        build.storm()
    start = time.monotonic()
    try:
        found = run_check(check, mutant, build)
    except SkippedError as reason:
        return Finding(check.label, "", 0.0, str(reason), check.kind)
    return Finding(check.label, found, round(time.monotonic() - start, 2), kind=check.kind)


# ------------------------------------------------------------------------------------------------------- runs --


def judge(verdict: Verdict, edits: tuple[Edit, ...], checks: Iterable[Check]) -> Verdict:
    """The verdict with the findings of all checks, or with what kept a check from being run. Raises EditError if the
    mutant does not fit the sources any more."""
    findings: list[Finding] = []
    error = ""
    try:
        build = Build(verdict.mutant, edits)
        findings += (examine(check, verdict.mutant, build) for check in checks)
    except (programs.CompilerError, CheckError) as problem:
        error = str(problem)
    return replace(verdict, findings=tuple(findings), error=error)


def judge_mutant(mutant: Mutant) -> Verdict:
    """Builds one mutant and puts all of its checks to it."""
    verdict = Verdict(mutant.name, mutant.guarantee, mutant.fault, only_modelled=mutant.only_modelled)
    return judge(verdict, mutant.edits, mutant.checks)


def judge_sound(mutants: Iterable[Mutant]) -> Verdict:
    """The sources as they are, under each check of these mutants once, but the models."""
    checks = dict.fromkeys(check for mutant in mutants for check in mutant.checks if not isinstance(check, Model))
    return judge(Verdict(SOUND, "", "the sources as they are: nothing may be found"), (), checks)


def judge_all(mutants: list[Mutant], jobs: int) -> Iterator[Verdict]:
    """The sound sources and these mutants, each as soon as it is done. Raises EditError."""
    with ThreadPoolExecutor(jobs) as executor:
        todo = [executor.submit(judge_sound, mutants)]
        todo += (executor.submit(judge_mutant, mutant) for mutant in mutants)
        try:
            for future in as_completed(todo):
                yield future.result()
        finally:
            for future in todo:
                future.cancel()
