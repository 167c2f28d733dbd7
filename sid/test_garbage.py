# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Finalizers that use a table which the same collection of garbage has ended: an error or nothing, never freed memory.

Each program runs in a process of its own, as use of freed memory may end it.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

#: Which of the objects of a cycle is finalized first depends on their age: each program tries both.
OWNER = """
import gc
from pybuildid import Table
from study.rivals import FixedTable, SpinlockTable
from pybuildid.errors import ClosedError

class Owner:
    def __init__(self, table):
        self.table, self.me = table, self
    def __del__(self):
        {use}

for turn in range(100):
    table = {made}
    table[1] = b"x"
    if turn % 2:
        gc.collect()
    owner = Owner(table)
    del table, owner
    gc.collect()
"""
LOOKUP = """
        try:
            assert self.table.lookup(1) == b"x"
        except ClosedError:
            pass
"""
INODES = """
from pybuildid import InodeCache

class Watcher:
    def __init__(self):
        self.cache, self.files = InodeCache(), []

class File:
    def __init__(self, watcher, number):
        self.watcher, self.inode = watcher, watcher.cache.inode(1, number)
        watcher.cache.associate(self.inode, b"x")

for _ in range(100):
    watcher = Watcher()
    watcher.files = [File(watcher, number) for number in range(1000)]
"""
AT_EXIT = """
from pybuildid import InodeCache
cache = InodeCache()
inode = cache.inode(1, 2)
cache.associate(inode, b"x")
kept = [inode]
kept.append(kept)
"""
GENERATOR = """
import gc
from pybuildid import Table

def entries(table):
    with table:
        table[1] = b"x"
        yield

for _ in range(100):
    table = Table()
    gc.collect()
    running = entries(table)
    next(running)
    held = [running]
    held.append(held)
    del table, running, held
    gc.collect()
"""
PROGRAMS = {
    "owner closes": OWNER.format(made="Table()", use="self.table.close()"),
    "owner looks up": OWNER.format(made="Table()", use=LOOKUP),
    "owner of a rival": OWNER.format(made="SpinlockTable()", use=LOOKUP),
    "owner of another rival": OWNER.format(made="FixedTable()", use=LOOKUP),
    "inodes": INODES,
    "inodes at exit": AT_EXIT,
    "generator": GENERATOR,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_finalizers_may_use_a_table_that_is_garbage(name: str) -> None:
    strict = {**os.environ, "MALLOC_PERTURB_": "85"}  # freed memory is overwritten
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMS[name]], env=strict, capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stderr) == (0, "")
