# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A sampling profiler whose signal handler turns addresses into (build ID, file offset): Profile and profile_command().

The handler is in C (csrc/profile). It takes the interrupted instruction pointer and the return addresses that frame
pointers lead to, and resolves and counts them there and then, without a lock, an allocation, a system call or a look at
a file. All the rest is done outside of the profiled process, by a thread of the profiler.
"""

from __future__ import annotations

import errno
import os
import re
import resource
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any

from pybuildid._starting import children_are_waited_for, start_command
from pybuildid.errors import ArgumentTypeError
from pybuildid.profile._observer import UNKNOWN, Observer, Unwatched
from pybuildid.profile._program import find_program, why_not_profiled
from pybuildid.profile._recording import (
    EVICT,
    MOST,
    PARSE,
    REASONS,
    STACK_ENDS,
    STACKS,
    TIMER,
    ProfileError,
    Recording,
    check_options,
    library,
)
from pybuildid.profile.places import main_module, unstrip_line

__all__ = [
    "MOST",
    "REASONS",
    "STACK_ENDS",
    "Module",
    "Profile",
    "ProfileError",
    "ProfileResult",
    "Sample",
    "Stack",
    "Unwatched",
    "profile_command",
]


NO_ROOM = "no room"  #: for a stack: there is its innermost frame alone


@dataclass(frozen=True)
class Sample:
    """An address that was interrupted.

    build_id: of the file it is in; None if it was not resolved, and then reason, one of REASONS, says why.
    address: in a file the offset there, also if the file has no build ID; else the instruction pointer.
    count: how often. module: the file's number in ProfileResult.modules, or None.
    """

    build_id: bytes | None
    address: int
    reason: str
    count: int
    module: int | None = None


@dataclass(frozen=True)
class Stack:
    """A call stack that was interrupted.

    frames: the innermost first; of each the file's number in ProfileResult.modules and the offset there, or None and an
        address. That of a caller is one less than the return address, so that it is in the call.
    end: one of STACK_ENDS, why there are no more. count: how often.
    """

    frames: tuple[tuple[int | None, int], ...]
    end: str
    count: int


@dataclass(frozen=True)
class Module:
    """An executable part of a file, as it was mapped in the first profiled process that had it.

    process: its PID. start, end, offset: addresses, and the offset in the file of the first one.
    header: where offset 0 of the file is mapped, 0 if nowhere. id_offset: of the build ID in the file.
    path: without " (deleted)". main: whether it is of the program that the process ran.
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
    parsed, not_in_memory, not_parsed: with parse=True, what looking into the file's first page on the spot came to.
    processes: how many counted. unwatched: those that did not. source: what interrupted them.
    perf_error, timer_error, evict_error: an errno: why a process got no perf events, not even a timer, or why
        evict=True did nothing; or 0.
    frequency: samples a second of CPU time. cpu_seconds: what the command, and the processes that it waited for, used
        in user mode; None for this process.
    counts: the addresses. modules: the files, oldest first; modules_lost: for want of room. views_lost: likewise, how
        often the mappings of a process were not taken note of.
    stacks: the same samples with their callers, but for stacks_lost of them, for want of room; none with stacks=False.
    began: seconds since 1970. seconds: how long it ran.
    """

    samples: int
    ticks: int
    by_reason: dict[str, int]
    lost: int
    late: int
    parsed: int
    not_in_memory: int
    not_parsed: int
    processes: int
    unwatched: list[Unwatched]
    source: str
    perf_error: int
    timer_error: int
    evict_error: int
    frequency: int
    cpu_seconds: float | None
    counts: list[Sample]
    modules: list[Module]
    modules_lost: int
    views_lost: int
    stacks: list[Stack]
    stacks_lost: int
    began: float
    seconds: float

    @property
    def resolved(self) -> int:
        return self.by_reason[REASONS[0]]

    @property
    def in_elf_code(self) -> int:
        """The samples in code that was mapped from a file: all but those in no mapping or in memory without a file."""
        return self.samples - self.by_reason["no mapping"] - self.by_reason["no file"]

    def module_of(self, sample: Sample) -> Module | None:
        """Where the sample's code is mapped, in the first process that had it so."""
        return None if sample.module is None else self.modules[sample.module]

    def write_pprof(self, path: str | os.PathLike[str]) -> None:
        """Writes profile.proto as gzip, which `go tool pprof` and others read. Addresses are those of the first process
        that had the file mapped; Mapping.build_id tells for which build. The main program is the first mapping. Code
        that a process made has the names that it wrote to /tmp/perf-PID.map, if that is still there."""
        from pybuildid.profile.pprof import PprofWriter  # what imports pybuildid does without them
        from pybuildid.symbols.perfmap import PerfMap, is_perf_map

        writer = PprofWriter(
            1_000_000_000 * max(self.ticks, 1) // (self.frequency * max(self.samples, 1)),
            int(self.began * 1e9),
            int(self.seconds * 1e9),
            (f"{self.resolved} of {self.samples} samples resolved in the signal handler, by {self.source}",),
        )
        numbers: dict[int, int] = {}
        main = main_module(self.modules)
        used = {number for frames, _, _ in self._all_stacks() for number, _ in frames if number is not None}
        for number, module in sorted(enumerate(self.modules), key=lambda item: item[1] is not main):
            if number in used or module is main:
                numbers[number] = writer.mapping(
                    module.start, module.end, module.offset, module.path, module.build_id or b""
                )
                if is_perf_map(module.path) and not module.build_id:
                    since = 0.0 if module.process == os.getpid() else self.began
                    writer.name(numbers[number], PerfMap.read(module.path, since).find)

        def frame(number: int | None, address: int) -> tuple[int, int]:
            if number is None:
                return address, 0
            return self.modules[number].start - self.modules[number].offset + address, numbers[number]

        for frames, count, labels in self._all_stacks():
            writer.stack([frame(*each) for each in frames], count, labels)
        writer.write(path)

    def _all_stacks(self) -> Iterator[tuple[tuple[tuple[int | None, int], ...], int, list[tuple[str, str]]]]:
        """Every sample once: the frames, how often, and labels for what is missing."""
        left = {(sample.module, sample.address): sample.count for sample in self.counts}
        reasons = {(sample.module, sample.address): sample.reason for sample in self.counts}

        def labels(place: tuple[int | None, int], end: str) -> list[tuple[str, str]]:
            reason = reasons.get(place, REASONS[0])
            fallback = [] if reason == REASONS[0] else [("fallback", reason)]
            return fallback + ([("stack", end)] if end else [])

        for stack in self.stacks:
            place = stack.frames[0]
            left[place] = left.get(place, 0) - stack.count
            yield stack.frames, stack.count, labels(place, "" if stack.end == STACK_ENDS[0] else stack.end)
        for place, count in left.items():
            if count > 0:
                yield (place,), count, labels(place, NO_ROOM if self.stacks else "")

    @property
    def by_stack_end(self) -> dict[str, int]:
        """How many of the samples have a stack that ends so, STACK_ENDS as keys."""
        ends = dict.fromkeys(STACK_ENDS, 0)
        for stack in self.stacks:
            ends[stack.end] += stack.count
        return ends

    def unstrip_lines(self) -> Iterator[str]:
        """The files in which samples were, one line each in the format of `eu-unstrip -n`: START+SIZE BUILDID@ADDRESS
        FILE DEBUGFILE MODULE, with START where the file's first byte would be, and "-" for what is not known. A line
        has five words: white space and backslashes in names are octal numbers, as in /proc/mounts: \\040 for a space,
        which `printf %b` turns back."""
        seen = set()
        for sample in sorted(self.counts, key=lambda sample: -sample.count):
            module = self.module_of(sample)
            if module and module.file not in seen and sample.reason != "no file":
                seen.add(module.file)
                yield unstrip_line(module)


