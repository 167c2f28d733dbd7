# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Runs a command, and waits for it and for everything that it left behind: supervise.py SECONDS OUTPUT COMMAND...

Orphans become children of this process, so it sees all of them end. After SECONDS it kills those that are left. It
prints JSON: the command's return code as subprocess has it (null if it did not end), and the processes that it killed.
The command's own standard output and standard error are appended to the file OUTPUT.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from types import FrameType

MOST_BYTES = 64 << 20  #: in a file, of a program that runs wild
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def descendants() -> list[int]:
    """All processes below this one."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended meanwhile
        children.setdefault(parent, []).append(int(name))
    found = [os.getpid()]
    for process in found:
        found += children.get(process, [])
    return found[1:]


def describe(process: int) -> str:
    try:
        with open(f"/proc/{process}/cmdline", "rb") as line, open(f"/proc/{process}/wchan") as place:
            return f"{process} {os.fsdecode(line.read().replace(bytes(1), b' '))}({place.read()})"
    except OSError:
        return str(process)


def kill_all() -> list[str]:
    """Kills what is left, until nothing is; what was found the first time."""
    left = [describe(process) for process in descendants()]
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for process in descendants():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            break
        time.sleep(0.01)
    return left


def wait_for_all(command: int, until: float) -> int | None:
    """Until no child is left, or the time is over: the status of the command, if it has ended."""
    status = None
    while time.monotonic() < until:
        try:
            process, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if process == command:
            status = os.waitstatus_to_exitcode(ended)
        elif not process:
            time.sleep(0.002)
    return status


def stop(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def main() -> None:
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    signal.signal(signal.SIGTERM, stop)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
    until = time.monotonic() + float(sys.argv[1])
    status, killed = None, []
    try:
        with open(sys.argv[2], "ab") as output:
            command = subprocess.Popen(sys.argv[3:], stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        status = wait_for_all(command.pid, until)
    finally:
        killed = kill_all()
        print(json.dumps({"status": status, "killed": killed}))


if __name__ == "__main__":
    main()
