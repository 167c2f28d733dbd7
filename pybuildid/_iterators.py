# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The tasks of this system and the files that they hold, as BPF iterators find them in the kernel (csrc/iterators).

The programs change nothing. They are gone when their descriptors are closed, so also when this process is killed.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pybuildid._recorder import ffi, lib
from pybuildid._rights import as_root

PROGRAMS = Path(__file__).with_name("iterators.bpf.o")
RECORD = struct.Struct("=6Q6I")  #: struct bid_holder
AT_ONCE = 1024 * RECORD.size  #: bytes of a read: whole records, however large the kernel's own buffer is
MINOR_BITS = 20  # of the kernel's own device numbers
UNCOUNTED = int(lib.BID_HOLDER_UNCOUNTED)


class IteratorError(OSError):
    """BPF iterators cannot be had here. what: why not; remedy: what would help."""

    def __init__(self, number: int | None, what: str, remedy: str) -> None:
        super().__init__(number, f"{what}: {remedy}")
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        return str(self.strerror)


class Holder(NamedTuple):
    """A task, or its descriptor or mapping, which holds a file: struct bid_holder in csrc/iterators/holder.h."""

    file: int
    inode: int
    number: int
    owner: int
    start: int
    end: int
    process: int
    task: int
    kernel_device: int
    generation: int
    mode: int
    flags: int

    @property
    def device(self) -> int:
        """As in st_dev."""
        return os.makedev(self.kernel_device >> MINOR_BITS, self.kernel_device & ((1 << MINOR_BITS) - 1))

    @property
    def is_counted(self) -> bool:
        """Whether the kernel's counter of struct files (/proc/sys/fs/file-nr) has this file."""
        return not self.flags & UNCOUNTED


class Iterators:
    """The programs, loaded until close(). Raises IteratorError. Each of tasks(), descriptors() and areas() is a new
    pass over the system, which goes on meanwhile. One thread uses an object."""

    def __init__(self, programs: Path = PROGRAMS) -> None:
        try:
            loaded = programs.read_bytes()
        except FileNotFoundError as error:
            remedy = "install clang and libbpf-dev, and build it again"
            raise IteratorError(error.errno, "this pybuildid was built without BPF programs", remedy) from None
        why = ffi.new("char[512]")
        self._iterators = lib.bid_iterators_create(loaded, len(loaded), why, len(why))
        if not self._iterators:
            what, _, remedy = ffi.string(why).decode().partition(": ")
            refused = isinstance(OSError(ffi.errno, ""), PermissionError)
            raise IteratorError(ffi.errno, what, as_root(remedy) if refused else remedy)

    def tasks(self) -> Iterator[Holder]:
        """Every task: process and task are set."""
        return self._read(lib.BID_ITERATE_TASKS)

    def descriptors(self) -> Iterator[Holder]:
        """Every open descriptor. Those of a table that processes share come once for each process."""
        return self._read(lib.BID_ITERATE_DESCRIPTORS)

    def areas(self) -> Iterator[Holder]:
        """Every mapping of a file. Those of an mm that processes share come once for each process."""
        return self._read(lib.BID_ITERATE_AREAS)

    def _read(self, which: int) -> Iterator[Holder]:
        descriptor = lib.bid_iterators_open(self._iterators, which)
        if descriptor < 0:
            raise OSError(ffi.errno, os.strerror(ffi.errno))
        try:
            while True:
                try:
                    data = os.read(descriptor, AT_ONCE)
                except BlockingIOError:  # a million things without a record
                    continue
                if not data:
                    return
                yield from map(Holder._make, RECORD.iter_unpack(data))
        finally:
            os.close(descriptor)

    def close(self) -> None:
        lib.bid_iterators_destroy(self._iterators)
        self._iterators = ffi.NULL

    def __enter__(self) -> Iterators:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
