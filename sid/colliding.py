# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Keys that collide in a table of a known seed: the table's hash backwards."""

from __future__ import annotations

MASK = 2**64 - 1
FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B  # of csrc/table/hash.h


def mix(key: int, seed: int) -> int:
    """The table's hash: its top bits are the home bucket."""
    x = (key ^ seed) * FIRST & MASK
    return (x ^ x >> 32) * SECOND & MASK


def unmix(mixed: int, seed: int) -> int:
    """The key with this hash."""
    x = mixed * pow(SECOND, -1, 2**64) & MASK
    return ((x ^ x >> 32) * pow(FIRST, -1, 2**64) & MASK) ^ seed


def colliding_key(number: int, seed: int) -> int:
    """All of these, for numbers below 2**48, have the same home bucket in arrays of up to 2**16 buckets."""
    return unmix(0x5CA1 << 48 | number, seed)
