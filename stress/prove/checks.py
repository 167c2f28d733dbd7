# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The guarantees, and the checks that speak for them: each a command, and a sentence of what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.programs import ROOT

RESULTS = ROOT / "build" / "prove"
Found = dict[str, Any]
CANNOT = (2, 77)  #: of a tool; of BPF

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
    "G10": "the same sources in a process, in a kernel and under the model checker",
    "G11": "a cold lookup waits for two cache lines, one after the other",
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
    skips: bool = False  #: an exit status of CANNOT says that this machine lacks something; the last line which
    skipped: Callable[[Any], bool] = lambda found: False  #: some of it was

    @property
    def file(self) -> Path:
        return RESULTS / f"{self.name.replace(' ', '-')}.json"


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


def _record(found: Found) -> str:
    scenarios = found["scenarios"]
    good = sum(one["verdict"] == "SUCCESS" for one in scenarios)
    frames, wrong = (sum(int(one["figures"][what]) for one in scenarios) for what in ("frames", "wrong"))
    return (
        f"{good} of {len(scenarios)} scenarios; {frames:,} frames of user stacks in BPF programs, each beside the "
        f"kernel's own answer, {wrong} wrong"
    )


CORE = ("lookup_object", "lookup_lines", "c")
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
        ("G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8", "G9", "G11", "G12", "notes"),
        ("-m", "pytest", "-q", *(f"tests/test_{part}.py" for part in CORE), "--junitxml", "FILE"),
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
    Check(
        "kernel",
        ("G3", "G4", "G7", "G10"),
        ("-m", "stress", "kernel", "--quick", "--json", "FILE"),
        _kernel,
        skips=True,
    ),
    Check(
        "bpf",
        ("G3", "G5", "G7", "G10"),
        ("-m", "pytest", "-q", "tests/test_bpf.py", "--junitxml", "FILE"),
        _tests_of("the table in the memory of BPF programs"),
        skipped=lambda found: int(found["skipped"]) > 0,
    ),
    Check(
        "record",
        ("G3", "G10"),
        ("-m", "stress", "record", "--seconds", "2", "--json", "FILE"),
        _record,
        skips=True,
    ),
    Check("mutants", (), ("-m", "stress", "mutants", "--json", "FILE"), _mutants),
    Check(
        "fuzz",
        ("notes",),
        ("tests/fuzz/fuzz.py", "--seconds", "60", "--json", "FILE"),
        _fuzz,
        skips=True,
    ),
    Check(
        "models",
        ("G3", "G5", "G6", "G7", "G10"),
        ("tests/models/run.py", "--quick", "--json", "FILE"),
        _models,
        skips=True,
    ),
)
