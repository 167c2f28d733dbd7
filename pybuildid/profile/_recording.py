# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The memory that the profiler shares with the processes it profiles, as csrc/profile/recording.h lays it out."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from glob import escape, glob
from pathlib import Path
from typing import Any

from cffi import FFI

from pybuildid.profile._observer import TRACED
from pybuildid.profile._program import GO
from pybuildid.profile.places import undeleted

#: What came of a sample, as enum bid_sample_reason has it. All but the first are fallbacks.
REASONS = ("resolved", "no mapping", "no file", "unknown file", "no build ID", "no room")

#: Why a call stack has no more frames, as enum bid_stack_end has it. The first one has all there are.
STACK_ENDS = (
    "complete",
    "code without frame pointers",
    "a return address in no known code",
    "127 frames",
    "a stack that is not known to be the thread's",
    "a thread that is newer than the last look",
    "frame pointers of this processor are not known",
)

#: Why a process is not sampled, in the order of enum bid_refusal.
REFUSALS = (
    "started while 512 others were being profiled",
    GO,
    "not served in time, for the profiler had too little of a processor",
    "not to be looked into: by another user's process, or by kernel.yama.ptrace_scope",
    TRACED,
    "given neither perf events nor a timer",
    "ignoring the signal that takes samples",
    "run by an emulator, such as valgrind or QEMU, which would get the samples' signals",
    "limited in its address space (`ulimit -v`), of which the recording would take 4 MiB",
    "in a sandbox of its own (a seccomp filter), which may forbid the return from a signal handler: sampled until then",
    "reading the samples' signal from a descriptor (signalfd), where it cannot be told from others: sampled until then",
)

#: Samples a second of CPU time. Each takes some 20 microseconds of it: a program whose samples take all of their period
#: would not get any further.
MOST = 10_000

PARSE, EVICT, TIMER, STACKS = 1, 2, 4, 8
_SOURCES = {1: "perf events", 2: "a CPU timer of the process"}

_HEAD = struct.Struct("<8sIIIIIiii24xII13Q6Q11QQ")
_COUNT = struct.Struct("<QQ")
_STACK = struct.Struct("<QQQ")
_FRAME = struct.Struct("<H")
_SLOT = struct.Struct("<IIQQQII88x")
_MODULE = struct.Struct("<IIQQQQQIHH64s")  # the path comes after it
_COUNTS_AT, _COUNTS = 4096, 65536
_STACKS_AT, _STACKS = _COUNTS_AT + _COUNTS * _COUNT.size, 16384
_FRAMES_AT, _FRAMES = _STACKS_AT + _STACKS * _STACK.size, 256 << 10
_SLOTS_AT, _SLOTS = _FRAMES_AT + _FRAMES * _FRAME.size, 512
_MODULES_AT = _SLOTS_AT + _SLOTS * _SLOT.size + (2 << 20)
_BYTES = _MODULES_AT + (4 << 20)
_ADDRESS_BITS, _FIRST_MODULE = 48, 16
_WATCHED = (3, 4, 5)  #: states of a slot whose process is sampled


class ProfileError(OSError):
    """The profiler could not start, or one is running already, or the command cannot be profiled."""


def library(name: str = "_preload") -> str:
    """The path of one of the profiler's shared libraries."""
    for path in sorted(Path(__file__).parents[1].glob(f"{name}*.so")):
        return str(path)
    raise ProfileError(errno.ENOENT, "the profiler's library is not there: install pybuildid again")


@cache
def _profiler() -> tuple[FFI, Any]:
    ffi = FFI()
    ffi.cdef(
        """
        struct bid_recording *bid_recording_create(const char *path, uint32_t frequency, uint32_t follow_ms,
                                                   uint32_t flags);
        void bid_recording_destroy(struct bid_recording *recording);
        int bid_server_start(struct bid_server **server, struct bid_recording *recording, const char *path);
        void bid_server_stop(struct bid_server *server);
        int bid_agent_start(struct bid_recording *recording);
        int bid_agent_stop(void);
        """
    )
    return ffi, ffi.dlopen(library("_profiler"))


