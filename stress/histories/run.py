# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Histories of concurrent operations, recorded and checked for linearizability by the program in this folder."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, field
from pathlib import Path
from typing import Any

from pybuildid._core import ffi, lib
from stress import programs
from stress.programs import ROOT, Toolchain
from stress.report import Judged

#: enum history_kind, by number.
KINDS = (
    "lookup",
    "lookup_generation",
    "lookup_cost",
    "lookup_many",
    "iterate",
    "keys",
    "insert",
    "replace",
    "upsert",
    "remove",
    "remove_generation",
    "insert_many",
    "insert_nmi",
    "remove_nmi",
)
LOOKUPS = KINDS[: KINDS.index("insert")]
NO_BUILD_ID = 0
TORN = 2**32 - 1
BATCH = 1000  #: histories of one process, whose progress shows when it ends
SECONDS_EACH = 2.0  #: for a history on a busy machine, on the average


def sources() -> list[Path]:
    return programs.c_files(ROOT / "stress" / "histories")


def program(toolchain: Toolchain | None = None) -> Path:
    """The recorder and checker. Raises CompilerError."""
    return programs.build("recorder", sources(), toolchain)


@dataclass(frozen=True)
class Operation:
    """One operation of a history; the fields are those of struct history_op (stress/histories/history.h)."""

    key: int
    kind: int
    generation: int
    id: int  #: the number of a build ID; 0: known to have none
    status: int
    found_generation: int
    found_id: int
    invoked: int
    returned: int
    thread: int = 0
    level: int = 0  #: 0: the thread itself; above: a handler on it

    def line(self) -> str:
        return f"op {' '.join(map(str, astuple(self)))}\n"

    def describe(self) -> str:
        """As a person would write it down."""
        kind = KINDS[self.kind]
        adds = kind.startswith(("insert", "replace", "upsert"))
        given = f"generation {self.generation}" if adds or kind.endswith("generation") else ""
        given += f", {_id_name(self.id)}" if adds else ""
        answer = _status_name(self.status)
        if kind in LOOKUPS and kind != "keys" and answer in ("BID_OK", "BID_NO_BUILD_ID"):
            generation = "" if kind == "lookup_many" else f"generation {self.found_generation}, "
            answer += f": {generation}{_id_name(self.found_id)}"
        return f"{kind}({given}) -> {answer}"


def _id_name(number: int) -> str:
    return {NO_BUILD_ID: "no build ID", TORN: "bytes that nobody wrote"}.get(number, f"ID {number}")


def _status_name(number: int) -> str:
    return str(ffi.string(lib.bid_status_name(number)).decode())


@dataclass(frozen=True)
class Verdict:
    """What the checker says of one history."""

    verdict: str  #: "legal", "illegal" or "undecided"
    key: int = 0  #: the first key whose operations have no legal order
    explained: int = 0  #: so many of them are the most that a legal order begins with


@dataclass(frozen=True)
class Flawed:
    """A recorded history that is not linearizable, or could not be decided: the operations on the key in question."""

    seed: int
    number: int
    verdict: Verdict
    operations: tuple[Operation, ...]


@dataclass
class Outcome(Judged):
    """What a run of many histories came to; the fields are those of the JSON report."""

    seed: int
    histories: int = 0
    legal: int = 0
    illegal: int = 0
    undecided: int = 0
    operations: int = 0
    kinds: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))  #: of operations
    refused: int = 0  #: updates that said that they could not be done
    from_handlers: int = 0  #: operations
    interrupting: int = 0  #: of them, those that interrupted an operation of the same thread
    in_resize: int = 0  #: operations beside which a resize stood half done
    traps: int = 0  #: operations interrupted after an exact number of instructions
    stood: int = 0  #: of them, those held there until others had gone on
    overlapping: int = 0  #: pairs of operations on one key that overlap, one of them an update
    with_overlap: int = 0  #: histories with such a pair
    across_a_resize: int = 0  #: histories during which a resize began, stood or ended
    resizes: int = 0
    wrong_counts: int = 0  #: histories after which the table's count was not what lookups say
    errors: int = 0  #: updates in the background that failed
    first_error: int = 0
    flawed: list[Flawed] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  #: why it is no success, one sentence each

    def report(self) -> dict[str, Any]:
        return asdict(self)