# ------------------------------------------------------------------------------------------------ the counts


def _result(recording: Recording, cpu_seconds: float | None, unwatched: list[Unwatched]) -> ProfileResult:
    seconds, head = time.time() - recording.began, recording.head()
    modules, reasons = [], []
    for reason, *module in recording.modules():
        modules.append(Module(*module))
        reasons.append(reason)
    counts = []
    for number, address, reason, count in recording.counts():
        if number is None:
            counts.append(Sample(None, address, reason, count))
        else:
            counts.append(Sample(modules[number].build_id, address, reasons[number], count, module=number))
    stacks = [Stack(*stack) for stack in recording.stacks()]
    return ProfileResult(
        samples=head.samples,
        ticks=head.ticks,
        by_reason=head.by_reason,
        lost=head.lost,
        late=head.late,
        parsed=head.parsed,
        not_in_memory=head.not_in_memory,
        not_parsed=head.not_parsed,
        processes=head.processes,
        unwatched=_together(head.refused, unwatched),
        source=head.source,
        perf_error=head.perf_error,
        timer_error=head.error,
        evict_error=head.evict_error,
        frequency=head.frequency,
        cpu_seconds=cpu_seconds,
        counts=counts,
        modules=modules,
        modules_lost=head.modules_lost,
        views_lost=head.views_lost,
        stacks=stacks,
        stacks_lost=max(head.samples - sum(stack.count for stack in stacks), 0) if head.stacks else 0,
        began=recording.began,
        seconds=seconds,
    )


