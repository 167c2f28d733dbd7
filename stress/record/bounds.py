# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the recorder has to reach: one list of bounds, and what was found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from stress.record.hooks import Mapping, hooks
from stress.record.lookups import Lookups, lookups
from stress.record.own import Own, own
from stress.record.run import Outcome, find
from stress.record.updates import Updates, updates

ENOUGH = 1_000_000  #: frames, of which none may be wrong


@dataclass(frozen=True)
class Measured:
    """What is measured beside the scenarios. verified: instructions that the verifier visits for a lookup."""

    hooks: list[Mapping]
    lookups: list[Lookups]
    updates: list[Updates]
    own: Own
    verified: int


def measure() -> Measured:
    """Takes three minutes."""
    lost, verified = updates()
    return Measured(hooks(), lookups(), lost, own(), verified)


@dataclass(frozen=True)
class Bound:
    """found: None if it was not measured, for this reason. least: the bound is the least that will do, not the most."""

    name: str
    found: float | None
    bound: float
    unit: str = ""  #: "": a ratio
    least: bool = False
    reason: str = ""

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found >= self.bound if self.least else self.found <= self.bound

    def __str__(self) -> str:
        kind = "at least" if self.least else "at most"
        found = self.reason if self.found is None else _shown(self.found, self.unit)
        verdict = {True: "met", False: "MISSED", None: "not measured"}[self.met]
        return f"{verdict}: {self.name}: {found} ({kind} {_shown(self.bound, self.unit)})"


def _shown(number: float, unit: str) -> str:
    figure = f"{number:,.0f}" if number == int(number) and unit not in ("", "%") else f"{number:,.2f}"
    return f"{figure} {unit}".rstrip()


def bounds(outcomes: Sequence[Outcome], measured: Measured | None) -> list[Bound]:
    """All that was to be reached in these scenarios, and beside them if that was measured."""
    return [bound for outcome in outcomes for bound in _of_scenario(outcome)] + [
        *_wrong(outcomes),
        *(_beside(measured) if measured else ()),
    ]


def _of_scenario(outcome: Outcome) -> Iterator[Bound]:
    figures, name = outcome.figures, outcome.scenario
    share = 100 * find(name).table
    yield Bound(f"{name}, frames of code by the table", figures["table, % of frames that have code"], share, "%", True)
    kernel = figures["kernel, %"]
    yield Bound(
        f"{name}, frames with a build ID, by the kernel alone", figures["with a build ID, %"], kernel, "%", True
    )
    both = figures["ns a frame, kernel"]
    ratio = figures["ns a frame, table"] / both if both else None
    yield Bound(f"{name}, time of a frame / the kernel's", ratio, 0.5, reason="no frames")


def _wrong(outcomes: Sequence[Outcome]) -> Iterator[Bound]:
    wrong = sum(outcome.figures["wrong"] for outcome in outcomes)
    frames = int(sum(outcome.figures["frames"] for outcome in outcomes))
    few = "" if wrong or frames >= ENOUGH else f"none of {frames:,}: too few, more --seconds help"
    name = f"wrong build IDs, of {frames:,} frames"
    yield Bound(name, None if few else wrong, 0, "frames", reason=few)


def _beside(measured: Measured) -> Iterator[Bound]:
    for one in measured.lookups:
        yield Bound(f"a lookup of {one.keys:,} keys / BPF_MAP_TYPE_HASH's", one.ratio, 1.1)
    table = next(one for one in measured.updates if one.what == "the table, as often")
    yield Bound("samples lost while user space updates as often as BPF_MAP_TYPE_HASH takes", 100 * table.lost, 1, "%")
    yield Bound("the recorder itself", 100 * measured.own.share, 1, "% of a processor")
    yield Bound(f"{measured.hooks[0].what} with the hooks / without", measured.hooks[0].hooks, 1.03)
    yield Bound("the verifier visits for a lookup", measured.verified, 10_000, "instructions")
    yield Bound("the verifier visits for a sample", measured.own.verified, 50_000, "instructions")
