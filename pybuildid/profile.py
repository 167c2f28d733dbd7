# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A sampling profiler whose signal handler turns addresses into (build ID, file offset): Profile and profile_command().

The handler is in C (csrc/profile). It takes the interrupted instruction pointer, and resolves and counts it there and
then, without a lock, an allocation or a look at a file. It takes no call stacks.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
import struct
import subprocess
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import TracebackType
from typing import Any

from cffi import FFI

from pybuildid.places import Place, Places, undeleted, unstrip_line
from pybuildid.pprof import PprofWriter

__all__ = ["REASONS", "Module", "Profile", "ProfileError", "ProfileResult", "Sample", "profile_command"]

#: What came of a sample, as enum bid_resolve_reason of the C header has it. All but the first are fallbacks.
REASONS = (
    "resolved",
    "no mapping",
    "no file",
    "unknown file",
    "stale",
    "no build ID",
    "long build ID",
)

#: Samples a second of CPU time. Each takes some 20 microseconds of it: a program whose samples take all of their period
#: would not get any further.
MOST = 10_000

_ENTRIES = 1 << 16
_MODULE_BYTES = 4 << 20
_HEADER = struct.Struct("<8sQQIIII5Q7Q5Q2Q")
_ENTRY = struct.Struct("<QQQiIQ64s")
_MODULE = struct.Struct("<IIQQQQQI64s")  # the path comes after it
_PARSE, _EVICT, _TIMER = 1, 2, 4
_SOURCES = {1: "perf events", 2: "a CPU timer of the process"}


class ProfileError(OSError):
    """The profiler could not start, or one is running already."""


@dataclass(frozen=True)
class Sample:
    """An address that was interrupted.

    build_id: of the file it is in; None if it was not resolved, and then reason, one of REASONS, says why.
    address: with a build ID the offset in that file, else the instruction pointer.
    count: how often.
    process: whose instruction pointer it is, if there is no build ID; 0 if that is not known.
    """

    build_id: bytes | None
    address: int
    reason: str
    count: int
    process: int = 0


@dataclass(frozen=True)
class Module:
    """An executable mapping of a profiled process.

    process: its PID. start, end, offset: addresses, and the offset in the file of the first one.
    header: where offset 0 of the file is mapped, 0 if nowhere. id_offset: of the build ID in the file.
    path: without " (deleted)". main: whether it is marked as the program that the process runs.
    """

    process: int
    start: int
    end: int
    offset: int
    header: int
    id_offset: int
    build_id: bytes | None
    path: str
    main: bool = False

    @property
    def file(self) -> bytes | str:
        """What files are told apart by: the build ID, or the path where there is none."""
        return self.build_id or self.path


@dataclass(frozen=True)
class ProfileResult:
    """What a profiler found.

    samples: taken. ticks: periods of CPU time that they stand for; more than samples where a timer was too coarse for
        the frequency. by_reason: how many of them came to what, REASONS as keys. lost: of the samples, those that are
        counted by reason but are not in counts, for want of room.
    late: signals that were due while the program had blocked them. They are not samples, for they came later; each may
        stand for several, since there is one for all of the time that a thread has SIGTRAP blocked.
    refused: programs that were started and not profiled, since they are written in Go.
    parsed, not_in_memory, not_parsed: with parse=True, what looking into the file's first page on the spot came to.
    processes: how many counted. source: what interrupted them. frequency: samples a second of CPU time.
    counts: the addresses. modules: the mappings, oldest first; modules_lost: for want of room.
    began: seconds since 1970. seconds: how long it ran.
    """

    samples: int
    ticks: int
    by_reason: dict[str, int]
    lost: int
    late: int
    refused: int
    parsed: int
    not_in_memory: int
    not_parsed: int
    processes: int
    source: str
    frequency: int
    counts: list[Sample]
    modules: list[Module]
    modules_lost: int
    began: float
    seconds: float

    @property
    def resolved(self) -> int:
        return self.by_reason[REASONS[0]]

    @property
    def in_elf_code(self) -> int:
        """The samples in code that was mapped from a file: all but those in no mapping or in memory without a file."""
        return self.samples - self.by_reason["no mapping"] - self.by_reason["no file"]

    def place_of(self, sample: Sample) -> Place | None:
        """In which mapping the sample is, in the first process that had it so, and at which offset of the file. Also of
        a file without a build ID, where the modules leave no doubt."""
        return self._places.of(sample)

    def module_of(self, sample: Sample) -> Module | None:
        """The mapping alone."""
        place = self.place_of(sample)
        return place.module if place else None

    @cached_property
    def _places(self) -> Places:
        return Places(self.modules)

    def write_pprof(self, path: str | os.PathLike[str]) -> None:
        """Writes profile.proto as gzip, which `go tool pprof` and others read. Addresses are those of the first process
        that had the file mapped; Mapping.build_id tells for which build. The main program is the first mapping."""
        writer = PprofWriter(
            1_000_000_000 * max(self.ticks, 1) // (self.frequency * max(self.samples, 1)),
            int(self.began * 1e9),
            int(self.seconds * 1e9),
            (f"{self.resolved} of {self.samples} samples resolved in the signal handler, by {self.source}",),
        )
        places = [(sample, self.place_of(sample)) for sample in self.counts]
        numbers: dict[Module, int] = {}
        for place in (self._places.main(), *(place for _, place in places)):
            if place and place.module not in numbers:
                module = place.module
                numbers[module] = writer.mapping(
                    module.start, module.end, module.offset, module.path, module.build_id or b""
                )
        for sample, place in places:
            labels = [] if sample.reason == REASONS[0] else [("fallback", sample.reason)]
            address, number = (place.address, numbers[place.module]) if place else (sample.address, 0)
            writer.sample(address, sample.count, number, labels)
        writer.write(path)

    def unstrip_lines(self) -> Iterator[str]:
        """The files in which samples were, one line each in the format of `eu-unstrip -n`: START+SIZE BUILDID@ADDRESS
        FILE DEBUGFILE MODULE, with START where the file's first byte would be, and "-" for what is not known. A line
        has five words: white space and backslashes in names are octal numbers, as in /proc/mounts: \\040 for a space,
        which `printf %b` turns back."""
        seen = set()
        for sample in sorted(self.counts, key=lambda sample: -sample.count):
            module = self.module_of(sample)
            if module and module.file not in seen:
                seen.add(module.file)
                yield unstrip_line(module)