def _together(refused: dict[str, int], observed: list[Unwatched]) -> list[Unwatched]:
    """What the recording counted, and what was seen from outside, which may be the same processes: those that nothing
    is known of are those that were counted, if some were."""
    found = {each.reason: each for each in observed}
    for text, count in refused.items():
        if not count:
            continue
        seen = found.get(text) or found.pop(UNKNOWN, None) or Unwatched(text, 0, 0.0, "")
        found[text] = replace(seen, reason=text, processes=max(count, seen.processes))
    return sorted(found.values(), key=lambda each: -each.seconds)


# ------------------------------------------------------------------------------------------------ profiling


@contextmanager
def _preload() -> Iterator[str]:
    """A name of it that LD_PRELOAD takes: spaces and colons end one there, and a dollar sign stands for something."""
    path = library()
    if not re.search(r"[\s:$]", path):
        yield path
        return
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield f"/proc/{os.getpid()}/fd/{fd}"
    finally:
        os.close(fd)


def _flags(parse: bool, evict: bool, timer: bool, stacks: bool) -> int:
    return PARSE * parse | EVICT * evict | TIMER * timer | STACKS * stacks


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
    timer: use a CPU timer of the process (SIGPROF), even where perf events (SIGTRAP) are available. It is no finer than
        the kernel's tick, often 250 a second.
    stacks: take call stacks, by frame pointers.
    result: after the block.

    A thread, which is no thread of Python's, looks after it. It has descriptors of its own, so that the block may
    close, duplicate and count descriptors as it likes. The children of forks are not profiled.

    Raises ProfileError if it cannot start; one at a time can run in a process. Without the end of the block it runs
    until the object is gone, or the process ends.
    """

    _running: tuple[Recording, weakref.finalize[..., Any]] | None = None
    _result: ProfileResult | None = None

    def __init__(
        self,
        *,
        frequency: int = 997,
        follow: float = 0.1,
        parse: bool = False,
        evict: bool = False,
        timer: bool = False,
        stacks: bool = True,
    ) -> None:
        check_options(frequency, follow)
        self._options = (frequency, follow, _flags(parse, evict, timer, stacks))

    @property
    def result(self) -> ProfileResult:
        """After the block. Raises ProfileError before."""
        if self._result is None:
            raise ProfileError(errno.EAGAIN, "there is no result before the end of the block")
        return self._result

    def __enter__(self) -> Profile:
        recording = Recording(*self._options, shared=False)
        try:
            recording.start_here()
        except BaseException:
            recording.close()
            raise
        self._running = recording, weakref.finalize(self, _give_up, recording)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running is None:
            raise ProfileError(errno.EINVAL, "this profiler is not running")
        recording, finalizer = self._running
        self._running = None
        finalizer.detach()
        recording.stop()
        recording.stop_here()
        self._result = _result(recording, None, [])
        recording.close()


def _give_up(recording: Recording) -> None:
    """For a profile that is gone before the end of its block, or with the process."""
    recording.stop()
    recording.stop_here()
    recording.close()


def profile_command(
    command: Sequence[str | os.PathLike[str]],
    *,
    frequency: int = 997,
    follow: float = 0.1,
    parse: bool = False,
    evict: bool = False,
    timer: bool = False,
    stacks: bool = True,
) -> tuple[ProfileResult, int]:
    """Runs a command under the profiler, with the programs that it starts; the options are those of Profile.

    What it found, and the command's return code, as subprocess has it.

    A library is preloaded (LD_PRELOAD). A command that would not load it is not started: ProfileError says why. Of the
    programs that the command starts, those are in ProfileResult.unwatched. Besides the library's memory, its signal
    handler and two variables of the environment (PYBUILDID_PROFILE is the other), nothing in the programs is different
    from what it is without a profiler.
    """
    if isinstance(command, (str, bytes)) or not isinstance(command, Sequence):
        raise ArgumentTypeError(f"a command is a list of arguments, such as ['ls', '-l'], not {command!r}")
    command = [os.fsdecode(argument) for argument in command]
    if not command:
        raise ValueError("there is no command to run")
    program = find_program(command[0], os.environ)
    why = why_not_profiled(program) if program else None
    if why:
        raise ProfileError(errno.ENOEXEC, f"cannot be profiled, and was not started: it is {why}", command[0])
    with ExitStack() as stack:
        pass_on = stack.enter_context(_signals_are_passed_on())
        ignored = stack.enter_context(children_are_waited_for())
        recording = Recording(frequency, follow, _flags(parse, evict, timer, stacks), shared=True)
        stack.callback(recording.close)
        with _preload() as name:
            preload = " ".join(filter(None, [name, os.environ.get("LD_PRELOAD")]))
            environment = {
                **os.environ,
                "LD_PRELOAD": preload,
                "PYBUILDID_PROFILE": str(recording.path),
            }
            process = start_command(command, program, environment=environment, ignored=ignored)
            pass_on(process)
            with process, _descriptors():
                observer = Observer(process.pid, recording.watched, name)
                try:
                    cpu_seconds = _wait(process)
                finally:
                    unwatched = observer.stop()
        recording.stop()
        return _result(recording, cpu_seconds, unwatched), process.returncode


@contextmanager
def _signals_are_passed_on() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """A signal that ends the profiler is meant for the command: the command gets it, and the profile is written when
    the command has ended. Gives a function that takes the command; signals that came before are passed on then."""
    came: list[int] = []
    command: list[subprocess.Popen[bytes]] = []

    def pass_on(number: int, frame: object = None) -> None:
        if not command:
            came.append(number)
        elif command[0].returncode is None:
            os.kill(command[0].pid, number)  # a zombie at most: it is waited for afterwards

    def started(process: subprocess.Popen[bytes]) -> None:
        command.append(process)
        while came:
            pass_on(came.pop(0))

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:
                before[number] = signal.signal(number, pass_on)
    try:
        yield started
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextmanager
def _descriptors() -> Iterator[None]:
    """As many descriptors as may be: each thread that a profiled process has at its start takes one of ours. Not for
    the command, which has been started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Until the command ends. Its CPU time in user mode, with that of the processes that it waited for. Ctrl-C is for
    the command, which gets it as well; what was counted until then is still of interest."""
    while True:
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            continue
        process.returncode = os.waitstatus_to_exitcode(status)
        return usage.ru_utime
