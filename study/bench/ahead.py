# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Ours beside each of the others: by how much in each figure, and where ours is behind, why, and at what price."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from study.bench.contenders import OURS, Contender
from study.bench.result import (
    COLD,
    FLOOR_HUGE,
    FLOOR_PLAIN,
    LOADED,
    LOADED_HIT,
    RESIDENT,
    Ahead,
    Figure,
    Interruption,
    Lead,
    Versus,
    by_round,
    find,
)

LEAST = 1.05  # times; less is no lead
SMALL = 10_000  # entries; below, what a process pays once (pins) is most of its memory
GROWING = "lookup while it grows, 99.9 %"
LOOKUPS = ("hit", "dependent hit", COLD, "miss", "hit beside churn", GROWING)
UPDATES = ("insert", "remove", "churn")
SHOWN = ("hit", "dependent hit", COLD, "miss", *UPDATES, RESIDENT)  #: of each pair


def versus(figures: Sequence[Figure], contenders: Sequence[Contender], sizes: Sequence[int]) -> tuple[Versus, ...]:
    """Ours / theirs, also where ours is behind: of all contenders, and of loads from a bare array."""
    tableless = [one.name for one in contenders if not one.stores]
    result = []
    for who in (*(one.name for one in contenders[1:]), FLOOR_PLAIN, FLOOR_HUGE):
        for size in sizes:
            found = {what: value for what in SHOWN if (value := _ours(figures, what, who, size, tableless)) is not None}
            result += [Versus(who, size, found)] if found else []
    return tuple(result)


def _ours(figures: Sequence[Figure], what: str, who: str, size: int, tableless: Sequence[str]) -> float | None:
    """Ours / theirs: the median of the ratios of the same round; None without such rounds."""
    if what == RESIDENT and (size < SMALL or who in tableless):
        return None
    own, other = find(figures, what, OURS, size), find(figures, what, who, size)
    ratios = by_round(own, other) if own and other else []
    return median(ratios) if ratios else None


def ahead(
    figures: Sequence[Figure],
    contenders: Sequence[Contender],
    interruptions: Sequence[Interruption],
    sizes: Sequence[int],
) -> tuple[Ahead, ...]:
    """All contenders that are ahead of ours in some figure."""
    tableless = [one.name for one in contenders if not one.stores]
    result = []
    for contender in contenders[1:]:
        leads, reasons = [], []
        for kind, whats, why in (
            ("lookups", LOOKUPS, contender.ahead),
            ("updates", UPDATES, contender.ahead_updates),
            ("memory", (RESIDENT,), "it keeps less beside the IDs"),
        ):
            found = [
                Lead(what, size, by)
                for what in whats
                for size in sizes
                if (by := _ours(figures, what, contender.name, size, tableless)) is not None and by > LEAST
            ]
            leads += found
            reasons += [f"{kind}: {why}"] if found else []
        if leads:
            result.append(Ahead(contender.name, tuple(leads), tuple(reasons), _price(contender, interruptions)))
    return (*result, *_loaded(figures))


def _loaded(figures: Sequence[Figure]) -> list[Ahead]:
    """glibc's lookup of the object that an address is in. It finds a range, and ours is handed its start: not the same
    task, so there is no bound."""
    why = "it searches so few objects that all of them are in the cache (ours is handed the object's start instead)"
    price = "It starts again beside dlopen() and dlclose()."
    sizes = [one.size for one in figures if one.what == LOADED_HIT and one.who == LOADED]
    found = [(size, _ours(figures, LOADED_HIT, LOADED, size, ())) for size in sizes]
    return [
        Ahead(LOADED, (Lead(LOADED_HIT, size, by),), (f"lookups: {why}",), price)
        for size, by in found
        if by is not None and by > LEAST
    ]


def _price(contender: Contender, interruptions: Sequence[Interruption]) -> str:
    found = next((one for one in interruptions if one.who == contender.name), None)
    if found is None:  # the run ended early
        return "What its lookups do under interruption was not measured."
    lookups = found.answered + found.busy + found.wrong
    if found.blocked:
        return f"Its lookup was blocked for good, at interruption {found.interruptions:,} of the updater."
    if found.wrong:
        return f"Of {lookups:,} lookups that interrupted the updater {found.wrong:,} were wrong."
    if found.busy:
        return f"Of {lookups:,} lookups that interrupted the updater {found.busy:,} had no answer."
    fixed = "" if contender.grows or not contender.stores else "; its number of buckets was chosen for this size"
    return f"It answered all {lookups:,} lookups that interrupted the updater{fixed}."
