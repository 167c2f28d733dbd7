# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Many threads on one table: all at once where Python has no global interpreter lock (GIL). The last test builds the
package for a free-threaded Python, where one is found, and runs these and other tests there."""

from __future__ import annotations

import gc
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import threading
from array import array
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import pytest
from conftest import Work, run_threads
from pythons import find
from test_threads_fork import SECONDS, until, versions

from pybuildid import ClosedError, Inode, InodeCache, Resolver, Table
from pybuildid import table as table_module

ROOT = Path(__file__).parents[1]
THREADS = 4
FREE_THREADED = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))


def in_threads(work: Callable[[int], object], threads: int = THREADS) -> None:
    run_threads([lambda me=me: work(me) for me in range(threads)])  # type: ignore[misc]


def test_the_lock_does_not_come_back() -> None:
    """A module that does not say that it can do without it would bring it back when it is imported."""
    if not FREE_THREADED:
        pytest.skip("this Python has a GIL: test_on_a_free_threaded_python runs this on another")
    assert not sys._is_gil_enabled()  # type: ignore[attr-defined]


def test_tables_come_and_go() -> None:
    """Each thread has its own tables, which share what the library knows of all."""
    gc.collect()  # of the tests before
    before = len(table_module._lives)

    def churn(me: int) -> None:
        go_on = until(SECONDS)
        kept: list[Table] = []
        while go_on():
            with Table({me: bytes([me + 1])}) as table:
                assert table[me] == bytes([me + 1])
            with pytest.raises(ClosedError):
                table.lookup(me)
            kept = [Table({key: versions(key, me) for key in range(20)}), *kept[:3]]
            assert [table[7] for table in kept] == [versions(7, me)] * len(kept)

    in_threads(churn)
    gc.collect()
    assert len(table_module._lives) == before


def writers(table: Table, keys: array[int], fixed: array[int], go_on: Callable[[], bool]) -> list[Work]:
    def change(me: int) -> None:
        rng = random.Random(me)
        while go_on():
            some = array("Q", rng.sample(list(keys), 200))
            ids = [versions(key, rng.getrandbits(60)) for key in some]
            (table.insert_many if rng.random() < 0.5 else table.upsert_many)(some, ids)
            assert 0 <= table.evict_many(array("Q", rng.sample(list(keys), 300))) <= 300
            table.upsert_many(fixed, [versions(key, me) for key in fixed])
            if rng.random() < 0.1:
                table.shrink()

    return [lambda me=me: change(me) for me in range(2)]  # type: ignore[misc]


def readers(table: Table, fixed: array[int], go_on: Callable[[], bool]) -> list[Work]:
    """What is always there is seen once by each visit, and an ID is that of its key."""

    def visit() -> None:
        while go_on():
            seen = list(table)
            assert len(set(seen)) == len(seen)
            assert set(fixed) <= set(seen)
            for key, (id, generation) in table.items(generations=True):
                assert (id[:8], generation) == (key.to_bytes(8, "little"), 0)
            saved = BytesIO()
            table.save(saved)
            saved.seek(0)
            with Table.load(saved) as copy:
                assert set(fixed) <= set(copy)

    def look_up() -> None:
        while go_on():
            ids, lengths = table.lookup_many(fixed)
            assert set(lengths) == {20}
            assert all(ids[20 * i : 20 * i + 8] == key.to_bytes(8, "little") for i, key in enumerate(fixed))
            assert table.setdefault(fixed[0], b"never") != b"never"

    return [visit, look_up]


def test_all_at_once_on_one_table() -> None:
    keys, fixed = array("Q", range(1000, 3000)), array("Q", range(100))
    with Table() as table:
        table.upsert_many(fixed, [versions(key, 0) for key in fixed])
        go_on = until(2 * SECONDS)
        run_threads([*writers(table, keys, fixed, go_on), *readers(table, fixed, go_on)])
        assert set(fixed) <= set(table) <= {*fixed, *keys}


def test_closed_by_one_of_many() -> None:
    """Whatever the others are doing then: they finish, or are told that it is closed."""
    keys, fixed = array("Q", range(1000, 3000)), array("Q", range(100))
    for delay in range(8):
        table = Table({key: versions(key, 0) for key in fixed})
        told: list[bool] = []

        def until_closed(work: Work, told: list[bool] = told) -> None:
            with pytest.raises(ClosedError):
                work()
            told.append(True)

        def close(table: Table = table, delay: int = delay) -> None:
            threading.Event().wait(0.003 * delay)
            table.close()

        works = [*writers(table, keys, fixed, lambda: True), *readers(table, fixed, lambda: True)]
        run_threads([*(partial(until_closed, work) for work in works), close])
        assert told == [True] * len(works)
        assert table.closed


def test_inodes_come_and_go() -> None:
    cache = InodeCache()

    def churn(me: int) -> None:
        rng, go_on = random.Random(me), until(SECONDS)
        kept: list[tuple[Inode, bytes]] = []
        while go_on():
            inode = cache.inode(me, rng.getrandbits(40))
            id = versions(inode.address, me)
            assert cache.associate(inode, id)
            kept = [(inode, id), *kept[:20]]
            assert [cache.lookup(each) for each, _ in kept] == [its for _, its in kept]

    in_threads(churn)
    assert len(cache.table) == 0  # an inode that is dropped is evicted


def test_resolved_while_others_refresh() -> None:
    resolver = Resolver()
    code = array("Q", [0])  # no mapping
    go_on = until(SECONDS)

    def resolve() -> None:
        while go_on():
            records, reasons = resolver.resolve_many(code * 100)
            assert len(records) == 3200
            assert set(reasons) == {1}

    def refresh() -> None:
        while go_on():
            resolver.refresh()

    run_threads([resolve, refresh, resolve, refresh])


AT_EXIT = """
import sys
from pybuildid import InodeCache, Table
sys.table = Table({1: b"x"})
sys.inode = InodeCache().inode(1, 2)
"""


def test_exit_with_tables_open() -> None:
    """They go after the library's modules have been emptied: nothing complains."""
    run = subprocess.run([sys.executable, "-c", AT_EXIT], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")


# ------------------------------------------------------------------------------------------------ another Python

TESTS = ("free_threaded", "table", "bulk", "threads_fork", "garbage", "inode", "saved")
PACKAGES = ("cffi", "setuptools", "pytest", "hypothesis", "click", "rich")


@pytest.mark.skipif(FREE_THREADED, reason="this is one")
def test_on_a_free_threaded_python(tmp_path: Path) -> None:
    condition = "sysconfig.get_config_var('Py_GIL_DISABLED')"
    what = "free-threaded Python (3.14t or later)"
    python = find("PYBUILDID_FREE_THREADED", condition, what, PACKAGES, suffix="t")
    for name in ("csrc", "pybuildid", "stress", "study", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.so", "*.o", "__pycache__"))
    for name in ("LICENSE", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, tmp_path)
    for command in (["setup.py", "build_ext", "--inplace"], ["-m", "study.build_measure"]):
        built = subprocess.run([python, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert built.returncode == 0, built.stdout + built.stderr
    assert not list(tmp_path.glob("pybuildid/*.abi3.so"))
    environment = {name: text for name, text in os.environ.items() if name not in ("PYTHON_GIL", "PYTHONPATH")}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/test_{name}.py" for name in TESTS)]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500, env=environment)
    assert run.returncode == 0, run.stdout + run.stderr
