# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Addresses of this process, many at once."""

from __future__ import annotations

import gc
import mmap
import shutil
import struct
import subprocess
import sys
import threading
from array import array
from pathlib import Path

import pytest

from pybuildid import Resolver, mappings, normalize
from pybuildid.errors import ArgumentRangeError, ArgumentTypeError

RECORD = struct.Struct("<i20sQ")
NO_MAPPING = 1


def test_it_agrees_with_normalize() -> None:
    """Each end of each executable mapping, and the byte after it."""
    code = [mapping for mapping in mappings() if "x" in mapping.permissions and mapping.path != "[vsyscall]"]
    addresses = [address for mapping in code for address in (mapping.start, mapping.end - 1)] * 2
    records, reasons = Resolver().resolve_many(array("Q", addresses))
    resolved = 0
    for location, reason, (status, build_id, where) in zip(
        normalize(None, addresses), reasons, RECORD.iter_unpack(records)
    ):
        if location.build_id is not None and len(location.build_id) <= 20:
            assert (status, build_id, where) == (1, location.build_id.ljust(20, b"\0"), location.offset)
            resolved += 1
        else:
            assert (status, build_id, where) == (2, bytes(20), location.address)
            assert reason
    assert resolved == reasons.count(0) > 10


def test_without_proc_the_error_says_so(tmp_path: Path) -> None:
    """It does not speak of memory, which is what a table may lack."""
    if shutil.which("unshare") is None:
        pytest.skip("unshare is not on PATH (Debian: apt-get install util-linux)")
    script = f"mount --bind {tmp_path} /proc && exec {sys.executable} -c 'import pybuildid; pybuildid.Resolver()'"
    result = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=60)
    if "pybuildid" not in result.stderr:
        pytest.skip(f"no mount over /proc here, in a namespace by unshare -rm: {result.stderr}")
    assert result.stderr.splitlines()[-1].endswith(
        "UnsupportedError: /proc/self/maps cannot be read: is /proc mounted?"
    )


def test_what_is_mapped_later_is_seen_after_a_refresh() -> None:
    resolver = Resolver()
    with mmap.mmap(-1, 1 << 16, prot=mmap.PROT_READ | mmap.PROT_EXEC) as code:
        start = next(m.start for m in mappings() if m.permissions == "r-xs" and m.end - m.start == len(code))
        one = array("Q", [start, 8])
        assert list(resolver.resolve_many(one)[1]) == [NO_MAPPING, NO_MAPPING]
        assert resolver.refresh()
        assert resolver.resolve_many(one)[1][1] == NO_MAPPING != resolver.resolve_many(one)[1][0]


def test_threads_beside_refreshes() -> None:
    resolver = Resolver()
    stack = array("Q", [m.start for m in mappings() if "x" in m.permissions and m.path.endswith(".so")] * 10)
    expected = resolver.resolve_many(stack)[1]
    resolver.follow(1)
    wrong: list[bytearray] = []

    def look() -> None:
        for _ in range(2000):
            reasons = resolver.resolve_many(stack)[1]
            if reasons != expected:
                wrong.append(reasons)

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    resolver.follow(0)
    assert not wrong


def test_nothing_and_wrong_arguments() -> None:
    resolver = Resolver()
    assert resolver.resolve_many(array("Q")) == (bytearray(), bytearray())
    with pytest.raises(ArgumentTypeError):
        resolver.resolve_many(bytes(8))
    with pytest.raises(ArgumentRangeError):
        resolver.resolve_many([1, -1])
    with pytest.raises(ArgumentRangeError):
        resolver.follow(-1)


def test_the_thread_that_follows_ends_with_it() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    resolver = Resolver()
    resolver.follow(10)
    assert threads() == before + 1
    del resolver
    gc.collect()
    assert threads() == before
