# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Al Viro's "middle bits make for a decent hash function", judged: where it holds and where it fails, from figures."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log2

from pybuildid.collisions import HASHES, Chains, chains
from pybuildid.collisions.slab import RECORDED, Addresses, SlabCache, made

SHIFTS = range(25)  # by 16 MiB, more than all of the slabs of a small table
OTHER_KINDS = 4  # caches of this machine that a case is made of, at most
GROWTH = 8
MOST_BUCKETS = 1 << 28  # of a case, if no more were asked for: a gigabyte of counts
SCATTERED = 1 << 30  # of so many slabs one lies right after another


@dataclass(frozen=True)
class Judgement:
    """Middle bits with every shift, and the other hashes, over the same keys and buckets."""

    by_shift: tuple[Chains, ...]
    others: tuple[Chains, ...]

    @property
    def best(self) -> Chains:
        """The shift with the fewest probes."""
        return min(self.by_shift, key=lambda chains: chains.probes.mean)

    @property
    def shift(self) -> int:
        """The best one."""
        return self.best.shift or 0

    @property
    def holding(self) -> tuple[int, ...]:
        """The shifts with which middle bits are as good as an ideal hash."""
        return tuple(chains.shift or 0 for chains in self.by_shift if chains.holds)

    def other(self, hash: str) -> Chains:
        return next(chains for chains in self.others if chains.hash == hash)


@dataclass(frozen=True)
class Case:
    """One shift, chosen for other inodes, put to a test."""

    name: str
    middle_bits: Chains
    mix: Chains  # the library's default over the same keys


def judge(keys: array[int], buckets: int | None = None, seed: int = 0, shifts: Sequence[int] = SHIFTS) -> Judgement:
    """Middle bits with each shift, and the other hashes. Arguments and errors: as for chains()."""
    by_shift = tuple(chains(keys, buckets, "middle-bits", shift) for shift in shifts)
    others = tuple(chains(keys, buckets, hash, seed=seed) for hash in HASHES if hash != "middle-bits")
    return Judgement(by_shift, others)


def cases(addresses: Addresses, shift: int, seed: int = 1, buckets: int | None = None) -> tuple[Case, ...]:
    """The shift that was found for these inodes, tried on what a running system may turn them into.

    buckets: for these inodes; other cases have as many for each of theirs, up to a power of two. Default: a load of 0.5
    to 1. The sizes of objects are those of the other kinds of inodes in `addresses.caches`
    (where it has none: half and double of what was recorded with ext4), and all is made from a seed.
    """
    found = []
    for name, keys in _cases(addresses, random.Random(seed)):
        some = _as_many_each(buckets, len(addresses.keys), len(keys))
        found.append(Case(name, chains(keys, some, "middle-bits", shift), chains(keys, some, "mix")))
    return tuple(found)


def _as_many_each(buckets: int | None, keys: int, others: int) -> int | None:
    """For a case with other keys: about the load of these, with this number of buckets times a power of two."""
    if buckets is None:
        return None
    scaled = max(round(buckets * 2.0 ** round(log2(others / keys))), 1)
    return min(scaled, max(buckets, MOST_BUCKETS))


def _cases(addresses: Addresses, rng: random.Random) -> Iterator[tuple[str, array[int]]]:
    keys = addresses.keys
    main = addresses.caches[0] if addresses.caches else RECORDED
    yield "these inodes", keys
    yield "one in 14 of them, at random", array("Q", rng.sample(keys, -(-len(keys) // 14)))
    yield f"{GROWTH} times as many, {main.name}", made(main, GROWTH * len(keys))
    yield "as many, slabs scattered all over", made(main, len(keys), adjacent=SCATTERED)
    for cache in other_kinds(addresses):
        yield f"as many, {cache.name} ({cache.object_bytes:,} bytes)", made(cache, len(keys))
    yield "kept on purpose: the first of each slab", made(main, len(keys), per_slab=1)


def other_kinds(addresses: Addresses) -> tuple[SlabCache, ...]:
    """Kinds of inodes beside the main one, with other sizes of objects."""
    main = addresses.caches[0] if addresses.caches else RECORDED
    kinds = {cache.object_bytes: cache for cache in addresses.caches[1:] if cache.object_bytes != main.object_bytes}
    if not kinds:
        for size in (main.object_bytes // 2, main.object_bytes * 2):
            kinds[size] = SlabCache("another filesystem", size, main.slab_bytes * 2)
    return tuple(kinds.values())[:OTHER_KINDS]


def verdict(judgement: Judgement, tried: Sequence[Case]) -> str:
    """Where middle bits hold and where they fail: two or three sentences."""
    best, mix = judgement.best, judgement.other("mix")
    held = [case for case in tried if case.middle_bits.holds]
    failed = [case for case in tried if not case.middle_bits.holds]
    if judgement.holding:
        shifts = ", ".join(map(str, judgement.holding))
        text = f"Middle bits hold with shift {shifts} alone of {len(judgement.by_shift)}"
    else:
        text = f"Middle bits hold with no shift of {len(judgement.by_shift)}"
    worst_beside = _beside(judgement)
    text += (
        f": {best.probes.mean:.2f} probes a hit with shift {best.shift}, {best.ideal.mean:.2f} for an ideal hash, "
        f"{mix.probes.mean:.2f} for the library's. One bit off costs up to {worst_beside.probes.mean:.2f}."
    )
    shift = tried[0].middle_bits.shift if tried else best.shift  # maybe not the best one: it may be chosen
    text += f" Shift {shift} holds in {len(held)} of {len(tried)} cases"
    if failed:
        worst = max(failed, key=lambda case: case.middle_bits.excess)
        text += (
            f" and fails in {len(failed)}, worst: {worst.name} ({worst.middle_bits.probes.mean:.1f} probes, ideal "
            f"{worst.middle_bits.ideal.mean:.2f})"
        )
    fails_too = [case.name for case in tried if not case.mix.holds]
    text += f"; the library's hash fails in {len(fails_too)}" + (f" ({', '.join(fails_too)})." if fails_too else ".")
    return text


def _beside(judgement: Judgement) -> Chains:
    near = [chains for chains in judgement.by_shift if abs((chains.shift or 0) - judgement.shift) == 1]
    return max(near, key=lambda chains: chains.probes.mean, default=judgement.best)
