# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the tests of the census share: programs whose files are known, and a census of these alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pybuildid.census import Census, _proc, census

#: What a program of the test does first: it opens, maps and forks as told, says so, and waits for its end.
PRELUDE = """
import ctypes, mmap, os, socket, sys, threading
def end():
    print(os.getpid(), flush=True)
    sys.stdin.read()
def mapped(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE, mmap.PROT_READ)
"""
STANDARD = 3  # descriptors that every program has


@contextmanager
def program(text: str, *arguments: str) -> Iterator[int]:
    """Runs a program until the end of the block. Its standard descriptors are three files."""
    command = [sys.executable, "-S", "-c", PRELUDE + text + "\nend()", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield int(line)
        process.stdin.close()


class Only:
    """A census of these processes alone: /proc without the others."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.proc, self._monkeypatch = folder / "proc", monkeypatch
        self.proc.mkdir()

    def __call__(self, *pids: int, **keywords: Any) -> Census:
        for name in (*map(str, pids), "self", "sys"):
            if not (self.proc / name).is_symlink():
                (self.proc / name).symlink_to(f"/proc/{name}")
        self._monkeypatch.setattr(_proc, "PROC", self.proc)
        return census(**{"method": "proc", **keywords})


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Only:
    return Only(tmp_path, monkeypatch)