# ------------------------------------------------------------------------------------------------ checking


class Checker:
    """The checker, as a process that is asked again and again."""

    def __init__(self, toolchain: Toolchain | None = None) -> None:
        self._process = subprocess.Popen(
            [program(toolchain), "check"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def check(self, history: Sequence[Operation]) -> Verdict:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        stdin.write("".join(operation.line() for operation in history) + "\n")
        stdin.flush()
        words = stdout.readline().split()
        if not words:
            raise ValueError("not a history")
        return Verdict(words[0], *map(int, words[1:]))

    def close(self) -> None:
        self._process.communicate()

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# ----------------------------------------------------------------------------------------------- recording


def _flawed(lines: Sequence[str], seed: int) -> Iterator[Flawed]:
    """From what the recorder printed: a line with the verdict, then the operations."""
    for start, line in enumerate(lines):
        words = line.split()
        if words[0] not in ("illegal", "undecided"):
            continue
        operations = []
        for other in lines[start + 1 :]:
            if not other.startswith("op "):
                break
            operations.append(Operation(*map(int, other.split()[1:])))
        number, key, explained = map(int, words[1:])
        operations.sort(key=lambda operation: operation.invoked)
        yield Flawed(seed, number, Verdict(words[0], key, explained), tuple(operations))


def _how_it_ended(result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode == -signal.SIGALRM:
        return "a history did not end within a minute"
    if result.returncode < 0:
        return f"the recorder died of {signal.Signals(-result.returncode).name}"
    return f"the recorder ended with status {result.returncode}: {result.stderr.strip()}"


def _batch(outcome: Outcome, first: int, n: int, toolchain: Toolchain | None) -> bool:
    """Adds n histories to the outcome; whether the recorder came to its end."""
    command = [str(program(toolchain)), "record", str(outcome.seed), str(first), str(n)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=60 + n * SECONDS_EACH)
    except subprocess.TimeoutExpired:
        outcome.failures.append(f"{n} histories from number {first} did not end in {60 + n * SECONDS_EACH:.0f} s")
        return False
    lines = result.stdout.splitlines()
    outcome.flawed.extend(_flawed(lines, outcome.seed))
    figures = {name: int(value) for kind, name, value in (line.split()[:3] for line in lines if line[:7] == "figure ")}
    for name, value in figures.items():
        setattr(outcome, name, value if name == "first_error" else getattr(outcome, name) + value)
    for kind, number in (map(int, line.split()[1:]) for line in lines if line.startswith("kind ")):
        outcome.kinds[KINDS[kind]] += number
    outcome.histories += figures.get("legal", 0) + figures.get("illegal", 0) + figures.get("undecided", 0)
    if result.returncode:
        outcome.failures.append(f"{_how_it_ended(result)}, in one of {n} histories from number {first} on")
    return result.returncode == 0


def _judge(outcome: Outcome, asked: int) -> None:
    said = (
        (outcome.illegal, "histories are not linearizable"),
        (outcome.undecided, "histories were not decided"),
        (outcome.wrong_counts, "counts of entries were wrong"),
        (outcome.errors, f"updates failed, the last first with {_status_name(outcome.first_error)}"),
    )
    outcome.failures.extend(f"{number:,} {what}" for number, what in said if number)
    if not outcome.failures and outcome.histories != asked:
        outcome.failures.append(f"{outcome.histories:,} histories were recorded, not {asked:,}")
    if not outcome.failures and not (outcome.with_overlap and outcome.across_a_resize and outcome.interrupting):
        outcome.failures.append("nothing overlapped, was interrupted or met a resize: nothing was tested")


def run(
    histories: int,
    seed: int,
    *,
    first: int = 0,
    toolchain: Toolchain | None = None,
    tick: Callable[[Outcome], None] = lambda outcome: None,
) -> Outcome:
    """Records and checks so many histories, beginning with number `first` of the seed."""
    outcome = Outcome(seed)
    for start in range(first, first + histories, BATCH):
        if not _batch(outcome, start, min(BATCH, first + histories - start), toolchain):
            break
        tick(outcome)
    _judge(outcome, histories)
    return outcome
