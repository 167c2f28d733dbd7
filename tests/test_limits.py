# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The limit on the time of each test: what does not end fails alone, with all its children, and the rest goes on."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from limits import is_zombie

TESTS = Path(__file__).resolve().parent

#: A grandchild that ignores what can be ignored, and holds the pipe that the test reads; a loop; a wait in C that holds
#: the interpreter's lock, for a child; a fixture; and tests before and after.
SUITE = """
import ctypes, os, subprocess, sys, time
import pytest

def test_before():
    pass

def test_child():
    script = "trap '' TERM INT HUP ALRM; (sleep 1000; :) & echo $!; wait"
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE, text=True)
    with open("children", "a") as file:
        print(process.pid, process.stdout.readline(), file=file, flush=True)
    process.communicate()

def test_loop():
    while True:
        pass

def test_lock_held():
    child = subprocess.Popen(["sleep", "1000"])
    with open("children", "a") as file:
        print(child.pid, file=file)
    status = ctypes.c_int()
    ctypes.PyDLL(None).waitpid(child.pid, ctypes.byref(status), 0)

@pytest.fixture
def endless():
    time.sleep(1000)

def test_setup(endless):
    pass

def test_after():
    pass
"""

HOPELESS = """
import ctypes

def test_for_good():
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.PyDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)

def test_after():
    pass
"""


def run(folder: Path, suite: str, limit: float) -> subprocess.CompletedProcess[str]:
    (folder / "test_suite.py").write_text(suite)
    options = ["-p", "limits", "-o", f"limit_seconds={limit}", "-p", "no:cacheprovider", "-v"]
    command = [sys.executable, "-m", "pytest", *options, "test_suite.py"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


EXPECTED = {
    "test_before": "PASSED",
    "test_child": "FAILED",
    "test_loop": "FAILED",
    "test_lock_held": "FAILED",
    "test_setup": "ERROR",
    "test_after": "PASSED",
}


def test_what_does_not_end_fails_alone(tmp_path: Path) -> None:
    for limit in (0.5, 3, 20):  # a busy machine takes longer to start three processes
        folder = tmp_path / str(limit)
        folder.mkdir()
        result = run(folder, SUITE, limit)
        found = dict(re.findall(r"::(\w+) (PASSED|FAILED|ERROR)", result.stdout))
        children = (folder / "children").read_text().split() if (folder / "children").exists() else []
        if found == EXPECTED and len(children) == 3:
            break
    assert found == EXPECTED, result.stdout + result.stderr
    assert result.stdout.count(f"no end after {limit:g} s: its children were killed") >= 4
    assert len(children) == 3
    assert all(is_zombie(int(child)) for child in children)  # or gone: init waits for an orphan when it gets to run


def test_what_nothing_can_end_ends_the_run_with_its_stacks(tmp_path: Path) -> None:
    result = run(tmp_path, HOPELESS, 0.5)
    assert result.returncode == -signal.SIGABRT
    assert "in test_for_good" in result.stderr
