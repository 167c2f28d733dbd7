# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How evenly a hash spreads given inodes: chains and probes in a table with a fixed number of buckets."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import exp, lgamma, log, sqrt
from typing import TYPE_CHECKING

from pybuildid._arguments import uint
from pybuildid._columns import integers
from pybuildid._core import ffi, lib

if TYPE_CHECKING:
    from typing_extensions import Literal

    from pybuildid._columns import Integers

    ChainHash = Literal["mix", "middle-bits", "xor-fold", "fibonacci"]

HASHES: dict[ChainHash, int] = {
    "mix": lib.BID_CHAIN_MIX,
    "middle-bits": lib.BID_CHAIN_MIDDLE_BITS,
    "xor-fold": lib.BID_CHAIN_XOR_FOLD,
    "fibonacci": lib.BID_CHAIN_FIBONACCI,
}
TOLERANCE = 1.1  # "as good as an ideal hash": at most a tenth more probes for a hit
BUCKETS_MAX = 1 << 32


@dataclass(frozen=True)
class Probes:
    """Records that a hit reads on its chain, over all keys."""

    mean: float
    p99: int
    longest: int  # chain


@dataclass(frozen=True)
class Chains:
    """How keys spread over the chains of a table."""

    hash: ChainHash
    shift: int | None  # of middle-bits
    keys: int
    buckets: int
    lengths: tuple[int, ...]  # [n]: buckets whose chain has n keys
    ideal_lengths: tuple[float, ...]  # the same for an ideal hash: Poisson
    probes: Probes
    ideal: Probes

    @property
    def load(self) -> float:
        """Keys for each bucket."""
        return self.keys / self.buckets

    @property
    def hits(self) -> tuple[int, ...]:
        """[n]: keys that a lookup finds with its probe n + 1."""
        return _tails(self.lengths)

    @property
    def excess(self) -> float:
        """Mean probes of a hit, over those of an ideal hash."""
        return self.probes.mean / self.ideal.mean

    @property
    def holds(self) -> bool:
        """Whether it is as good as an ideal hash, or better: at most TOLERANCE times its probes."""
        return self.excess <= TOLERANCE

    @property
    def label(self) -> str:
        return self.hash if self.shift is None else f"{self.hash}, shift {self.shift}"


def default_buckets(keys: int) -> int:
    """The power of two that gives a load of 0.5 to 1."""
    return 1 << max(keys - 1, 1).bit_length()


def chains(
    keys: Integers, buckets: int | None = None, hash: ChainHash = "mix", shift: int | None = None, seed: int = 0
) -> Chains:
    """How keys spread over a number of buckets, by default the power of two that gives a load of 0.5 to 1.

    keys: native uint64 in any contiguous buffer, each key once.
    hash: "mix" is the table's own; "middle-bits" (key >> shift), "xor-fold" and "fibonacci" (one multiplication) have
        no seed.
    seed: of "mix"; the table draws one for each array.

    Time: linear in keys and buckets. Memory: 4 bytes for each bucket. Raises ValueError, ArgumentTypeError,
    ArgumentRangeError.
    """
    if hash not in HASHES:
        raise ValueError(f"hash must be one of {', '.join(HASHES)}, not {hash!r}")
    if (shift is not None) != (hash == "middle-bits"):
        raise ValueError("middle-bits needs a shift, and the other hashes have none")
    if shift is not None and not 0 <= shift <= 63:
        raise ValueError(f"shift must be 0 to 63, not {shift}")
    with ffi.from_buffer("uint64_t[]", integers(keys, 64, "keys")) as pointer:
        n = len(pointer)
        if n == 0:
            raise ValueError("there are no keys")
        buckets = default_buckets(n) if buckets is None else buckets
        if not 0 < buckets <= BUCKETS_MAX:
            raise ValueError(f"buckets must be 1 to 2**32, not {buckets}")
        choice = ffi.new("struct bid_chain_hash *", [HASHES[hash], shift or 0, uint(seed, 64, "seed")])
        counted = array("I", bytes(4 * buckets))
        with ffi.from_buffer("uint32_t[]", counted) as counts:
            longest = lib.bid_chain_lengths(choice, pointer, n, buckets, counts)
            histogram = ffi.new("uint64_t[]", longest + 1)
            lib.bid_chain_histogram(counts, buckets, histogram)
    lengths = tuple(histogram)
    ideal_lengths = _poisson(n, buckets)
    return Chains(hash, shift, n, buckets, lengths, ideal_lengths, _probes(lengths, n), _ideal(n, buckets))


# ---------------------------------------------------------------------------------------------------- statistics


def _tails(lengths: Sequence[float]) -> tuple[int, ...]:
    """[n]: chains that are longer than n, so keys at place n + 1 of theirs."""
    tails = []
    total: float = 0
    for count in reversed(lengths[1:]):
        total += count
        tails.append(total)
    return tuple(reversed(tails))  # type: ignore[arg-type]


def _percentile(hits: Sequence[float], share: float, keys: int) -> int:
    total: float = 0
    for probe, count in enumerate(hits, 1):
        total += count
        if total >= share * keys:
            return probe
    return len(hits)


def _probes(lengths: Sequence[int], keys: int) -> Probes:
    hits = _tails(lengths)
    mean = sum(probe * count for probe, count in enumerate(hits, 1)) / keys
    return Probes(mean, _percentile(hits, 0.99, keys), len(hits))


@lru_cache(maxsize=16)  # the same for every hash and shift
def _poisson(keys: int, buckets: int) -> tuple[float, ...]:
    """Buckets with a chain of each length under an ideal hash, up to where less than a thousandth of one is left."""
    load = keys / buckets
    lengths = [0.0] * max(0, int(load - 40 * sqrt(load)))  # forty deviations below the mean: less than any float
    while len(lengths) <= load or lengths[-1] >= 1e-3:
        n = len(lengths)
        lengths.append(buckets * exp(n * log(load) - load - lgamma(n + 1)))
    return tuple(lengths)


@lru_cache(maxsize=16)
def _ideal(keys: int, buckets: int) -> Probes:
    """Of an ideal hash; its longest chain is the median of what it would be."""
    hits = _tails(_poisson(keys, buckets))
    longest = next(n for n, longer in enumerate((*hits, 0.0)) if longer <= log(2))  # (1 - longer/buckets)^buckets = 1/2
    return Probes(1 + (keys - 1) / (2 * buckets), _percentile(hits, 0.99, keys), max(longest, 1))
