# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a sample of `pybuildid profile` costs a CPU-bound program, beside a handler that does nothing.

    .venv/bin/python docs/profile_cost.py [FREQUENCY] [ROUNDS]

runs a program of 22 frames in turn alone, with an event whose handler is empty, and under the profiler with stacks and
without. It prints CPU time of each over that of the program alone: of the least of all runs, for whatever else the
machine does can only add to it; in parentheses the quartiles of the rounds. And what that is for a sample. A high
frequency, such as 10000, measures the same more exactly.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles

SOURCE = Path(__file__).with_suffix(".c")
WORK = 12_000_000  #: about half a second
PROFILE = (sys.executable, "-m", "pybuildid", "profile", "--no-symbols")


def build(folder: Path) -> str:
    program = folder / "profile_cost"
    command = ["cc", "-O1", "-fno-omit-frame-pointer", str(SOURCE), "-o", str(program)]
    subprocess.run(command, check=True)
    return str(program)


def cpu_seconds(command: Sequence[str], folder: Path) -> float:
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder)
    return float(run.stdout.split()[0])


def measure(frequency: int, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = [build(folder), str(WORK)]
        profile = [*PROFILE, "--frequency", str(frequency)]
        commands = {
            "alone": alone,
            "empty handler": [*alone, str(frequency)],
            "profile --no-stacks": [*profile, "--no-stacks", "--", *alone],
            "profile": [*profile, "--", *alone],
        }
        found: dict[str, list[float]] = {who: [] for who in commands}
        for _ in range(rounds):
            for who, command in commands.items():
                found[who].append(cpu_seconds(command, folder))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("frequency", type=int, nargs="?", default=997, help="samples a second (default: %(default)s)")
    parser.add_argument("rounds", type=int, nargs="?", default=15, help="runs of each (default: %(default)s)")
    options = parser.parse_args()
    frequency = options.frequency
    found = measure(frequency, options.rounds)
    alone = min(found["alone"])
    for who, seconds in found.items():
        more = min(seconds) - alone
        low, _, high = quantiles([one / other - 1 for one, other in zip(seconds, found["alone"])], n=4)
        each = more / (min(seconds) * frequency) * 1e6
        print(f"{who:20} {more / alone:+6.2%} ({low:+.1%} to {high:+.1%})  {each:5.1f} microseconds a sample")


if __name__ == "__main__":
    main()
