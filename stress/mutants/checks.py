# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a mutant is: edits of a copy of csrc/, and the checks that each have to catch it by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Union

from stress.mutants.edits import Edit


@dataclass(frozen=True)
class Storm:
    """A short signal storm over an engine with the edited sources."""

    name = "storm"


@dataclass(frozen=True)
class Program:
    """A program of tests/c, linked with the edited sources."""

    name: str


@dataclass(frozen=True)
class Step:
    """Scenarios of `python -m stress step`, with the edited sources. Lookups from the handler are always among it."""

    scenarios: tuple[str, ...]
    modes: tuple[str, ...] = ()  #: of stress.step.MODES; without: such mutants are wrong whatever else the handler does

    @property
    def name(self) -> str:
        return " ".join(self.scenarios)


@dataclass(frozen=True)
class Histories:
    """Histories of concurrent operations, checked for linearizability, with the edited sources."""

    name = "histories"


@dataclass(frozen=True)
class Freeze:
    """An operation of `python -m stress freeze`, with the edited sources: its thread is stopped for good."""

    name: str


@dataclass(frozen=True)
class Fault:
    """The quick form of a scenario of `python -m stress faults`, with the edited sources."""

    name: str


@dataclass(frozen=True)
class Reading:
    """One of stress.common.object_file.READINGS, of the edited lookup.c."""

    name: str


@dataclass(frozen=True)
class Model:
    """A scenario of tests/models under the C11 model checker."""

    name: str


Check = Union[Storm, Program, Step, Histories, Freeze, Fault, Reading, Model]


@dataclass(frozen=True)
class Mutant:
    name: str
    guarantee: str  #: which of README.md it breaks
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
