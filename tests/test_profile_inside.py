# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A part of a Python program under Profile() behaves as it does alone (G12)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from profiled import LIMIT, need, need_root

from pybuildid.profile import Profile, profile_command


def in_python(source: str, cwd: Path) -> str:
    """What a program of Python's prints that profiles itself."""
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, cwd=cwd, timeout=LIMIT
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_block_that_closes_descriptors(tmp_path: Path) -> None:
    source = """
    import os, threading
    from pybuildid import Profile
    with Profile() as profile:
        threads, before = threading.active_count(), os.listdir("/proc/self/fd")
        os.closerange(3, 256)
        r, w = os.pipe()
        os.write(w, b"0123456789ABCDEF")
        sum(i * i for i in range(5 * 10**6))
        print(r, w, os.read(r, 16), threads)
    print(profile.result.samples > 50, profile.result.by_reason["resolved"] == profile.result.samples)
    """
    assert in_python(source, tmp_path) == "3 4 b'0123456789ABCDEF' 1\nTrue True\n"


def test_a_block_that_forks(tmp_path: Path) -> None:
    source = """
    import os, sys
    from pybuildid import Profile
    with Profile() as profile:
        sum(i * i for i in range(10**6))
        child = os.fork()
        sum(i * i for i in range(10**6))
    if child == 0:
        with Profile() as again:
            sum(i * i for i in range(2 * 10**6))
        os._exit(0 if again.result.samples else 1)
    assert os.waitpid(child, 0)[1] == 0
    print(profile.result.samples > 20)
    """
    assert in_python(source, tmp_path) == "True\n"


def test_a_block_that_runs_another_program(tmp_path: Path) -> None:
    source = """
    import os
    from pybuildid import Profile
    with Profile() as profile:
        sum(i * i for i in range(10**6))
        os.execvp("sh", ["sh", "-c", "echo $$; ls /proc/self/fd | wc -l; grep -E 'SigIgn|SigBlk' /proc/self/status"])
    """
    shown = in_python(source, tmp_path).splitlines()
    alone = in_python(source.replace("with Profile() as profile:", "if True:"), tmp_path).splitlines()
    assert shown[1:] == alone[1:]


def test_a_block_that_changes_its_user(tmp_path: Path) -> None:
    """And keeps a capability, so that a thread without it would have libc end the program."""
    need_root()
    source = """
    import ctypes, os, struct
    from pybuildid import Profile
    libc = ctypes.CDLL(None, use_errno=True)
    with Profile() as profile:
        sum(i * i for i in range(2 * 10**6))
        libc.prctl(8, 1, 0, 0, 0)  # PR_SET_KEEPCAPS
        os.setresuid(65534, 65534, 65534)
        setgid = 1 << 6
        head, data = struct.pack("Ii", 0x20080522, 0), struct.pack("6I", setgid, setgid, 0, 0, 0, 0)
        assert libc.syscall(126, head, data) == 0  # capset()
        os.setgroups([])
        sum(i * i for i in range(2 * 10**6))
    print(os.getresuid(), profile.result.samples > 20)
    """
    if os.uname().machine != "x86_64":
        pytest.skip("the number of capset() is that of x86-64")
    assert in_python(source, tmp_path) == "(65534, 65534, 65534) True\n"


def test_a_block_under_a_tracer(tmp_path: Path) -> None:
    need("strace", "strace")
    command = [sys.executable, "-c", "from pybuildid import Profile\nwith Profile(): pass"]
    run = subprocess.run(["strace", "-f", "-o", tmp_path / "trace", *command], capture_output=True, text=True)
    assert "traced by another program" in run.stderr


def test_no_descriptor_is_used_in_this_process() -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    with Profile():
        during = sorted(os.listdir("/proc/self/fd"))
    assert during == before
    profile_command(["true"])
    assert sorted(os.listdir("/proc/self/fd")) == before
