# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The recorder of csrc/record, from Python: one object for its life, and its counters."""

from __future__ import annotations

import errno
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pybuildid._recorder import ffi, lib

PROGRAMS = Path(__file__).with_name("record.bpf.o")

#: What became of a frame, as enum bid_frame_reason has it. All but the first say why the table gave no build ID.
REASONS = (
    "resolved",
    "of a process whose mappings were not known yet",
    "in no executable mapping",
    "in mappings that were being changed",
    "in memory without a file",
    "in a file that was not known yet, or could not be read",
    "in another state of the file than the known one",
    "in a file without a build ID",
    "in a file whose build ID is longer than 20 bytes",
    "lost to a damaged table",
    "in a file whose file system does not answer",
)
SOURCES = ("none", "table", "kernel")  #: of a build ID: enum bid_frame_source

COUNTS = (
    *("samples", "lost", "no_stack", "events_lost", "stores", "no_room", "own_stores", "removed"),
    *("frames", "table_valid", "kernel_valid", "kernel_absurd", "both_valid", "wrong", "table_ns", "kernel_ns"),
)


DESCRIPTORS = 66  #: that a recorder has open, and one more for each CPU


class RecordError(OSError):
    """Samples cannot be taken on this system. Its text says what is missing, and what would help."""

    def __str__(self) -> str:
        return str(self.strerror)


class ThreadError(OSError):
    """A thread was named as the process to record."""

    def __str__(self) -> str:
        return str(self.strerror)


@dataclass(frozen=True)
class Status:
    """What the recorder has counted so far.

    counts: of the BPF programs, by the names in COUNTS. outcomes: user frames, by (reason, source), as indices of
    REASONS and SOURCES. samples, frames: collected. stacks: different ones. files: known. entries: of the table.
    read, unreadable (its process had ended), denied, changed, refused (the table is full): what became of files whose
    build ID was asked for. silent: files whose file system does not answer.
    scans: of one process's mappings. resyncs: times that all mappings were entered anew.
    cpu_seconds: of the thread that collects, and of the processes that read files for it.
    hardware: whether a hardware counter of cycles takes the samples.
    areas: whether the mappings of processes that were there before could be entered, by a BPF iterator.
    """

    counts: dict[str, int]
    outcomes: dict[tuple[int, int], int]
    samples: int
    frames: int
    stacks: int
    files: int
    entries: int
    read: int
    unreadable: int
    denied: int
    changed: int
    refused: int
    silent: int
    scans: int
    resyncs: int
    no_memory: int
    cpu_seconds: float
    cpus: int
    hardware: bool
    areas: bool

    @property
    def with_build_id(self) -> int:
        """User frames that have a build ID, from the table or the kernel."""
        return sum(count for (_, source), count in self.outcomes.items() if source)

    @property
    def lost(self) -> int:
        return self.counts["lost"] + self.no_memory


def check_process(pid: int) -> None:
    """Raises OSError if there is no such process, or ThreadError if it is a thread of one: samples go by processes."""
    os.stat(f"/proc/{pid}")
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as status:
        leader = next(int(line.split()[1]) for line in status if line.startswith("Tgid:"))
    if leader != pid:
        raise ThreadError(errno.EINVAL, f"{pid} is a thread of process {leader}: give the process")


def _need_descriptors() -> None:
    """One sentence at the beginning, instead of what any of forty calls would say."""
    needed = DESCRIPTORS + (os.cpu_count() or 1)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    free = limit - len(os.listdir("/proc/self/fd"))
    if free < needed:
        what = f"{needed} descriptors are needed, and {max(free, 0)} may be opened: raise the limit, `ulimit -n`"
        raise RecordError(errno.EMFILE, what)


