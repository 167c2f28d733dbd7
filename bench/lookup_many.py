# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a lookup of many keys costs from Python, beside the same lookups in C.

    python bench/lookup_many.py [--bench build/bench] [--entries N] [--lookups N] [--rounds N] [--json FILE] [--strict]

Two processes have a table with the same entries and look up the same random keys into arrays that are there already:
this one by Table.lookup_many(), the other (build/bench --serve) by a loop in C. They take turns on one processor, and
the ratios are taken round by round. Exit status 1 with --strict if the bound is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from array import array
from pathlib import Path
from typing import IO, NamedTuple

from pybuildid import Table

ROOT = Path(__file__).resolve().parent.parent
BOUND = 1.3
ID_BYTES = 20


class Round(NamedTuple):
    """Nanoseconds a key."""

    python: float
    many: float  # bid_lookup_many()
    one_by_one: float  # a loop over bid_lookup()


def inodes(rng: random.Random, count: int) -> array[int]:
    """Inode addresses as recorded on Linux 6.18 with ext4: 14 objects of 1,128 bytes to a slab of 16 KiB."""
    slabs = rng.sample(range(1 << 20), count // 14 + 1)
    addresses = [0xFFFF888100000000 + slab * 0x4000 + i * 1128 + 272 for slab in slabs for i in range(14)]
    rng.shuffle(addresses)
    return array("Q", addresses[:count])


class Serving:
    """The process that runs the loops in C."""

    def __init__(self, bench: Path, entries: array[int], lookups: array[int]) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(entries.tobytes() + lookups.tobytes())
            file.flush()
            command = [str(bench), "--serve", file.name, "--entries", str(len(entries))]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.turn()  # when it answers, it has read the file

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe

    def turn(self) -> tuple[float, float, int]:
        """Nanoseconds a key by bid_lookup_many() and by a loop over bid_lookup(), and the keys found."""
        self._pipe(self.process.stdin).write("turn\n")
        self._pipe(self.process.stdin).flush()
        line = self._pipe(self.process.stdout).readline()
        if not line:
            sys.exit(f"lookup_many.py: build/bench --serve ended with status {self.process.wait()}")
        many, one_by_one, found = line.split()
        return float(many), float(one_by_one), int(found)

    def close(self) -> None:
        self._pipe(self.process.stdin).close()
        self.process.wait()


def measure(bench: Path, entries: int, lookups: int, rounds: int, seed: int) -> list[Round]:
    rng = random.Random(seed)
    keys = inodes(rng, entries)
    drawn = array("Q", rng.choices(keys, k=lookups))
    ids, lengths = bytearray(lookups * ID_BYTES), bytearray(lookups)
    results = []
    with Table(id_size=ID_BYTES, seed=seed) as table:
        table.insert_many(keys, b"".join(key.to_bytes(8, sys.byteorder) + bytes(12) for key in keys))
        serving = Serving(bench, keys, drawn)
        table.lookup_many(drawn, ids=ids, lengths=lengths)
        if lengths.count(ID_BYTES) != lookups or ids[:8] != drawn[0].to_bytes(8, sys.byteorder):
            sys.exit("lookup_many.py: a wrong answer")
        for _ in range(rounds):
            many, one_by_one, found = serving.turn()
            begin = time.perf_counter_ns()
            table.lookup_many(drawn, ids=ids, lengths=lengths)
            python = (time.perf_counter_ns() - begin) / lookups
            if found != lookups:
                sys.exit(f"lookup_many.py: {found} of {lookups} keys found in C")
            results.append(Round(python, many, one_by_one))
        serving.close()
    return results


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):8.2f} ({min(values):.2f}..{max(values):.2f})"


def report(rounds: list[Round]) -> float:
    """Prints the figures; returns the ratio that has a bound."""
    print("ns a key: median (least..most)")
    print("  Table.lookup_many() in Python ", spread([r.python for r in rounds]))
    print("  bid_lookup_many() in C        ", spread([r.many for r in rounds]))
    print("  a loop over bid_lookup() in C ", spread([r.one_by_one for r in rounds]))
    ratios = [r.python / r.many for r in rounds]
    ratio = statistics.median(ratios)
    verdict = "ok" if ratio <= BOUND else "MISSED"
    print(f"  Python / bid_lookup_many()    {spread(ratios)}  at most {BOUND}: {verdict}")
    print("  Python / loop over bid_lookup()", spread([r.python / r.one_by_one for r in rounds]).lstrip())
    return ratio


def main() -> int:
    parser = argparse.ArgumentParser(description="Lookups of many keys from Python beside the same in C.")
    parser.add_argument("--bench", type=Path, default=ROOT / "build" / "bench", help="the benchmark in C [build/bench]")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--strict", action="store_true", help="exit with status 1 if the bound is missed")
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the process of the loops in C inherits it
    rounds = measure(options.bench, options.entries, options.lookups, options.rounds, options.seed)
    ratio = report(rounds)
    if options.json:
        figures = {
            "entries": options.entries,
            "lookups": options.lookups,
            "seed": options.seed,
            "rounds": [r._asdict() for r in rounds],
            "ratio": ratio,
            "bound": BOUND,
            "ok": ratio <= BOUND,
        }
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 1 if options.strict and ratio > BOUND else 0


if __name__ == "__main__":
    sys.exit(main())
