# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Subinterpreters: those that share a lock have tables of their own; those with a lock of their own are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

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
        one = interpreters.create(isolated=sys.argv[1] == "isolated")
        try:
            said = interpreters.run_string(one, code) or "fine"
        except interpreters.RunFailedError as error:
            said = error
    interpreters.destroy(one)
    assert dict(table) == {1: b"outer"}
if os.fork() == 0:
    os._exit(dict(table) != {1: b"outer"})
assert os.wait()[1] == 0
print(said)
"""


#: As a user of Python 3.14 meets them.
CONCURRENT = """
import pybuildid
from concurrent import interpreters
one = interpreters.create()
try:
    one.exec("import pybuildid")
except interpreters.ExecutionFailed as error:
    print(error.excinfo.msg)
with pybuildid.Table({1: b"outer"}) as table:
    assert table[1] == b"outer"
"""
REFUSED = "_core does not support loading in subinterpreters"


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    # A subinterpreter of Python 3.9 does not look into the working directory.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("kind", "said"), [("legacy", "fine"), ("isolated", REFUSED)])
def test_tables_in_subinterpreters(kind: str, said: str) -> None:
    if kind == "isolated" and sys.version_info < (3, 12):
        pytest.skip("this Python has no subinterpreters with a lock of their own: take 3.12 or later")
    assert said in run(PROGRAM, kind)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="concurrent.interpreters came with Python 3.14")
def test_concurrent_interpreters_are_refused() -> None:
    assert REFUSED in run(CONCURRENT)
