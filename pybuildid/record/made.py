# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The names of code that recorded processes make, from the files that they write for perf: /tmp/perf-PID.map.

A process may end before the recording does, and its mount namespace with it. So the files are read again and again
while the processes run, and once more at the end. Between two readings nothing is held: no descriptor here keeps a file
system of a process from being unmounted.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from pybuildid.symbols.perfmap import PerfMap, open_perf_map

EVERY = 0.25  #: seconds between two looks, or
SELDOM = 200  #: times as long as the last look took
MOST = 64 << 20  #: bytes of all files together
PATIENCE = 10.0  #: seconds that the last look may take: a file system of a process may not answer
_SLACK = 1.0  #: seconds, by which the times of files and processes may differ
_ROOT = "/proc/self/root"


@dataclass
class _Maker:
    """A process that makes code. root: its root directory. name: of its file in /tmp there. owners: users whose files
    are believed. since: when it started; an older file is another's."""

    root: str
    name: str
    owners: set[int]
    since: float
    text: bytes = b""
    state: tuple[int, ...] = ()

    @classmethod
    def of(cls, process: int, began: float) -> _Maker:
        """If it has ended, then what it may have left in /tmp of this process, since the recording began."""
        folder, owners = Path(f"/proc/{process}"), {0, os.geteuid()}
        try:
            since = _started(folder) - _SLACK
            words = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            owners.add(int(words["Uid"].split()[3]))  # by which it makes files
            number = words["NSpid"].split()[-1]  # as the process itself knows it
            root = _ROOT if _is_at_home(folder) else str(folder / "root")
            return cls(root, f"perf-{number}.map", owners, since)
        except (OSError, ValueError, KeyError, IndexError):
            return cls(_ROOT, f"perf-{process}.map", owners, began)

    def look(self, room: int) -> int:
        """Reads the file, if it has changed. room: bytes by which the text may grow. Returns by how many it grew."""
        before = len(self.text)
        descriptor = self._open()
        if descriptor is None:
            return 0
        with open(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            state = (status.st_ino, status.st_size, status.st_mtime_ns)
            if state != self.state and status.st_size <= room + before:
                self.text, self.state = file.read(room + before), state
        return len(self.text) - before

    def _open(self) -> int | None:
        """Follows no symbolic link of the process: seen from here, it would lead elsewhere."""
        path = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            root = os.open(self.root, path)
        except OSError:
            return None  # it has ended
        try:
            folder = os.open("tmp", path | os.O_NOFOLLOW, dir_fd=root)
        except OSError:
            return None
        finally:
            os.close(root)
        try:
            return open_perf_map(self.name, self.since, self.owners, folder)
        finally:
            os.close(folder)


def _started(folder: Path) -> float:
    """When a process started, in seconds since 1970, by the clock as it is now."""
    ticks = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def _is_at_home(folder: Path) -> bool:
    """Whether a process has this process's root directory: then its /tmp is still there when it has ended."""
    namespace = os.readlink(folder / "ns/mnt") == os.readlink("/proc/self/ns/mnt")
    return namespace and os.path.samefile(folder / "root", _ROOT)


class Makers:
    """Looks for names from start() to stop(), in a thread. made: gives the processes in which code was seen that no
    file has."""

    def __init__(self, made: Callable[[], Iterable[int]]) -> None:
        self._made = made
        self._makers: dict[int, _Maker] = {}
        self._over = threading.Event()
        self._began = time.time()
        self._thread = threading.Thread(target=self._run, name="names of made code", daemon=True)

    def start(self) -> None:
        self._began = time.time()
        self._thread.start()

    def stop(self) -> dict[int, PerfMap]:
        """The names, by process. The thread looks once more. It is not waited for if a file does not come."""
        self.close()
        texts = {process: maker.text for process, maker in list(self._makers.items()) if maker.text}
        return {process: PerfMap(text) for process, text in texts.items()}

    def close(self) -> None:
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE)

    def _run(self) -> None:
        pause = EVERY
        while not self._over.wait(pause):
            begin = time.thread_time()
            self._look()
            pause = max(EVERY, SELDOM * (time.thread_time() - begin))
        self._look()

    def _look(self) -> None:
        room = MOST - sum(len(each.text) for each in self._makers.values())
        for process in self._made():
            if process not in self._makers:
                self._makers[process] = _Maker.of(process, self._began)
            room -= self._makers[process].look(room)
