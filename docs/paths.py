# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How full may an array be before some key finds its whole path full? A simulation of placement alone.

    python3 docs/paths.py

prints, for 131,072 buckets of eight slots, the share of full buckets by load (its eighth power is the probability that
a path of eight hashed buckets is full), and the load at which the first key found its path full, with linear and with
hashed steps.
"""

from __future__ import annotations

import random

LOG2_BUCKETS = 17
BUCKET_SLOTS = 8
PATH_BUCKETS = 8


REPORTED = (0.30, 0.40, 0.46, 0.50, 0.53, 0.56, 0.60, 0.65, 0.70)  # loads


def first_full_path(rng: random.Random, *, hashed: bool, report: bool) -> float:
    buckets = 1 << LOG2_BUCKETS
    mask = buckets - 1
    filled = bytearray(buckets)
    entries = 0
    to_report = list(REPORTED) if report else []
    while True:
        home = rng.getrandbits(LOG2_BUCKETS)
        step = rng.getrandbits(32) | 1 if hashed else 1
        for i in range(PATH_BUCKETS):
            bucket = (home + i * step) & mask
            if filled[bucket] < BUCKET_SLOTS:
                filled[bucket] += 1
                break
        else:
            return entries / (buckets * BUCKET_SLOTS)
        entries += 1
        load = entries / (buckets * BUCKET_SLOTS)
        if to_report and load >= to_report[0]:
            to_report.pop(0)
            share = filled.count(BUCKET_SLOTS) / buckets
            print(f"  load {load:.2f}: {share:8.3%} of the buckets full; of a path all, p = {share**PATH_BUCKETS:.0e}")


def main() -> None:
    rng = random.Random(2023)
    print("hashed steps:")
    hashed = [first_full_path(rng, hashed=True, report=run == 0) for run in range(3)]
    linear = [first_full_path(rng, hashed=False, report=False) for _ in range(3)]
    print(f"first full path, hashed steps: load {min(hashed):.2f} to {max(hashed):.2f} in {len(hashed)} runs")
    print(f"first full path, linear steps: load {min(linear):.2f} to {max(linear):.2f} in {len(linear)} runs")


if __name__ == "__main__":
    main()
