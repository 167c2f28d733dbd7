# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is to be reached: one list of bounds, each on a ratio of two figures of the same round, or on bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from study.bench.contenders import OURS, Missing
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    COLD,
    CYCLE_MEAN,
    FLOOR_HUGE,
    INSERT_ALL,
    MANY_C,
    MANY_LFHT,
    MANY_LOOP,
    MANY_PYTHON,
    WAITS,
    Figure,
    Ratio,
    by_round,
    find,
)

SMALL, MIDDLE, LARGE = 10_000, 57_000, 1_000_000  # entries
LFHT = "cds_lfht"
NO_PARTNER = "needs a second processor"


@dataclass(frozen=True)
class Bound:
    """The median of `what` of ours, divided by that of another figure, is at most this."""

    name: str
    what: str
    divisor: tuple[str, str] | None  # what and whose; None: `what` itself is bounded
    most: tuple[tuple[int, float], ...]  # from so many entries on: so much; below the first: no bound
    unit: str = ""  # "": a ratio
    largest: bool = False  # measured at the largest size alone

    def at(self, size: int) -> float | None:
        return next((most for least, most in reversed(self.most) if size >= least), None)


def _beside(what: str, whose: str, *most: tuple[int, float]) -> Bound:
    return Bound(f"{what} / that of {whose}", what, (what, whose), most)


def _company(name: str) -> Bound:
    what = f"hit beside {name}"
    return Bound(f"{what} / the quiet one", what, (f"hit before {name}", OURS), ((0, 1.5),))


def _bytes(what: str, most: float) -> Bound:
    return Bound(what, what, None, ((MIDDLE, most),), "bytes")


BOUNDS = (
    Bound("dependent hit / dependent load", "dependent hit", ("dependent hit", FLOOR_HUGE), ((LARGE, 1.4),)),
    _beside("dependent hit", "rwlock", (LARGE, 1.2)),
    _beside("hit", LFHT, (0, 0.6), (MIDDLE, 0.25), (LARGE, 0.35)),
    _beside(COLD, "inode", (MIDDLE, 1.3)),
    _beside(COLD, LFHT, (0, 0.6)),
    Bound(WAITS, WAITS, None, ((0, 2),), "lines", largest=True),
    _beside("miss", LFHT, (0, 0.6)),
    _beside("insert", LFHT, (0, 0.8)),
    _beside(INSERT_ALL, LFHT, (SMALL, 0.5)),
    _beside("remove", LFHT, (0, 0.8)),
    _beside("churn", "ck_ht", (0, 1.0)),
    _bytes(AFTER_GROW, 70),
    _bytes(CYCLE_MEAN, 58),
    _bytes(BEFORE_GROW, 52),
    _company("churn"),
    _company("resizes"),
    Bound(f"{MANY_C} / {MANY_LFHT}", MANY_C, (MANY_LFHT, LFHT), ((0, 0.12),), largest=True),
    Bound(f"{MANY_PYTHON} / {MANY_C}", MANY_PYTHON, (MANY_C, OURS), ((0, 1.3),), largest=True),
    Bound(f"{MANY_PYTHON} / {MANY_LOOP}", MANY_PYTHON, (MANY_LOOP, OURS), ((0, 1.3),), largest=True),
)


def ratios(figures: Sequence[Figure], missing: Sequence[Missing], sizes: Sequence[int]) -> tuple[Ratio, ...]:
    """All bounds that hold at these sizes, measured or not."""
    return tuple(
        _judged(bound, figures, missing, size, most)
        for bound in BOUNDS
        for size in sizes
        if (most := bound.at(size)) is not None and (not bound.largest or size == max(sizes))
    )


def _judged(bound: Bound, figures: Sequence[Figure], missing: Sequence[Missing], size: int, most: float) -> Ratio:
    own = find(figures, bound.what, OURS, size)
    if bound.divisor is None:
        return _ratio(bound, size, most, own.samples if own else (), "not measured here")
    other = find(figures, *bound.divisor, size)
    values = by_round(own, other) if own and other else ()
    reason = "never in the same round" if own and other else _absent(bound, missing)
    return _ratio(bound, size, most, values, reason)


def _ratio(bound: Bound, size: int, most: float, values: Sequence[float], reason: str) -> Ratio:
    if not values:
        return Ratio(bound.name, size, None, None, None, most, reason, bound.unit)
    return Ratio(bound.name, size, median(values), min(values), max(values), most, unit=bound.unit)


def _absent(bound: Bound, missing: Sequence[Missing]) -> str:
    """Why one of two figures is not there."""
    assert bound.divisor
    whose = bound.divisor[1]
    if bound.what.startswith("hit beside"):
        return NO_PARTNER
    if bound.what == COLD and whose not in [one.name for one in missing]:
        return f"{whose} is not among those measured, or this is no x86-64"
    install = (f"apt-get install {one.package}" for one in missing if one.name == whose)
    return next(install, f"{whose} is not among those measured")
