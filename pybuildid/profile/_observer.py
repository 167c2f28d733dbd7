# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Which of the processes that a command starts are not profiled, how much CPU time they take, and why that is so."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pybuildid.profile._program import why_not_profiled

INTERVAL = 0.1  #: seconds between two looks
_SHARE = 20  #: a look may take this part of the time between two

CLEARED = "started with another LD_PRELOAD in its environment, or none: nothing loads the profiler's library"
USER = "of another user, who may not open the recording"
ROOT = "in another root directory (chroot), where the profiler's library or the recording is not to be found"
TRACED = "traced by another program, such as strace or gdb, which would get the samples' signals"
UNKNOWN = "for a reason that is not known: it may have been forked by the system call itself"


@dataclass(frozen=True)
class Unwatched:
    """Processes that were not profiled, for one reason.

    processes: how many of them are known. seconds: the CPU time of those that lived long enough to be seen.
    example: the program of one, or "".
    """

    reason: str
    processes: int
    seconds: float
    example: str


@dataclass
class _Seen:
    start: int
    ticks: int
    reason: str = ""
    program: str = ""
    unwatched: int = 0


@dataclass
class _Stat:
    parent: int
    ticks: int
    start: int


def _stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return _Stat(int(fields[1]), int(fields[11]) + int(fields[12]), int(fields[19])) if len(fields) > 19 else None


def _children(pid: int) -> list[int] | None:
    """None: this kernel does not tell (CONFIG_PROC_CHILDREN)."""
    found: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += map(int, file.read().split())
    except OSError:
        return found if os.path.exists("/proc/thread-self/children") else None
    return found


def _all_children() -> dict[int, list[int]]:
    tree: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        stat = _stat(int(name)) if name.isdigit() else None
        if stat:
            tree.setdefault(stat.parent, []).append(int(name))
    return tree


@dataclass
class Observer:
    """Looks at the processes of a command from time to time, in a thread.

    watched: gives the PIDs of those that are profiled. preload: the path that LD_PRELOAD has.
    """

    root: int
    watched: Callable[[], set[int]]
    preload: str
    _seen: dict[int, _Seen] = field(default_factory=dict)
    _ended: list[_Seen] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._run, name="pybuildid-observer", daemon=True)
        self._thread.start()

    def stop(self) -> list[Unwatched]:
        self._stop.set()
        self._thread.join()
        found: dict[str, Unwatched] = {}
        hertz = os.sysconf("SC_CLK_TCK")
        for seen in [*self._ended, *self._seen.values()]:
            if seen.unwatched:
                before = found.get(seen.reason, Unwatched(seen.reason, 0, 0.0, seen.program))
                seconds = before.seconds + seen.unwatched / hertz
                found[seen.reason] = Unwatched(seen.reason, before.processes + 1, seconds, before.example)
        return list(found.values())

    def _run(self) -> None:
        pause = INTERVAL
        while not self._stop.wait(pause):
            began = time.monotonic()
            self._look()
            pause = max(INTERVAL, _SHARE * (time.monotonic() - began))

    def _look(self) -> None:
        """Processes that were children once are still watched when their parent has ended."""
        waiting, found, tree = [self.root, *self._seen], set[int](), None
        while waiting:
            pid = waiting.pop()
            if pid in found:
                continue
            found.add(pid)
            children = _children(pid) if tree is None else tree.get(pid, [])
            if children is None:
                tree = _all_children()
                children = tree.get(pid, [])
            waiting += children
        watched = self.watched()
        for pid in found:
            self._account(pid, pid in watched)

    def _account(self, pid: int, watched: bool) -> None:
        stat, seen = _stat(pid), self._seen.get(pid)
        if seen and (not stat or stat.start != seen.start):
            self._ended.append(self._seen.pop(pid))
            seen = None
        if not stat:
            return
        if seen is None:
            seen = self._seen[pid] = _Seen(stat.start, 0 if not watched else stat.ticks)
        more, seen.ticks = stat.ticks - seen.ticks, stat.ticks
        if more and not watched:
            reason, program = _judge(pid, self.preload)
            if reason != UNKNOWN or not seen.reason:  # nothing is to be learned of one that has ended
                seen.reason, seen.program = reason, program
            seen.unwatched += more


def _judge(pid: int, preload: str) -> tuple[str, str]:
    """Why the process is not profiled, and its program."""
    program = ""
    try:
        program = os.readlink(f"/proc/{pid}/exe")
        why = why_not_profiled(f"/proc/{pid}/exe")
        if why:
            return why, program
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
        if status.get("TracerPid", "0") != "0":
            return TRACED, program
        if status["Uid"].split()[1] != str(os.geteuid()):
            return USER, program
        if os.readlink(f"/proc/{pid}/root") != os.readlink("/proc/self/root"):
            return ROOT, program
        with open(f"/proc/{pid}/environ", "rb") as file:
            variables = dict(each.partition(b"=")[::2] for each in file.read().split(b"\0"))
        if b"PYBUILDID_PROFILE" not in variables or os.fsencode(preload) not in variables.get(b"LD_PRELOAD", b""):
            return CLEARED, program
    except (OSError, LookupError):
        pass
    return UNKNOWN, program