def check_options(frequency: int, follow: float) -> None:
    if not isinstance(frequency, int):
        raise TypeError(f"frequency is {frequency!r}: an integer")
    if not 1 <= frequency <= MOST:
        raise ValueError(f"frequency is {frequency}: from 1 to {MOST:,} samples a second")
    if not 0.001 <= follow <= 3600:
        raise ValueError(f"follow is {follow}: from 0.001 to 3600 seconds")


@dataclass(frozen=True)
class Head:
    """The numbers of a recording, as struct bid_recording has them."""

    frequency: int
    perf_error: int
    error: int
    evict_error: int
    processes: int
    source: str
    samples: int
    ticks: int
    lost: int
    late: int
    parsed: int
    not_in_memory: int
    not_parsed: int
    modules_lost: int
    views_lost: int
    stacks: bool
    by_reason: dict[str, int]
    refused: dict[str, int]


class Recording:
    """A recording and the thread that serves it.

    shared: in a file that programs to be profiled can map; `path` is its name. Without it, for this process alone.
    """

    def __init__(self, frequency: int, follow: float, flags: int, *, shared: bool) -> None:
        check_options(frequency, follow)
        self._ffi, self._lib = _profiler()
        self.path = _new_path() if shared else None
        path = os.fsencode(self.path) if self.path else self._ffi.NULL
        self._memory = self._lib.bid_recording_create(path, frequency, round(follow * 1000), flags)
        if not self._memory:
            raise self._error(self._ffi.errno)
        self._view = memoryview(self._ffi.buffer(self._memory, _BYTES)).toreadonly()
        self._server = self._ffi.new("struct bid_server **")
        self._unmap = True
        self.began = time.time()
        assert _HEAD.unpack_from(self._view)[1:3] == (_BYTES, _MODULES_AT)
        error = self._lib.bid_server_start(self._server, self._memory, path)
        if error:
            self.close()
            raise self._error(error)

    def _error(self, error: int) -> ProfileError:
        what = "a profiler is running already" if error == errno.EBUSY else os.strerror(error)
        return ProfileError(error, f"the profiler could not start: {what}")

    def start_here(self) -> None:
        """Profiles this process. Raises ProfileError."""
        error = self._lib.bid_agent_start(self._memory)
        if not error:
            return
        head = self.head()
        why = next((text for text, count in head.refused.items() if count and text != REFUSALS[5]), None)
        if why:
            raise ProfileError(error, f"the profiler could not start: this process is {why}")
        raise self._error(head.error or head.perf_error or error)

    def stop(self) -> None:
        """The counts do not change any more, but for those of this process until stop_here()."""
        self._lib.bid_server_stop(self._server[0])
        self._server[0] = self._ffi.NULL

    def stop_here(self) -> None:
        self._unmap = bool(self._lib.bid_agent_stop())

    def close(self) -> None:
        """Ends the thread, if it has not been, and removes the file."""
        self.stop()
        if self.path:
            Path(self.path).unlink(missing_ok=True)
        self._view.release()
        if self._unmap:
            self._lib.bid_recording_destroy(self._memory)

    def head(self) -> Head:
        _, _, _, frequency, _, flags, *errors_and_more = _HEAD.unpack_from(self._view)
        perf_error, error, evict_error, _, _, _, *words = errors_and_more
        processes, sources, samples, ticks, lost, late, parsed, not_in_memory, not_parsed, _, *rest = words
        return Head(
            frequency=frequency,
            perf_error=perf_error,
            error=error,
            evict_error=evict_error,
            processes=processes,
            source=" and ".join(name for bit, name in _SOURCES.items() if sources & bit),
            samples=samples,
            ticks=ticks,
            lost=lost,
            late=late,
            parsed=parsed,
            not_in_memory=not_in_memory,
            not_parsed=not_parsed,
            modules_lost=rest[0],
            views_lost=rest[1],
            stacks=bool(flags & STACKS),
            by_reason=dict(zip(REASONS, rest[2:8])),
            refused=dict(zip(REFUSALS, rest[8:])),
        )

    def stacks(self) -> Iterator[tuple[tuple[tuple[int | None, int], ...], str, int]]:
        """Of each call stack: its frames, the innermost first, each as in counts(); why there are no more; how often
        it was sampled."""
        for _, count, place in _STACK.iter_unpack(self._view[_STACKS_AT:_FRAMES_AT]):
            if place and count:
                at, end, frames = _FRAMES_AT + ((place >> 16) - 1) * _FRAME.size, place >> 8 & 0xFF, place & 0xFF
                numbers = _FRAME.iter_unpack(self._view[at : at + frames * _FRAME.size])
                yield tuple(self._frame(number) for (number,) in numbers), STACK_ENDS[end], count

    def _frame(self, number: int) -> tuple[int | None, int]:
        return _place(_COUNT.unpack_from(self._view, _COUNTS_AT + number * _COUNT.size)[0])

    def counts(self) -> Iterator[tuple[int | None, int, str, int]]:
        """Of each address: the number of its module and the offset in the file, or None and an instruction pointer;
        the reason without a module; how often it was sampled."""
        for key, count in _COUNT.iter_unpack(self._view[_COUNTS_AT:_STACKS_AT]):
            if key and count:
                number, address = _place(key)
                yield number, address, REASONS[0 if number is not None else key >> _ADDRESS_BITS], count

    def modules(self) -> Iterator[tuple[Any, ...]]:
        """The reason of samples in it, and the fields of Module, of each."""
        position, end = _MODULES_AT, _MODULES_AT + _HEAD.unpack_from(self._view)[21]
        while position < end:
            size, *places, reason, length, main, id = _MODULE.unpack_from(self._view, position)
            name = bytes(self._view[position + _MODULE.size : position + size]).split(b"\0", 1)[0]
            path = undeleted(os.fsdecode(name))
            process, start, stop, offset, header, id_offset = places
            known = id[:length] if length else None
            yield REASONS[reason], process, start, stop, offset, header, id_offset, known, path, bool(main)
            position += size

    def watched(self) -> set[int]:
        """The PIDs of the processes that are sampled at this moment."""
        slots = _SLOT.iter_unpack(self._view[_SLOTS_AT : _SLOTS_AT + _SLOTS * _SLOT.size])
        return {pid for state, *_, pid in slots if state in _WATCHED}


def _place(key: int) -> tuple[int | None, int]:
    number, address = key >> _ADDRESS_BITS, key & (1 << _ADDRESS_BITS) - 1
    return number - _FIRST_MODULE if number >= _FIRST_MODULE else None, address


# ------------------------------------------------------------------------------------------------ its file

_PREFIX = "pybuildid-"
_YOUNG = 60  #: seconds in which a file may have no lock yet


def _new_path() -> str:
    """In memory (tmpfs): of a file on disk each page is write-protected whenever it is written back, and the next count
    in it faults. By a path, which also programs in other PID namespaces find."""
    folder = "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tempfile.gettempdir()
    _remove_left(folder)
    return os.path.join(folder, f"{_PREFIX}{secrets.token_hex(12)}")


def _remove_left(folder: str) -> None:
    """Removes the files of profilers that were killed: no process holds the lock that the server's thread takes."""
    for path in glob(os.path.join(escape(folder), _PREFIX + "*")):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            status = os.fstat(fd)
            if status.st_uid == os.geteuid() and time.time() - status.st_mtime > _YOUNG:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.unlink(path)
        except OSError:
            pass
        finally:
            os.close(fd)