# ------------------------------------------------------------------------------------------------ the counts


def _check_options(frequency: int, follow: float) -> None:
    if not isinstance(frequency, int):
        raise TypeError(f"frequency is {frequency!r}: an integer")
    if not 1 <= frequency <= MOST:
        raise ValueError(f"frequency is {frequency}: from 1 to {MOST:,} samples a second")
    if not 0.001 <= follow <= 3600:
        raise ValueError(f"follow is {follow}: from 0.001 to 3600 seconds")


class _Recording:
    """The file that profiled processes map and count in: memory of this process, which they reach by its descriptor."""

    def __init__(self, frequency: int, follow: float, parse: bool, evict: bool, timer: bool) -> None:
        _check_options(frequency, follow)
        flags = _PARSE * parse | _EVICT * evict | _TIMER * timer
        head = (b"BIDPROF1", _ENTRIES, _MODULE_BYTES, frequency, round(follow * 1000), flags, 0, *[0] * 19)
        self.fd = os.memfd_create("pybuildid-profile", os.MFD_CLOEXEC)
        os.truncate(self.fd, _HEADER.size + _ENTRIES * _ENTRY.size + _MODULE_BYTES)
        os.pwrite(self.fd, _HEADER.pack(*head), 0)
        self.began = time.time()

    def path(self, process: int | str = "self") -> str:
        return f"/proc/{process}/fd/{self.fd}"

    def result(self) -> ProfileResult:
        seconds = time.time() - self.began
        with mmap.mmap(self.fd, 0, prot=mmap.PROT_READ) as data:
            head = _HEADER.unpack_from(data)
            processes, sources, samples, ticks, lost = head[7:12]
            parsed, not_in_memory, not_parsed, used, modules_lost, late, refused = head[19:26]
            entries = data[_HEADER.size : _HEADER.size + _ENTRIES * _ENTRY.size]
            modules = data[_HEADER.size + _ENTRIES * _ENTRY.size :][: min(used, _MODULE_BYTES)]
        os.close(self.fd)
        return ProfileResult(
            samples=samples,
            ticks=ticks,
            by_reason=dict(zip(REASONS, head[12:19])),
            lost=lost + sum(_unnamed(entries)),
            late=late,
            refused=refused,
            parsed=parsed,
            not_in_memory=not_in_memory,
            not_parsed=not_parsed,
            processes=processes,
            source=" and ".join(name for bit, name in _SOURCES.items() if sources & bit),
            frequency=head[3],
            counts=list(_samples(entries)),
            modules=list(_modules(modules)),
            modules_lost=modules_lost,
            began=self.began,
            seconds=seconds,
        )


def _samples(data: bytes) -> Iterator[Sample]:
    for key, count, filled, reason, length, address, id in _ENTRY.iter_unpack(data):
        if key and filled:
            yield Sample(id[:length] if length else None, address, REASONS[reason], count)


def _unnamed(data: bytes) -> Iterator[int]:
    """Counts of entries whose process was ended after it took one and before it wrote down what of."""
    return (count for key, count, filled, *_ in _ENTRY.iter_unpack(data) if key and not filled)


