# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The designs measured side by side, on this machine: what ``python -m study bench`` does.

from study import bench
result = bench.run(bench.Options(sizes=(1000,), names=("ours", "spinlock")))
"""

from study.bench.apart import run
from study.bench.contenders import Contender, Missing, UnknownDesignError
from study.bench.keys import KeysError
from study.bench.result import Ahead, Figure, HeadToHead, Interruption, Lead, Ratio, Result, Versus, Worst
from study.bench.run import Options
from study.bench.subject import BenchError

__all__ = [
    "Ahead",
    "BenchError",
    "Contender",
    "Figure",
    "HeadToHead",
    "Interruption",
    "KeysError",
    "Lead",
    "Missing",
    "Options",
    "Ratio",
    "Result",
    "UnknownDesignError",
    "Versus",
    "Worst",
    "run",
]
