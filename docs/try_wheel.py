# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Tries what a wheel has installed: python docs/try_wheel.py. Ends with 0 if the table and a command work."""

import subprocess
import sys

import pybuildid

with pybuildid.Table({1: b"one"}) as table:
    table.insert(2, b"", generation=7)
    assert dict(table.items(generations=True)) == {1: (b"one", 0), 2: (b"", 7)}, "the table"
command = [sys.executable, "-m", "pybuildid", "id", "--kernel-compatible", sys.executable]
run = subprocess.run(command, capture_output=True, text=True)
assert run.returncode == 0 or "no build ID" in run.stderr, run.stderr
print(f"pybuildid {pybuildid.__version__} of {pybuildid.__file__} works")
