# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Subinterpreters: those that share a lock have tables of their own; others are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import os, sys
import pybuildid
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
code = "import pybuildid; t = pybuildid.Table({1: b'inner'}); assert dict(t) == {1: b'inner'}; t.close()"
table = pybuildid.Table({1: b"outer"})
for _ in range(3):
    if sys.version_info >= (3, 13):
        one = interpreters.create(sys.argv[1])
        failed = interpreters.exec(one, code)
        said = failed.msg if failed else "fine"
    else:
        one = interpreters.create(isolated=False)
        said = interpreters.run_string(one, code) or "fine"
    interpreters.destroy(one)
    assert dict(table) == {1: b"outer"}
if os.fork() == 0:
    os._exit(dict(table) != {1: b"outer"})
assert os.wait()[1] == 0
print(said)
"""


@pytest.mark.parametrize(
    ("kind", "said"), [("legacy", "fine"), ("isolated", "_core does not support loading in subinterpreters")]
)
def test_tables_in_subinterpreters(kind: str, said: str) -> None:
    if kind == "isolated" and sys.version_info < (3, 13):
        pytest.skip("this Python has no subinterpreters with a lock of their own: take 3.13")
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM, kind], capture_output=True, text=True)
    assert said in run.stdout, run.stderr
