# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What is to be reached, as ratios of figures of one run with their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from study.bench.contenders import OURS, Contender, Missing
from study.bench.result import (
    AFTER_GROW,
    BEFORE_GROW,
    FLOOR_HUGE,
    FLOOR_PLAIN,
    INSERT_ALL,
    LOADED,
    LOADED_HIT,
    MANY_C,
    MANY_LFHT,
    MANY_LOOP,
    MANY_PYTHON,
    WHILE_GROWING,
    Figure,
    Interruption,
    Ratio,
    by_round,
    find,
)

MIDDLE, LARGE = 57_000, 1_000_000
SMALL = 10_000  # entries; below, what a process pays once (pins) is most of its memory
LFHT = "cds_lfht"
DEPENDENT = 1.2  # a dependent hit in dependent loads
COMPANY = 1.5  # a hit beside a thread that churns, or does nothing but resize, in quiet ones
MISS, INSERT = 0.5, 0.5  # a miss in hits; an insert, growth included, in those of cds_lfht
MANY = 1.3  # a lookup of many keys from Python in the same from C
ENDS = ((AFTER_GROW, 64.0), (BEFORE_GROW, 50.0), (WHILE_GROWING, None))  # resident bytes
NO_PARTNER = "needs a second processor"
MEMORY = 1 / 0.75  # our bytes an entry in those of a growing design with the same IDs: ours less 25 %
OCTAVE, RESIDENT = "bytes an entry, resident, mean of an octave", "bytes an entry, resident"


def ratio(label: str, size: int, left: Figure | None, right: Figure | None, bound: float | None, reason: str) -> Ratio:
    if left is None or right is None:
        return Ratio(label, size, None, None, None, bound, reason)
    values = by_round(left, right)
    if not values:
        return Ratio(label, size, None, None, None, bound, "never measured in the same round")
    return Ratio(label, size, median(values), min(values), max(values), bound)


def ratios(
    figures: Sequence[Figure],
    contenders: Sequence[Contender],
    missing: Sequence[Missing],
    interruptions: Sequence[Interruption],
    sizes: Sequence[int],
) -> tuple[Ratio, ...]:
    """All bounds that hold at these sizes, measured or not."""
    result: list[Ratio] = []
    for size in sizes:
        result += _hits(figures, contenders, missing, interruptions, size)
        result += _dependent(figures, contenders, size)
        result += _own(figures, size)
        result += _updates(figures, missing, size)
        result += _ends(figures, size)
        result += _memory(figures, contenders, size)
    return (*result, *loaded(figures))


def _absent(missing: Sequence[Missing]) -> str:
    """Why there is no cds_lfht."""
    return next((f"apt-get install {one.package}" for one in missing if one.name == LFHT), "not among those measured")


def _hits(
    figures: Sequence[Figure],
    contenders: Sequence[Contender],
    missing: Sequence[Missing],
    interruptions: Sequence[Interruption],
    size: int,
) -> list[Ratio]:
    own = find(figures, "hit", OURS, size)
    always = {one.who: one.always_answers for one in interruptions}
    told = {True: "answers under interruption", False: "does not always answer", None: "interruption not measured"}
    result = []
    for contender in contenders[1:]:
        name, hit = contender.name, find(figures, "hit", contender.name, size)
        if hit is None or name == LFHT:
            continue
        answers = always.get(name)
        bound = 1.0 if answers or contender.peer else None  # peers, whatever their guarantees; other rivals are shown
        result.append(ratio(f"hit / {name} hit ({told[answers]})", size, own, hit, bound, ""))
    lfht = find(figures, "hit", LFHT, size)
    lfht_bound = 1 / 10 if size >= LARGE else 1 / 4 if size >= MIDDLE else 1.0
    result.append(ratio(f"hit / {LFHT} hit", size, own, lfht, lfht_bound, _absent(missing)))
    for name in _in_place(figures, contenders, size) if lfht else ():
        result.append(ratio(f"{name} hit / {LFHT} hit", size, find(figures, "hit", name, size), lfht, None, ""))
    many = find(figures, MANY_C, OURS, size)
    if many:
        loop = find(figures, MANY_LFHT, LFHT, size)
        result.append(ratio(f"{MANY_C} / {MANY_LFHT}", size, many, loop, lfht_bound, _absent(missing)))
    return result


