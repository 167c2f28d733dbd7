# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Files by build ID from debuginfod servers, by elfutils' client library, which keeps them in its cache.

The variables of the environment are the library's own: DEBUGINFOD_URLS, DEBUGINFOD_CACHE_PATH and the others of
debuginfod-find(1). Without DEBUGINFOD_URLS nothing is asked for.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from pybuildid.symbols._elfutils import ffi, libc, libdebuginfod

Progress = Callable[[int, int], object]  #: bytes that have come, and how many there are, 0 if that is not known


def is_wanted() -> bool:
    return bool(os.environ.get("DEBUGINFOD_URLS", "").strip())


class Client:
    """Asks the servers.

    seconds: for all that is asked for together; afterwards only the cache answers. progress: is called again and again.
    """

    def __init__(self, seconds: float, progress: Progress | None = None) -> None:
        self._lib = libdebuginfod()
        self._end = time.monotonic() + seconds
        self._progress = progress
        self._error: BaseException | None = None
        self.late = False  #: whether something was given up because the time was over
        self.failures: set[str] = set()  #: of servers that could not be reached. Those that fail seem to have no file
        self._given_up = False
        self._handle = self._lib.debuginfod_begin()
        if not self._handle:
            raise MemoryError
        self._callback = ffi.callback("int(debuginfod_client *, long, long)", self._on, error=1, onerror=self._failed)
        self._lib.debuginfod_set_progressfn(self._handle, self._callback)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lib.debuginfod_end(self._handle)

    def debuginfo(self, build_id: bytes) -> int | None:
        """A descriptor of the file with the DWARF of that build; None if no server has it."""
        return self._find(self._lib.debuginfod_find_debuginfo, build_id, "debuginfo")

    def executable(self, build_id: bytes) -> int | None:
        """A descriptor of the program or library itself."""
        return self._find(self._lib.debuginfod_find_executable, build_id, "executable")

    def _find(self, find: Any, build_id: bytes, kind: str) -> int | None:
        self._given_up = False
        path = ffi.new("char **")
        descriptor: int = find(self._handle, build_id, len(build_id), path)
        if self._given_up or self._error:
            _forget(build_id, kind)
        if self._error:
            error, self._error = self._error, None
            raise error
        if descriptor < 0:
            if descriptor != -errno.ENOENT and not self._given_up:
                self.failures.add(os.strerror(-descriptor))
            return None
        libc().free(path[0])
        os.set_inheritable(descriptor, False)
        return descriptor

    def _on(self, client: Any, done: int, total: int) -> int:
        """The library calls this some times a second. Returns 1 to make it give up."""
        if time.monotonic() > self._end:
            self.late = self._given_up = True
            return 1
        if self._progress:
            self._progress(max(done, 0), max(total, 0))
        return 0

    def _failed(self, kind: Any, error: BaseException, trace: Any) -> int:
        """Keeps an exception in _on(), above all that of Ctrl-C: it cannot pass through C."""
        self._error = error
        return 1


def _forget(build_id: bytes, kind: str) -> None:
    """The library of elfutils 0.188 notes a file that was given up as one that no server has: as an empty file in
    its cache, for ten minutes."""
    home = os.path.expanduser("~")
    folders = (
        os.environ.get("DEBUGINFOD_CACHE_PATH"),
        os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "debuginfod_client"),
        os.path.join(home, ".debuginfod_client_cache"),
    )
    for folder in filter(None, folders):
        path = os.path.join(folder, build_id.hex(), kind)
        with suppress(OSError):
            if os.stat(path).st_size == 0:
                os.unlink(path)
