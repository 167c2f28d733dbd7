# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How full may an array be before some key finds its whole probe sequence full? A simulation of placement alone.

    python3 docs/paths.py

prints, for an array of 188,416 buckets of eight slots, by load: the share of full buckets (its 16th power is the
probability that a probe sequence of 16 hashed buckets is full), the share of entries that have no place in their
bucket, by the units of a record, that of entries away from their home bucket, and the bytes an entry takes with records
of one unit. Then the load at which the first key found its sequence full, for sequences of 8, 12 and 16 buckets, with
hashed and with linear steps.
"""

from __future__ import annotations

import argparse
import random

BUCKETS = 23 << 13
SLOTS = 8
PLACES = {1: 6, 2: 3, 3: 2}  # of records of so many units: see csrc/table/slot.h
SEQUENCE = 16
BUCKET_BYTES, RECORD_BYTES = 256, 32

REPORTED = (0.30, 0.35, 0.40, 0.50, 0.52, 0.56, 0.62, 0.65, 0.70, 0.75)  # loads


def report(filled: bytearray, entries: int, away: int, buckets: int) -> None:
    full = filled.count(SLOTS) / buckets
    load = entries / (buckets * SLOTS)
    without = {
        units: sum((n - places) * filled.count(n) for n in range(places + 1, SLOTS + 1)) / entries
        for units, places in PLACES.items()
    }
    print(
        f"  load {load:.2f}: {full:7.3%} of the buckets full; of a sequence all, "
        f"p = {full**SEQUENCE:.0e}; no place: {', '.join(f'{share:.1%}' for share in without.values())}; "
        f"away from home: {away / entries:.1%}; bytes: {BUCKET_BYTES / SLOTS / load + RECORD_BYTES * without[1]:.1f}"
    )


def first_full(rng: random.Random, *, sequence: int, hashed: bool, reports: bool, buckets: int = BUCKETS) -> float:
    """The load at which the first key finds its probe sequence full."""
    filled = bytearray(buckets)
    entries = away = 0
    to_report = list(REPORTED) if reports else []
    while True:
        bucket = int(rng.random() * buckets)
        step = int(rng.random() * buckets) | 1 if hashed else 1
        for i in range(sequence):
            if filled[bucket] < SLOTS:
                filled[bucket] += 1
                away += i > 0
                break
            bucket = (bucket + step) % buckets
        else:
            return entries / (buckets * SLOTS)
        entries += 1
        if to_report and entries >= to_report[0] * buckets * SLOTS:
            to_report.pop(0)
            report(filled, entries, away, buckets)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rng = random.Random(2023)
    print(f"{BUCKETS:,} buckets; records without a place are of one, two and three units:")
    first_full(rng, sequence=SEQUENCE, hashed=True, reports=True)
    for sequence in (8, 12, SEQUENCE):
        loads = [first_full(rng, sequence=sequence, hashed=True, reports=False) for _ in range(3)]
        print(f"first full sequence of {sequence} hashed buckets: load {min(loads):.2f} to {max(loads):.2f} in 3 runs")
    loads = [first_full(rng, sequence=SEQUENCE, hashed=False, reports=False) for _ in range(3)]
    print(f"first full sequence of {SEQUENCE} buckets in a row: load {min(loads):.2f} to {max(loads):.2f} in 3 runs")


if __name__ == "__main__":
    main()
