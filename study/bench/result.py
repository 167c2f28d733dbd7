# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a measurement found, as plain data, and as a JSON document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from pybuildid.cli._machine import Machine
from study.bench.contenders import Contender, Missing

FLOOR_PLAIN, FLOOR_HUGE = "load, 4 KiB pages", "load, huge pages"  # who, of the floor
LOADED, LOADED_HIT = "_dl_find_object", "hit, loaded objects"  # glibc's lookup of addresses, and its figure
MANY_PYTHON, MANY_C = "Table.lookup_many() in Python", "bid_lookup_many() in C"
MANY_LOOP, MANY_LFHT = "a loop over bid_lookup() in C", "a loop over cds_lfht_lookup() in C"
INSERT_ALL = "insert, all threads"  # processor time of the process, until growth in the background is done
REMOVE_ALL = "remove, all threads"
AFTER_GROW, BEFORE_GROW = "bytes an entry, right after a grow", "bytes an entry, just before a grow"
CYCLE_MEAN = "bytes an entry, mean of a cycle of growth"
WHILE_GROWING = "bytes an entry, during a grow, the most"  # with the old array and the new one
RESIDENT = "bytes an entry, resident"
COLD = "cold hit"  # nothing of the process's data is in a cache before it
WAITS = "cache lines that a cold hit waits for one after the other"  # see waits.py
LEFT_OUT_MOST = 0.05  #: of the time of lookups; a run that left out more says nothing


@dataclass(frozen=True)
class Figure:
    """One thing measured of one contender at one size: ns an operation, or bytes an entry."""

    what: str
    who: str
    size: int
    samples: tuple[float, ...]
    rounds: tuple[int, ...] = ()  # that the samples are of; (): the first ones
    busy: float | None = None  # the share of the lookups that had no answer, of a design that may have none

    @property
    def numbers(self) -> Sequence[int]:
        """Of the rounds."""
        return self.rounds or range(len(self.samples))

    @property
    def median(self) -> float:
        return median(self.samples)


@dataclass(frozen=True)
class Interruption:
    """Lookups from a signal handler that interrupts the updater."""

    who: str
    interruptions: int
    in_update: int  # interruptions that came inside an update
    answered: int  # lookups
    busy: int
    wrong: int
    blocked: int  # 1: the last lookup never returned
    updates: int
    resizes: int


@dataclass(frozen=True)
class Worst:
    """What a lookup of a key that is there reads and executes. None: the design does not say."""

    who: str
    size: int
    keys: str
    slots: int | None
    records: int | None
    mean_records: float | None
    instructions: int | None  # most, of some keys, those that read most among them; a system call counts as one


@dataclass(frozen=True)
class Ratio:
    """A bound and what was measured. median None: not measured, for this reason."""

    label: str
    size: int
    median: float | None
    min: float | None
    max: float | None
    bound: float
    reason: str = ""
    unit: str = ""  # "": a ratio

    @property
    def ok(self) -> bool | None:
        return None if self.median is None else self.median <= self.bound


@dataclass(frozen=True)
class Versus:
    """Ours / theirs by figure, medians: above 1 ours is behind."""

    who: str
    size: int
    ratios: Mapping[str, float]


@dataclass(frozen=True)
class HeadToHead:
    """A figure of this build / that of another build of the table, of rounds in which both were measured."""

    what: str
    size: int
    median: float
    min: float
    max: float
    rounds: int
    worse: bool | None  # by more than its spread; None: that was not to be seen, with so few rounds

    @property
    def once(self) -> bool:
        """It is measured once in a run, however many rounds there are."""
        return self.what.startswith(("bytes", "lookup while"))


@dataclass(frozen=True)
class Lead:
    """A figure in which another design is ahead of ours: ours is so many times theirs."""

    what: str
    size: int
    by: float


@dataclass(frozen=True)
class Ahead:
    who: str
    leads: tuple[Lead, ...]
    why: tuple[str, ...]
    price: str  # what its lookups did when they interrupted the updater: a sentence


@dataclass(frozen=True)
class Result:
    machine: Machine
    seed: int
    rounds: int  # at most; each figure has as many samples as there was time for
    seconds: float  # for all
    took: float  # seconds
    threads: int
    processors: tuple[int, ...]  # the measuring thread's first
    keys: str
    sizes: tuple[int, ...]
    left_out: float  # the share of the time of lookups alone that was left out as interruptions; in company nothing is
    contenders: tuple[Contender, ...]
    missing: tuple[Missing, ...]
    figures: tuple[Figure, ...]
    interruptions: tuple[Interruption, ...]
    worst: tuple[Worst, ...]
    ratios: tuple[Ratio, ...]
    versus: tuple[Versus, ...]
    ahead: tuple[Ahead, ...]
    notes: tuple[str, ...]  # what was not measured, and why
    ended_early: str = ""  # which contender hung, or gave a wrong answer, and where: nothing was measured after that
    against: str = ""  # the checkout of the other build, where two builds are compared
    head_to_head: tuple[HeadToHead, ...] = ()

    @property
    def unusable(self) -> str:
        """Why the figures say nothing; "": they are usable."""
        if self.left_out <= LEFT_OUT_MOST:
            return ""
        return (
            f"{self.left_out:.0%} of the time of lookups was left out as interrupted, more than {LEFT_OUT_MOST:.0%}: "
            "something else ran on these processors"
        )

    def find(self, what: str, who: str, size: int) -> Figure | None:
        return find(self.figures, what, who, size)


def find(figures: Iterable[Figure], what: str, who: str, size: int) -> Figure | None:
    return next((one for one in figures if (one.what, one.who, one.size) == (what, who, size)), None)


def by_round(left: Figure, right: Figure) -> list[float]:
    """Ratios of the samples of the same round, so that drift between rounds cancels out. In some rounds one of the two
    may not have been measured."""
    others = dict(zip(right.numbers, right.samples))
    return [sample / others[number] for number, sample in zip(left.numbers, left.samples) if number in others]


SCALARS = ("seed", "rounds", "seconds", "took", "threads", "keys", "left_out")


def document(result: Result, command: str) -> dict[str, Any]:
    """For programs: also what ``python -m study report`` reads."""
    return {
        "command": command,
        "machine": asdict(result.machine),
        **{name: getattr(result, name) for name in SCALARS},
        "processors": list(result.processors),
        "sizes": list(result.sizes),
        "contenders": [_contender(one) for one in result.contenders],
        "missing": [asdict(one) for one in result.missing],
        "figures": [_figure(one) for one in result.figures],
        "interruptions": [asdict(one) for one in result.interruptions],
        "worst": [asdict(one) for one in result.worst],
        "ratios": [{**asdict(one), "ok": one.ok} for one in result.ratios],
        "versus": [asdict(one) for one in result.versus],
        "ahead": [asdict(one) for one in result.ahead],
        "notes": list(result.notes),
        "ended_early": result.ended_early,
        "unusable": result.unusable,
        "against": result.against,
        "head_to_head": [asdict(one) for one in result.head_to_head],
    }


def _contender(contender: Contender) -> Mapping[str, object]:
    return {name: getattr(contender, name) for name in ("name", "summary", "peer", "grows", "stores")}


def _figure(figure: Figure) -> Mapping[str, object]:
    samples: Sequence[float] = figure.samples
    spread = {"median": figure.median, "min": min(samples), "max": max(samples), "samples": list(samples)}
    which = {"rounds": list(figure.numbers), "busy": figure.busy}
    return {"what": figure.what, "who": figure.who, "size": figure.size, **spread, **which}
