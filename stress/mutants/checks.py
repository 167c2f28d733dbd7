# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a mutant is: edits of a copy of csrc/, and the checks that each have to catch it by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stress.mutants.edits import Edit


class Check:
    """kind: which command it is a part of. label: what a report calls it."""

    kind: ClassVar[str]

    @property
    def label(self) -> str:
        return self.kind


@dataclass(frozen=True)
class Storm(Check):
    """A short signal storm over the edited sources."""

    kind = "storm"


@dataclass(frozen=True)
class Histories(Check):
    """Histories of concurrent operations, checked for linearizability, with the edited sources."""

    kind = "histories"


@dataclass(frozen=True)
class Step(Check):
    """Scenarios of `python -m stress step`, with the edited sources. Lookups from the handler are always among it."""

    kind = "step"
    scenarios: tuple[str, ...]
    modes: tuple[str, ...] = ()  #: of the command's; without: such mutants are wrong whatever else the handler does

    @property
    def label(self) -> str:
        return f"step: {' '.join(self.scenarios)}"


@dataclass(frozen=True)
class _Named(Check):
    name: str

    @property
    def label(self) -> str:
        return f"{self.kind}: {self.name}"


class Program(_Named):
    """A program of tests/c, linked with the edited sources."""

    kind = "tests"

    @property
    def label(self) -> str:
        return f"tests/c/{self.name}.c"


class Reading(_Named):
    """One of stress.common.object_file.READINGS, of the edited lookup.c."""

    kind = "tests"

    @property
    def label(self) -> str:
        return f"object file: {self.name}"


class Freeze(_Named):
    """An operation of `python -m stress freeze`, with the edited sources: its thread is stopped for good."""

    kind = "freeze"


class Fault(_Named):
    """The quick form of a scenario of `python -m stress faults`, with the edited sources."""

    kind = "faults"


@dataclass(frozen=True)
class Bpf(Check):
    """A program of tests/bpf with its BPF programs, of the edited sources."""

    kind = "bpf"
    name: str
    arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        return f"tests/bpf/{self.name}.c"


class Record(_Named):
    """A scenario of `python -m stress record`, with BPF programs of the edited sources."""

    kind = "record"


class Model(_Named):
    """A scenario of tests/models under the C11 model checker."""

    kind = "models"


@dataclass(frozen=True)
class Mutant:
    name: str
    guarantee: str  #: which of docs/guarantees.md it breaks
    fault: str
    edits: tuple[Edit, ...]
    checks: tuple[Check, ...]
    only_modelled: str = ""  #: why no test on this processor can be relied upon to see it

    def __post_init__(self) -> None:
        modelled = all(isinstance(check, Model) for check in self.checks)
        if not self.checks or modelled != bool(self.only_modelled):
            raise ValueError(f"{self.name}: either a test catches it, or it says why only the model checker does")


#: Why no test on this processor can be relied upon to see a mutant.
STRONG = "x86 keeps the order of stores, and of loads, by itself"
NARROW = "the window is some instructions wide, on two processors at once"
