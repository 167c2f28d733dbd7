# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The designs measured side by side, on this machine: what ``pybuildid bench`` does. Needs no extra.

from pybuildid import bench
result = bench.run(bench.Options(sizes=(1000,), names=("ours", "spinlock")))
"""

from pybuildid.bench.apart import run
from pybuildid.bench.contenders import Contender, Missing, UnknownDesignError
from pybuildid.bench.keys import KeysError
from pybuildid.bench.result import Ahead, Figure, Interruption, Lead, Ratio, Result, Worst
from pybuildid.bench.run import Options
from pybuildid.bench.subject import BenchError

__all__ = [
    "Ahead",
    "BenchError",
    "Contender",
    "Figure",
    "Interruption",
    "KeysError",
    "Lead",
    "Missing",
    "Options",
    "Ratio",
    "Result",
    "UnknownDesignError",
    "Worst",
    "run",
]
