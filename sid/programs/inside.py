# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A program with a part of its own under Profile(), or alone: inside.py PART {alone,profiled}.

It prints what that part finds, and how the process is before and after it: the same, whether it is profiled or not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import nullcontext, suppress

from pybuildid import Profile

LIST = "import os; print(sorted(map(int, os.listdir('/proc/self/fd')))[:-1], len(os.listdir('/proc/self/task')))"
PR_SET_KEEPCAPS, CAP_SETGID, CAPABILITY_VERSION = 8, 6, 0x20080522


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        sum(range(1000))


def use_pipe(who: str) -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.write(writer, b"0123456789ABCDEF")
    burn(0.03)
    time.sleep(0.05)
    print(who, reader, writer, os.read(reader, 100))
    os.close(reader)
    os.close(writer)


def in_child(*works: Callable[[], object]) -> None:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            for work in works:
                work()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(9)
    print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def closerange() -> None:
    burn(0.05)
    os.closerange(3, 256)
    use_pipe("parent")
    in_child(lambda: os.closerange(3, 256), lambda: use_pipe("child"))
    for _ in range(30):
        os.closerange(3, 256)
        burn(0.002)
    use_pipe("parent")


def dup2() -> None:
    left, right = (os.dup2(end.detach(), 300 + i) for i, end in enumerate(socket.socketpair()))
    for fd in range(3, 256):
        os.dup2(left if fd % 2 else right, fd)
    os.write(left, b"from the left")
    burn(0.05)
    time.sleep(0.05)
    same = [os.fstat(fd).st_ino == os.fstat(left if fd % 2 else right).st_ino for fd in range(3, 256)]
    print(same.count(False), os.read(right, 100))
    os.set_blocking(left, False)
    in_child(lambda: os.write(100, b"from a child"))
    print(os.read(left, 100))


watch: Profile | None = None  #: of the part


def profile_itself() -> None:
    """In a child that was forked inside the part, which it leaves."""
    if watch:
        watch.__exit__(None, None, None)
    with Profile() as again:
        burn(0.1)
    print("it can profile itself:", again.result.samples > 0)


def children() -> None:
    burn(0.05)
    for close in (True, False):
        print(subprocess.run([sys.executable, "-ISc", LIST], close_fds=close, capture_output=True, text=True))
    in_child(lambda: os.execv(sys.executable, [sys.executable, "-ISc", LIST]))
    in_child(lambda: burn(0.03), lambda: use_pipe("child"))
    in_child(lambda: print(len(os.listdir("/proc/self/task")), "threads"))
    in_child(profile_itself)

    def generation(left: int) -> None:
        burn(0.01)
        if left:
            in_child(lambda: generation(left - 1))
        os._exit(left)

    in_child(lambda: generation(4))


seen: list[int] = []


def signals() -> None:
    """Its handlers were there before, for Profile() says that it has these two signals meanwhile."""
    for number in (signal.SIGTRAP, signal.SIGPROF):
        burn(0.03)
        os.kill(os.getpid(), number)
        burn(0.03)
    print(seen)
    in_child(lambda: burn(0.02), lambda: signal.raise_signal(signal.SIGTRAP), lambda: print(seen))


def another_user() -> None:
    """For a while, and then for good with a capability kept; libc ends a program whose threads do not agree."""
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    os.seteuid(65534)
    burn(0.03)
    print(os.getresuid(), os.access("/proc/self/environ", os.R_OK))
    os.seteuid(0)
    libc.prctl(PR_SET_KEEPCAPS, 1)
    os.setresuid(65534, 65534, 65534)
    head = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)
    data = (ctypes.c_uint32 * 6)(1 << CAP_SETGID, 1 << CAP_SETGID)
    print(libc.capset(head, data))
    os.setgroups([10, 20])
    os.setresgid(65534, 65534, 65534)
    burn(0.03)
    print(os.getresuid(), os.getresgid(), os.getgroups())


def few_descriptors() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (8, before[1]))
    for _ in range(20):
        burn(0.005)
        fds = []
        with suppress(OSError):
            while True:
                fds.append(os.open("/dev/null", os.O_RDONLY))
        print(fds)
        for fd in fds:
            os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, before[1]))
    burn(0.05)
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def become() -> None:
    """Another program, in this process."""
    burn(0.05)
    sys.stdout.flush()
    shown = "ls /proc/self/fd; grep -E 'SigIgn|SigBlk' /proc/self/status; ls /proc/$$/task | wc -l"
    os.execvp("sh", ["sh", "-c", shown])


PARTS = {
    "closerange": closerange,
    "dup2": dup2,
    "children": children,
    "become": become,
    "signals": signals,
    "another-user": another_user,
    "few-descriptors": few_descriptors,
}


def state() -> None:
    """What has to be as it was. Another's thread is allowed meanwhile, and gone afterwards."""
    fds = [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")]
    actions = [callable(signal.getsignal(number)) for number in (signal.SIGTRAP, signal.SIGPROF)]
    print(sorted(map(int, fds)), len(os.listdir("/proc/self/task")), threading.active_count(), actions)
    print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.sigpending(), os.getresuid())


def main() -> None:
    global watch
    part, how = sys.argv[1:]
    if part == "signals":
        for number in (signal.SIGTRAP, signal.SIGPROF):
            signal.signal(number, lambda number, frame: seen.append(number))
    state()
    watch = Profile(follow=0.01) if how == "profiled" else None
    with watch or nullcontext():
        PARTS[part]()
    state()
    if watch and not watch.result.samples:
        sys.exit("no samples")


if __name__ == "__main__":
    main()
