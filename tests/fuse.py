# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A file system that does not answer: a folder that a process serves by FUSE, which can be told to be silent."""

from __future__ import annotations

import ctypes
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, INTERRUPT, FORGETS = 1, 2, 3, 14, 15, 18, 25, 26, 36, 42
REQUEST, ANSWER = struct.Struct("=IIQQIIII"), struct.Struct("=IiQ")  #: struct fuse_in_header, fuse_out_header
ROOT = 1
LONG = 3600  #: seconds that the kernel may keep what it was told
KEEP_CACHE = 2
DETACH = 2  #: MNT_DETACH
SILENCE, SPEAK = signal.SIGUSR1, signal.SIGUSR2  #: the server takes requests and does not answer; answers again


class FileSystem:
    """The files of one folder. Node 2 is the first of them."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(path for path in folder.iterdir() if path.is_file())
        self.silent = False
        self.kept: list[bytes] = []  # requests that came meanwhile

    def _attributes(self, node: int) -> bytes:
        of = os.stat(self.files[node - 2]) if node != ROOT else None
        size, mode, time = (of.st_size, of.st_mode, int(of.st_mtime)) if of else (0, stat.S_IFDIR | 0o755, 0)
        return struct.pack("=6Q10I", node, size, size // 512, time, time, time, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def answer(self, code: int, node: int, body: bytes) -> bytes | None:
        """None: there is no such thing."""
        if code == INIT:
            return struct.pack("=4I2H2I2HI7I", 7, 31, 1 << 17, 0, 12, 10, 1 << 17, 1, 0, 0, 0, *[0] * 7)
        if code == LOOKUP:
            names = [path.name for path in self.files]
            name = body.rstrip(b"\0").decode()
            if name not in names:
                return None
            found = names.index(name) + 2
            return struct.pack("=4Q2I", found, 0, LONG, LONG, 0, 0) + self._attributes(found)
        if code == GETATTR:
            return struct.pack("=Q2I", LONG, 0, 0) + self._attributes(node)
        if code == OPEN:
            return struct.pack("=Q2I", 0, KEEP_CACHE, 0)
        if code == READ:
            _, offset, size = struct.unpack_from("=QQI", body)
            return self.files[node - 2].read_bytes()[offset : offset + size]
        return b"" if code in (RELEASE, FLUSH) else None


def reply(device: int, files: FileSystem, request: bytes) -> None:
    _, code, unique, node, *_ = REQUEST.unpack_from(request)
    if code in (FORGET, FORGETS, INTERRUPT):
        return
    found = files.answer(code, node, request[REQUEST.size :])
    body = found or b""
    with suppress(FileNotFoundError):  # whoever asked has gone
        os.write(device, ANSWER.pack(ANSWER.size + len(body), 0 if found is not None else -2, unique) + body)


def speak(device: int, files: FileSystem) -> None:
    files.silent = False
    while files.kept:
        reply(device, files, files.kept.pop(0))


def serve(folder: str, mount: str) -> None:
    """Until it is unmounted."""
    device = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0"
    if libc.mount(b"pybuildid", os.fsencode(mount), b"fuse.pybuildid", 0, options.encode()):
        print(f"mount: {os.strerror(ctypes.get_errno())}", flush=True)
        return
    print("mounted", flush=True)
    files = FileSystem(Path(folder))
    signal.signal(SILENCE, lambda number, frame: setattr(files, "silent", True))
    signal.signal(SPEAK, lambda number, frame: speak(device, files))
    while True:
        try:
            request = os.read(device, 1 << 18)
        except OSError:
            return
        if files.silent:
            files.kept.append(request)
        else:
            reply(device, files, request)


@contextmanager
def served(folder: Path, mount: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process that serves the folder at a place. While it is silent, not even SIGKILL ends a process that waits for
    it. When it ends, all get an error."""
    mount.mkdir()
    command = [sys.executable, __file__, str(folder), str(mount)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout
            said = server.stdout.readline()
            if said != b"mounted\n":
                pytest.skip(f"no FUSE here, which takes root and /dev/fuse: {said.decode()}")
            yield server
        finally:
            server.kill()
            server.wait()
            ctypes.CDLL(None).umount2(os.fsencode(mount), DETACH)


if __name__ == "__main__":
    serve(*sys.argv[1:])