class Recorder:
    """Samples are taken between start() and stop(). Everything is given back by close()."""

    def __init__(
        self, *, frequency: int, only: bool = False, compare: bool = False, clock: bool = False, memory: int = 0,
        breakpoint: int = 0, rescan: bool = False, programs: Path | None = None,
    ) -> None:  # fmt: skip
        try:
            loaded = (programs or PROGRAMS).read_bytes()
        except FileNotFoundError as error:
            what = "this pybuildid was built without BPF programs: install clang and libbpf-dev, and build it again"
            raise RecordError(error.errno, what) from None
        _need_descriptors()
        options = ffi.new("struct bid_recorder_options *")
        options.frequency, options.region_bytes, options.breakpoint = frequency, memory, breakpoint
        options.clock = clock
        flags = ((only, lib.BID_RECORD_ONLY), (compare, lib.BID_RECORD_COMPARE), (rescan, lib.BID_RECORD_RESCAN))
        options.flags = sum(flag for wanted, flag in flags if wanted)
        self._why = ffi.new("char[512]")
        self._recorder = lib.bid_recorder_create(loaded, len(loaded), options, self._why, len(self._why))
        if not self._recorder:
            raise self._error()

    def _error(self) -> RecordError:
        return RecordError(ffi.errno, ffi.string(self._why).decode())

    def target(self, pid: int) -> None:
        """Samples this process, and those that it will start. Raises OSError, ThreadError."""
        check_process(pid)
        if lib.bid_recorder_target(self._recorder, pid):
            raise OSError(ffi.errno, os.strerror(ffi.errno))

    def start(self) -> None:
        if lib.bid_recorder_start(self._recorder, self._why, len(self._why)):
            raise self._error()

    def stop(self) -> None:
        lib.bid_recorder_stop(self._recorder)

    def close(self) -> None:
        recorder, self._recorder = self._recorder, ffi.NULL
        lib.bid_recorder_destroy(recorder)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def status(self) -> Status:
        raw = ffi.new("struct bid_recorder_status *")
        lib.bid_recorder_status(self._recorder, raw)
        sources = len(SOURCES)
        outcomes = {divmod(i, sources): raw.outcomes[i] for i in range(lib.BID_OUTCOMES) if raw.outcomes[i]}
        return Status(
            counts=dict(zip(COUNTS, raw.counts)),
            outcomes=outcomes,
            samples=raw.collected,
            frames=raw.frames,
            stacks=raw.stacks,
            files=raw.files,
            entries=raw.entries,
            read=raw.files_read,
            unreadable=raw.files_unreadable,
            denied=raw.files_denied,
            changed=raw.files_changed,
            refused=raw.files_refused,
            silent=raw.files_silent,
            scans=raw.scans,
            resyncs=raw.resyncs,
            no_memory=raw.no_memory,
            cpu_seconds=raw.cpu_ns / 1e9,
            cpus=raw.cpus,
            hardware=bool(raw.hardware),
            areas=bool(raw.areas),
        )

    def made(self) -> list[int]:
        """The processes in which code was seen that no file has."""
        if not self._recorder:
            return []
        processes = ffi.new("uint32_t[]", lib.BID_MADE)
        return list(processes[0 : lib.bid_recorder_made(self._recorder, processes)])

    def reader(self) -> int:
        """A process that reads the files of csrc/record/names.h: the descriptor of its socket. Raises OSError."""
        if not self._recorder:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        socket = int(lib.bid_recorder_reader(self._recorder))
        if socket < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        return socket

    def known(self, inode: int) -> bool:
        """For tests: whether the table has this address of an inode."""
        found = ffi.new("struct bid_build_id *")
        return bool(lib.bid_lookup(lib.bid_recorder_table(self._recorder), inode, found) != lib.BID_ABSENT)

    def churn(self, entries: int) -> None:
        """For tests: so many entries with keys that no inode has come into the table, and go again."""
        table = lib.bid_recorder_table(self._recorder)
        keys = ffi.new("uint64_t[]", [(1 << 62) + i for i in range(entries)])
        ids = ffi.new("uint8_t[]", bytes(20) * entries)
        lib.bid_insert_many(table, keys, entries, ids, 20, ffi.NULL, ffi.NULL)
        for key in keys:
            lib.bid_remove(table, key)
        lib.bid_shrink(table)

    def result(self) -> Any:
        """The raw stacks, frames and files, valid until close(); after stop()."""
        raw = ffi.new("struct bid_recorder_result *")
        lib.bid_recorder_result(self._recorder, raw)
        return raw
