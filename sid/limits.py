# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A limit on the time of each test, as a plugin of pytest: a test that does not end fails alone, and the others go on.

A watchdog, a process of its own, is told when a phase of a test (setup, call, teardown) begins and ends. At the limit
it sends SIGALRM, whose handler raises in the test, and kills all children of the test, and theirs. It needs nothing of
the test's process: so children are killed also where that is in C code and holds the interpreter's lock, and the
handler runs when that returns. A phase that goes on is ended again after each further limit. After LAST_RESORT limits
the whole run ends, by SIGABRT: pytest prints the stacks of all threads. The limit is generous: the machine may be busy.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from types import FrameType

import pytest

LIMIT_SECONDS = "600"
LAST_RESORT = 3
PR_SET_PDEATHSIG = 1

# ------------------------------------------------------------------------------------------------ the watchdog --


def parents() -> dict[int, int]:
    """The parent of each process."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended
    return found


def descendants(of: int) -> list[int]:
    """Children of a process, theirs, and so on, but for the caller."""
    parent, found = parents(), [of]
    for process in found:
        found += [child for child, its in parent.items() if its == process and child != os.getpid()]
    return found[1:]


def end_phase(process: int, last: bool) -> None:
    """Kills again until there are no children left: one may have made another meanwhile."""
    os.kill(process, signal.SIGABRT if last else signal.SIGALRM)
    while children := [child for child in descendants(process) if not is_zombie(child)]:
        for child in children:
            try:
                os.kill(child, signal.SIGKILL)
            except ProcessLookupError:
                continue
        select.select([], [], [], 0.05)


def is_zombie(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def watch(process: int, seconds: float) -> None:
    """Reads a byte at each begin and each end of a phase from standard input, until that is closed; answers each."""
    under_way, ended = False, 0
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], seconds if under_way else None)
        if ready:
            if not os.read(sys.stdin.fileno(), 1):
                return
            under_way, ended = not under_way, 0
            os.write(sys.stdout.fileno(), b"\n")
            continue
        ended += 1
        end_phase(process, ended == LAST_RESORT)


# -------------------------------------------------------------------------------------------------- the plugin --


class Limit:
    """The watchdog, as the tests' process sees it."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.process = os.getpid()
        command = [sys.executable, __file__, str(self.process), str(seconds)]
        self.watchdog = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.under_way = False
        signal.signal(signal.SIGALRM, self._end)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.under_way and os.getpid() == self.process:
            pytest.fail(f"no end after {self.seconds:g} s: its children were killed")

    def _tell(self, under_way: bool) -> None:
        """Waits for the answer: children of the next phase are not those that are killed now."""
        assert self.watchdog.stdin
        assert self.watchdog.stdout
        self.under_way = under_way
        self.watchdog.stdin.write(b"\n")
        self.watchdog.stdout.read(1)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self) -> Generator[None]:
        yield from self._phase()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None]:
        yield from self._phase()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self) -> Generator[None]:
        yield from self._phase()

    def _phase(self) -> Generator[None]:
        self._tell(True)
        try:
            yield
        finally:
            self._tell(False)

    def pytest_unconfigure(self) -> None:
        """Not by closing its input, which a child that was left behind may have, too."""
        self.watchdog.kill()
        self.watchdog.communicate()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini("limit_seconds", "A phase of a test that has not ended by then fails.", default=LIMIT_SECONDS)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Limit(float(config.getini("limit_seconds"))), "limit")


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    watch(int(sys.argv[1]), float(sys.argv[2]))
