# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Who is ahead of ours: by how much, why, and at what price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from study.bench.bounds import RESIDENT, SMALL, loaded
from study.bench.contenders import OURS, Contender
from study.bench.result import LOADED, LOADED_HIT, Ahead, Figure, Interruption, Lead, by_round, find

LEAST = 1.05  # times; less is no lead
GROWING = "lookup while it grows, 99.9 %"
LOOKUPS = ("hit", "dependent hit", "miss", "hit beside churn", GROWING)
UPDATES = ("insert", "remove", "churn")


def ahead(
    figures: Sequence[Figure],
    contenders: Sequence[Contender],
    interruptions: Sequence[Interruption],
    sizes: Sequence[int],
) -> tuple[Ahead, ...]:
    """All contenders that are ahead of ours in some figure."""
    result = []
    for contender in contenders[1:]:
        leads, reasons = [], []
        for kind, whats, why in (
            ("lookups", LOOKUPS, contender.ahead),
            ("updates", UPDATES, contender.ahead_updates),
            ("memory", (RESIDENT,), "it keeps less beside the IDs"),
        ):
            found = [lead for what in whats for lead in _leads(figures, contender, what, sizes)]
            leads += found
            reasons += [f"{kind}: {why}"] if found else []
        if leads:
            result.append(Ahead(contender.name, tuple(leads), tuple(reasons), _price(contender, interruptions)))
    return (*result, *_loaded(figures))


def _loaded(figures: Sequence[Figure]) -> list[Ahead]:
    """glibc's lookup of the object that an address is in."""
    why = "it searches so few objects that all of them are in the cache (ours is handed the object's start instead)"
    price = "It starts again beside dlopen() and dlclose()."
    return [
        Ahead(LOADED, (Lead(LOADED_HIT, one.size, one.median),), (f"lookups: {why}",), price)
        for one in loaded(figures)
        if one.median is not None and one.median > LEAST
    ]


def _leads(figures: Sequence[Figure], contender: Contender, what: str, sizes: Sequence[int]) -> Iterator[Lead]:
    for size in sizes:
        if what == RESIDENT and (size < SMALL or not contender.stores):
            continue
        own, other = find(figures, what, OURS, size), find(figures, what, contender.name, size)
        ratios = by_round(own, other) if own and other else []
        if ratios and (by := median(ratios)) > LEAST:
            yield Lead(what, size, by)


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
