# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Tables in threads, in threads that come and go, in the child of a fork, and closed while in use."""

from __future__ import annotations

import functools
import mmap
import random
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable

import pytest
from conftest import Work, make_arrays, make_entries, mapped_bytes, run_threads

from pybuildid import ClosedError, Table

SECONDS = 0.7  # of each test with a clock
UNTOUCHED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


def until(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() < end


def versions(key: int, version: int) -> bytes:
    """A value that says whose it is."""
    return key.to_bytes(8, "little") + version.to_bytes(8, "little") + b"four"


def test_own_keys_of_each_thread() -> None:
    """Each thread checks its own keys against a dict, while the others make the table grow and shrink."""
    table = Table()
    models: list[dict[int, bytes]] = [{} for _ in range(4)]

    def churn(me: int) -> None:
        rng, model, go_on = random.Random(me), models[me], until(SECONDS)
        while go_on():
            size = rng.randrange(400)
            for _ in range(200):
                key = rng.randrange(size + 1) * 4 + me
                if rng.random() < 0.6:
                    table[key] = model[key] = versions(key, rng.getrandbits(60))
                else:
                    assert table.pop(key, None) == model.pop(key, None)
                assert table.lookup(key) == model.get(key)
            if rng.random() < 0.2:
                table.shrink()

    run_threads([lambda me=me: churn(me) for me in range(4)])  # type: ignore[misc]
    assert table == {key: id for model in models for key, id in model.items()}
    assert table.stats().resizes > 10


def test_an_insert_has_one_winner() -> None:
    table = Table()
    wins = [0, 0, 0]

    def insert(me: int) -> None:
        for key in random.Random(me).sample(range(3000), 3000):
            wins[me] += table.insert(key, bytes([me + 1]))
            assert table.setdefault(key, b"never") != b"never"

    run_threads([lambda me=me: insert(me) for me in range(3)])  # type: ignore[misc]
    assert sum(wins) == len(table) == 3000
    assert [list(table.values()).count(bytes([me + 1])) for me in range(3)] == wins


def test_thousands_of_short_threads() -> None:
    """A thread needs no registration and leaves nothing behind."""
    table = Table()
    table.update({key: versions(key, 0) for key in range(100)})

    def visit(number: int) -> None:
        assert table[number % 100] == versions(number % 100, 0)
        table[1000 + number % 100] = versions(number, 1)

    for first in range(0, 2000, 10):
        run_threads([functools.partial(visit, first + i) for i in range(10)])
    assert len(table) == 200
    table.shrink()
    assert table.reclaim() == 0  # no pin of a dead thread holds memory
    stats = table.stats()
    assert stats.pin_slots_used <= stats.pin_slots


# ------------------------------------------------------------------------------------------------- closing


class LongLookup:
    """A thread inside one call that takes a while, and can be seen to be there by what it has written. It is the first
    to touch the memory, which takes most of the time."""

    def __init__(self, table: Table, keys: array[int], times: int = 20) -> None:
        many = keys * times
        self.ids, self.lengths = (mmap.mmap(-1, size * len(many), flags=UNTOUCHED) for size in (20, 1))
        self.thread = threading.Thread(target=lambda: table.lookup_many(many, ids=self.ids, lengths=self.lengths))

    def begin(self) -> LongLookup:
        self.thread.start()
        while not self.lengths[0]:
            time.sleep(0.0001)
        return self

    @property
    def inside(self) -> bool:
        return self.lengths[-1] == 0

    def join(self) -> None:
        self.thread.join()
        assert set(self.lengths[:]) == {20}


def test_close_while_in_use() -> None:
    """Calls that run when it closes finish, later ones raise ClosedError; the memory goes with the last one."""
    keys, ids = make_arrays(make_entries(100_000))
    before = None
    late = 0
    for delay in range(10):
        table = Table()
        table.insert_many(keys, ids)
        outcomes: list[str] = []
        begun = threading.Barrier(3)

        def read(table: Table = table, outcomes: list[str] = outcomes, begun: threading.Barrier = begun) -> None:
            begun.wait()
            try:
                while True:
                    found, lengths = table.lookup_many(keys)
                    assert found == ids
                    assert set(lengths) == {20}
                    table[5] = b"x"
                    del table[5]
            except (ClosedError, KeyError) as error:
                outcomes.append(type(error).__name__)

        def close(table: Table = table, begun: threading.Barrier = begun, delay: int = delay) -> None:
            begun.wait()
            time.sleep(0.003 * delay)
            table.close()

        run_threads([read, read, close])
        late += outcomes.count("ClosedError")
        with pytest.raises(ClosedError):
            table.lookup(1)
        before = before or mapped_bytes()
    assert late >= 10
    assert before is not None
    assert mapped_bytes() - before < 10_000_000  # one table has more than 4 million bytes


def test_close_during_a_long_call() -> None:
    """close() returns at once; the memory stays until the call returns."""
    keys, ids = make_arrays(make_entries(100_000))
    witnessed = 0
    tries = 50  # on a busy machine both threads are seldom inside at once
    for _ in range(tries):
        table = Table()
        table.insert_many(keys, ids)
        lookup = LongLookup(table, keys).begin()
        table.close()
        witnessed += lookup.inside
        with pytest.raises(ClosedError):
            table.lookup(1)
        lookup.join()
        assert lookup.ids[-20:] == ids[-20:]
        if witnessed == 3:
            return
    pytest.fail(f"only {witnessed} of 10 calls were under way when close() had returned")


# ---------------------------------------------------------------------------------------------------- fork


def test_fork(in_child: Callable[[Work], None]) -> None:
    """Both sides have a table of their own."""
    entries = make_entries(5000)
    table = Table()
    table.update(entries)

    def work() -> None:
        assert table == entries
        more = make_entries(20000, seed=2)
        table.update(more)
        assert table == {**entries, **more}
        for key in more:
            table.evict(key)
        table.shrink()
        assert table.reclaim() == 0
        in_child(table.clear)
        with Table() as new:
            new[1] = b"x"
            assert new[1] == b"x"
        table.close()
        with pytest.raises(ClosedError):
            len(table)

    in_child(work)
    assert table == entries
    table.close()

    def closed_there_too() -> None:
        with pytest.raises(ClosedError):
            len(table)

    in_child(closed_there_too)


@pytest.mark.parametrize("close_first", [False, True])
def test_fork_while_other_threads_are_inside(close_first: bool, in_child: Callable[[Work], None]) -> None:
    """The child does not have those threads: the memory is freed there all the same, by close() or by the fork."""
    keys, ids = make_arrays(make_entries(100_000))
    witnessed = mmap.mmap(-1, 1)  # shared with the children

    def check(table: Table, size: int, before: int, lookups: list[LongLookup]) -> None:
        if not all(lookup.inside for lookup in lookups):
            return
        if not close_first:
            assert table.lookup_many(keys)[0] == ids
            table[1] = b"x"
        table.close()
        assert before - mapped_bytes() >= size
        table.close()
        with pytest.raises(ClosedError):
            table.lookup(1)
        witnessed[0] += 1

    tries = 50  # on a busy machine both threads are seldom inside at once
    for _ in range(tries):
        table = Table()
        table.insert_many(keys, ids)
        size = table.stats().bytes_slots + table.stats().bytes_records
        lookups = [LongLookup(table, keys, 120) for _ in range(2)]
        for lookup in lookups:
            lookup.begin()
        if close_first:
            table.close()
        in_child(functools.partial(check, table, size, mapped_bytes(), lookups))
        for lookup in lookups:
            lookup.join()
        table.close()
        if witnessed[0] == 3:
            return
    pytest.fail(f"only {witnessed[0]} of {tries} forks came while both threads were inside")


EXIT = """
import threading, time
from array import array
from pybuildid import Table
keys = array("Q", range(50_000))
table = Table()
table.insert_many(keys, bytes(20 * len(keys)))
for _ in range(3):
    threading.Thread(target=table.lookup_many, args=(keys * 100,), daemon=True).start()
time.sleep(0.02)
"""


def test_exit_while_threads_are_inside() -> None:
    """The interpreter ends without a crash: no destructor pulls the table from under a daemon thread."""
    for _ in range(3):
        result = subprocess.run([sys.executable, "-c", EXIT], capture_output=True, text=True, timeout=60)
        assert (result.returncode, result.stderr) == (0, "")