def _modules(data: bytes) -> Iterator[Module]:
    position = 0
    while position + _MODULE.size <= len(data):
        size, process, start, end, offset, header, id_offset, length, id = _MODULE.unpack_from(data, position)
        if not size:
            return  # a process was ended while it wrote this one
        path = undeleted(os.fsdecode(data[position + _MODULE.size : position + size].split(b"\0", 1)[0]))
        yield Module(process, start, end, offset, header, id_offset, id[:length] if length else None, path)
        position += size


# ------------------------------------------------------------------------------------------------ profiling


def library() -> str:
    """The path of the shared library with the profiler, for LD_PRELOAD."""
    for path in sorted(Path(__file__).parent.glob("_profiler*.so")):
        return str(path)
    raise ProfileError(errno.ENOENT, "the profiler's library is not there: install pybuildid again")


@contextmanager
def _preload() -> Iterator[str]:
    """A name of it that LD_PRELOAD takes: spaces and colons end one there, and a dollar sign stands for something."""
    path = library()
    if not re.search(r"[\s:$]", path):
        yield path
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{fd}"  # as the recording is reached
    finally:
        os.close(fd)


@cache
def _agent() -> Any:
    ffi = FFI()
    ffi.cdef("int bid_profile_start(const char *path); void bid_profile_stop(void);")
    return ffi.dlopen(library())


class Profile:
    """Profiles this process, all its threads, for as long as the block runs.

        with Profile() as profile:
            work()
        print(profile.result.resolved, "of", profile.result.samples)
        profile.result.write_pprof("work.pb.gz")

    frequency: samples a second of CPU time, of each thread.
    follow: how often, in seconds, it looks for code that was mapped since; until then samples there are "no mapping".
    parse: for comparison, let each sample also parse the file's first page, if that is in memory.
    evict: for comparison, ask the kernel to drop these pages, from time to time.
    timer: use a CPU timer of the process (SIGPROF), even where perf events (SIGTRAP) are to be had. It is no finer than
        the kernel's tick, often 250 a second.
    result: after the block.

    Raises ProfileError if it cannot start; one at a time can run in a process. Without the end of the block it runs
    until the object is gone, or the process ends.
    """

    _running: tuple[_Recording, weakref.finalize[..., Any]] | None = None
    _result: ProfileResult | None = None

    def __init__(
        self,
        *,
        frequency: int = 997,
        follow: float = 0.1,
        parse: bool = False,
        evict: bool = False,
        timer: bool = False,
    ) -> None:
        _check_options(frequency, follow)
        self._options = (frequency, follow, parse, evict, timer)

    @property
    def result(self) -> ProfileResult:
        """After the block. Raises ProfileError before."""
        if self._result is None:
            raise ProfileError(errno.EAGAIN, "there is no result before the end of the block")
        return self._result

    def __enter__(self) -> Profile:
        recording = _Recording(*self._options)
        error = _agent().bid_profile_start(recording.path().encode())
        if error:
            os.close(recording.fd)
            what = "a profiler is running already" if error == errno.EBUSY else os.strerror(error)
            raise ProfileError(error, f"the profiler could not start: {what}")
        self._running = recording, weakref.finalize(self, _give_up, recording.fd)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is None:
            raise ProfileError(errno.EINVAL, "this profiler is not running")
        recording, finalizer = self._running
        self._running = None
        finalizer.detach()
        _agent().bid_profile_stop()
        self._result = recording.result()


def _give_up(fd: int) -> None:
    """For a profile that is gone before the end of its block, or with the process."""
    _agent().bid_profile_stop()
    os.close(fd)


def profile_command(
    command: Sequence[str | os.PathLike[str]],
    *,
    frequency: int = 997,
    follow: float = 0.1,
    parse: bool = False,
    evict: bool = False,
    timer: bool = False,
) -> tuple[ProfileResult, int]:
    """Runs a command under the profiler, with the programs that it starts; the options are those of Profile.

    What it found, and the command's return code, as subprocess has it. The library is preloaded (LD_PRELOAD), so a
    command that is linked statically, or set-user-ID, or that clears its environment is not profiled: processes is 0.
    """
    if not command:
        raise ValueError("there is no command to run")
    recording = _Recording(frequency, follow, parse, evict, timer)
    try:
        with _preload() as name:
            preload = " ".join(filter(None, [name, os.environ.get("LD_PRELOAD")]))
            environment = {**os.environ, "LD_PRELOAD": preload, "PYBUILDID_PROFILE": recording.path(os.getpid())}
            with subprocess.Popen(command, env=environment) as process:
                code = _wait(process)
    except BaseException:
        os.close(recording.fd)
        raise
    return recording.result(), code


def _wait(process: subprocess.Popen[bytes]) -> int:
    """Ctrl-C is for the command, which gets it as well; what was counted until then is still of interest."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
