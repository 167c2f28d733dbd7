# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The names of code that recorded processes make, from the files that they write for perf: /tmp/perf-PID.map.

A process may end before the recording does, and its mount namespace with it. So the files are read again and again
while the processes run, and once more at the end. Between two readings nothing is held: no descriptor here keeps a file
system of a process from being unmounted.
"""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybuildid._recorder import ffi, lib
from pybuildid.symbols.perfmap import PerfMap

EVERY = 0.25  #: seconds between two looks, or
SELDOM = 200  #: times as long as the last look took
MOST = 64 << 20  #: bytes of all files together
SILENT = 5.0  #: seconds, after which a file system does not answer, and
REST = 30.0  #: for which it is not asked again
PATIENCE = 10.0  #: seconds that the last look may take
_SLACK = 1.0  #: seconds, by which the times of files and processes may differ
_ROOT = "/proc/self/root"


class _Reader:
    """A process that reads the files: see csrc/record/reader.h. start: gives its socket."""

    def __init__(self, start: Callable[[], int]) -> None:
        self._start = start
        self._socket: socket.socket | None = None

    def read(self, request: Any) -> tuple[bytes, Any] | None:
        """The text of a file, and the answer, which has its state; None if there is none, or it has not changed.
        Raises OSError if it does not come: then that process is left behind, and the next file has a new one."""
        if self._socket is None:
            self._socket = socket.socket(fileno=self._start())
            self._socket.settimeout(SILENT)
        try:
            self._socket.send(ffi.buffer(request))
            return self._receive(self._socket)
        except OSError:
            self.close()
            raise

    @staticmethod
    def _receive(of: socket.socket) -> tuple[bytes, Any] | None:
        parts = []
        while (message := of.recv(lib.BID_NAMES_MESSAGE)).startswith(b"D"):
            parts.append(message[1:])
        answer = ffi.new("struct bid_names_answer *")
        if len(message) != ffi.sizeof("struct bid_names_answer"):
            raise OSError(errno.EPIPE, "the process that reads files has ended")
        ffi.buffer(answer)[:] = message
        return (b"".join(parts), answer) if answer.found else None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


@dataclass
class _Maker:
    """A process that makes code. root: its root directory. name: of its file in /tmp there. owners: users whose files
    are believed. since: when it started; an older file is another's. rests: until then it is not looked at."""

    root: str
    name: str
    owners: set[int]
    since: float
    text: bytes = b""
    answer: Any = None
    rests: float = 0.0

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

    def look(self, reader: _Reader, room: int) -> int:
        """Reads the file, if it has changed. room: bytes by which the text may grow. Returns by how many it grew."""
        before = len(self.text)
        if time.monotonic() < self.rests:
            return 0
        try:
            found = reader.read(self._request(room + before))
        except OSError:
            self.rests = time.monotonic() + REST
            return 0
        if found:
            self.text, self.answer = found
        return len(self.text) - before

    def _request(self, most: int) -> Any:
        request = ffi.new("struct bid_names_request *")
        request.root, request.name = os.fsencode(self.root), os.fsencode(self.name)
        request.since_ns, request.most = int(self.since * 1e9), most
        if self.answer is not None:
            request.known = self.answer.state
        owners = sorted(self.owners)
        request.owners = [*owners, *owners[-1:] * (lib.BID_NAMES_OWNERS - len(owners))]
        return request


def _started(folder: Path) -> float:
    """When a process started, in seconds since 1970, by the clock as it is now."""
    ticks = int((folder / "stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - up + ticks / os.sysconf("SC_CLK_TCK")


def _is_at_home(folder: Path) -> bool:
    """Whether a process has this process's root directory: then its /tmp is still there when it has ended."""
    namespace = os.readlink(folder / "ns/mnt") == os.readlink("/proc/self/ns/mnt")
    return namespace and os.readlink(folder / "root") == "/"  # which asks no file system


class Makers:
    """Looks for names from start() to stop(), in a thread. made: gives the processes in which code was seen that no
    file has. reader: makes a process that reads files, and gives its socket."""

    def __init__(self, made: Callable[[], Iterable[int]], reader: Callable[[], int]) -> None:
        self._made = made
        self._reader = _Reader(reader)
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
        self._reader.close()

    def _look(self) -> None:
        room = MOST - sum(len(each.text) for each in self._makers.values())
        for process in self._made():
            if process not in self._makers:
                self._makers[process] = _Maker.of(process, self._began)
            room -= self._makers[process].look(self._reader, room)