def _dependent(figures: Sequence[Figure], contenders: Sequence[Contender], size: int) -> list[Ratio]:
    if size < LARGE:
        return []

    def loads(label: str, who: str, floor: str, bound: float | None) -> Ratio:
        left, right = find(figures, "dependent hit", who, size), find(figures, "dependent hit", floor, size)
        return ratio(f"{label} / dependent {floor}", size, left, right, bound, "")

    return [
        loads("dependent hit", OURS, FLOOR_HUGE, DEPENDENT),  # on the same pages as ours
        loads("dependent hit", OURS, FLOOR_PLAIN, None),
        *(loads(f"{name} dependent hit", name, FLOOR_HUGE, None) for name in _in_place(figures, contenders, size)),
    ]


def _in_place(figures: Sequence[Figure], contenders: Sequence[Contender], size: int) -> list[str]:
    """Rivals that keep keys and IDs in one place, for comparison: one cache miss, under a lock or a counter."""
    names = [one.name for one in contenders[1:] if one.grows and one.stores and not one.peer]
    return [name for name in names if find(figures, "hit", name, size)]


def _own(figures: Sequence[Figure], size: int) -> list[Ratio]:
    """Ours in ours."""

    def own(label: str, left: str, right: str, bound: float | None, reason: str = "") -> Ratio:
        return ratio(label, size, find(figures, left, OURS, size), find(figures, right, OURS, size), bound, reason)

    return [
        own("miss / hit", "miss", "hit", MISS if size >= MIDDLE else None),
        own("hit beside churn / quiet", "hit beside churn", "hit before churn", COMPANY, NO_PARTNER),
        own("hit beside resizes / quiet", "hit beside resizes", "hit before resizes", COMPANY, NO_PARTNER),
        *(
            own(f"{MANY_PYTHON} / {what}", MANY_PYTHON, what, MANY)
            for what in (MANY_C, MANY_LOOP)
            if find(figures, what, OURS, size)
        ),
    ]


def _updates(figures: Sequence[Figure], missing: Sequence[Missing], size: int) -> list[Ratio]:
    """The same bound for the thread that inserts, and for all threads: cds_lfht grows in one of its own."""
    return [
        ratio(
            f"{what} / {LFHT} {what}",
            size,
            find(figures, what, OURS, size),
            find(figures, what, LFHT, size),
            bound,
            _absent(missing),
        )
        for what, bound in (("insert", INSERT), (INSERT_ALL, INSERT), ("remove", None))
        if what != INSERT_ALL or find(figures, what, OURS, size)
    ]


def _ends(figures: Sequence[Figure], size: int) -> list[Ratio]:
    """Bytes, not ratios, with their bounds."""
    found = [(find(figures, what, OURS, size), bound) for what, bound in ENDS]
    return [
        Ratio(one.what, size, one.median, min(one.samples), max(one.samples), bound, unit="bytes")
        for one, bound in found
        if one
    ]


def _memory(figures: Sequence[Figure], contenders: Sequence[Contender], size: int) -> list[Ratio]:
    what = OCTAVE if find(figures, OCTAVE, OURS, size) else RESIDENT
    own = find(figures, what, OURS, size)
    return [
        ratio(f"{what} / that of {contender.name}", size, own, find(figures, what, contender.name, size), MEMORY, "")
        for contender in contenders[1:]
        if contender.grows and contender.stores and size >= MIDDLE and find(figures, what, contender.name, size)
    ]


def loaded(figures: Sequence[Figure]) -> list[Ratio]:
    """Not the same task, so without a bound: glibc finds the range of an address, and ours is handed its start."""
    label = f"exact key / range search: hit / {LOADED}, loaded objects"
    return [
        ratio(label, one.size, find(figures, LOADED_HIT, OURS, one.size), one, None, "")
        for one in figures
        if one.what == LOADED_HIT and one.who == LOADED
    ]
