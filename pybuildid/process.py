# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a process has mapped where, and addresses as (build ID, file offset): mappings() and normalize()."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from typing import TYPE_CHECKING, Any

from pybuildid._columns import integers
from pybuildid._core import ffi, lib
from pybuildid._rights import as_root
from pybuildid.errors import ArgumentTypeError

if TYPE_CHECKING:
    from typing import SupportsIndex

    from pybuildid._columns import Integers

__all__ = [
    "Location",
    "Mapping",
    "ProcessAccessError",
    "ProcessError",
    "ProcessGoneError",
    "mappings",
    "normalize",
]

SOURCES = {"auto": lib.BID_PROCESS_AUTO, "query": lib.BID_PROCESS_QUERY, "text": lib.BID_PROCESS_TEXT}


class ProcessError(OSError):
    """The mappings of a process could not be read. pid: which."""

    def __init__(self, number: int, message: str, pid: int) -> None:
        super().__init__(number, message)
        self.pid = pid

    def __str__(self) -> str:
        return f"process {self.pid}: {self.strerror}"

    def __reduce__(self) -> tuple[type[ProcessError], tuple[int | None, str | None, int]]:
        return type(self), (self.errno, self.strerror, self.pid)


class ProcessGoneError(ProcessError, ProcessLookupError):
    """There is no such process, or it ended meanwhile."""


class ProcessAccessError(ProcessError, PermissionError):
    """This process may not read the mappings of that one."""


@dataclass(frozen=True)
class Mapping:
    """One mapping of a process.

    start, end: the addresses, end excluded.
    permissions: as in /proc/PID/maps, such as "r-xp".
    offset: of the file, in bytes, that is mapped at start.
    device: as /proc/PID/maps has it, for os.major() and os.minor(); 0 without a file. stat() may give another one for
        the same file (btrfs, overlayfs), and on btrfs files of two subvolumes may share device and inode.
    inode: the inode number; 0 without a file.
    generation: of the inode (FS_IOC_GETVERSION); None where the file system does not tell, or the file is out of reach.
    path: as the process sees it, without " (deleted)"; "" or a name in brackets without a file.
    deleted: whether that path has been removed since.
    build_id: None if there is none, or none could be read: then problem says why.
    problem: why the build ID is not known, as a phrase; None if it is, or if there is none.
    """

    start: int
    end: int
    permissions: str
    offset: int
    device: int
    inode: int
    generation: int | None
    path: str
    deleted: bool
    build_id: bytes | None
    problem: str | None

    @property
    def is_file(self) -> bool:
        return self.inode != 0


@dataclass(frozen=True)
class Location:
    """The meaning of an address on any machine: an offset in the file that has this build ID.

    build_id, offset: None if the address is not in a mapped file (or the vDSO) with a build ID.
    mapping: None if nothing is mapped there.
    """

    address: int
    build_id: bytes | None
    offset: int | None
    mapping: Mapping | None


def mappings(pid: int | None = None, *, source: str = "auto") -> list[Mapping]:
    """Everything that a process has mapped, by address. pid: None is this process.

    source: "query" asks the kernel for each mapping and its build ID (the PROCMAP_QUERY request, Linux 6.11), "text"
        parses /proc/PID/maps and reads the files; "auto" takes the first that the kernel has.

    Files are opened by /proc/PID/map_files, which needs CAP_CHECKPOINT_RESTORE, else by their path, and then believed
    only if the file, mapped here, shows the same device and inode as there. On btrfs and overlayfs, where two files may
    show the same, an ID in the process's memory comes first. The list is no snapshot: a process that
    runs may map and unmap meanwhile. A kernel thread has no mappings.

    Raises ProcessGoneError, ProcessAccessError (see ptrace(2), "Ptrace access mode checking"), other OSError.
    """
    with _maps_of(pid, source) as maps:
        return [_mapping(lib.bid_process_maps_at(maps, i)) for i in range(lib.bid_process_maps_count(maps))]


def normalize(pid: int | None, addresses: Integers) -> list[Location]:
    """Addresses of a process as (build ID, file offset), in the order given. pid: None is this process.

    addresses: integers, in a list, buffer or array, as keys of Table.lookup_many().

    The mappings are read once. Raises what mappings() raises, and ArgumentTypeError or ArgumentRangeError for a value
    that is no address of 64 bits.
    """
    numbers = memoryview(integers(addresses, 64, "addresses"))
    with _maps_of(pid, "auto") as maps:
        return [_location(number, lib.bid_process_maps_find(maps, number)) for number in numbers]


def _location(address: int, found: Any) -> Location:
    if not found:
        return Location(address, None, None, None)
    mapping = _mapping(found)
    if mapping.build_id is None:
        return Location(address, None, None, mapping)
    return Location(address, mapping.build_id, address - mapping.start + mapping.offset, mapping)


@contextmanager
def _maps_of(pid: int | None, source: str) -> Iterator[Any]:
    """The list that C makes, while it is needed."""
    if source not in SOURCES:
        raise ValueError(f'source must be "auto", "query" or "text", not {source!r}')
    number = os.getpid() if pid is None else _pid(pid)
    maps = ffi.new("struct bid_process_maps **")
    known = 0 <= number < 2**31
    status = lib.bid_process_maps_read(maps, number, SOURCES[source]) if known else lib.BID_PROCESS_E_GONE
    if status != lib.BID_PROCESS_OK:
        raise _error(status, ffi.errno if known else errno.ESRCH, number)
    try:
        yield maps[0]
    finally:
        lib.bid_process_maps_free(maps[0])


def _pid(value: SupportsIndex) -> int:
    try:
        return index(value)
    except TypeError:
        raise ArgumentTypeError(f"pid must be an integer, not {type(value).__name__}") from None


def _error(status: int, number: int, pid: int) -> Exception:
    text = ffi.string(lib.bid_process_status_text(status)).decode()
    if status == lib.BID_PROCESS_E_NO_MEMORY:
        return MemoryError(text)
    if status == lib.BID_PROCESS_E_ACCESS:
        return ProcessAccessError(number, f"{text}: {as_root('run as its user or as root')}", pid)
    if status in (lib.BID_PROCESS_E_GONE, lib.BID_PROCESS_E_ENDED):
        return ProcessGoneError(number if status == lib.BID_PROCESS_E_GONE else errno.ESRCH, text, pid)
    if status == lib.BID_PROCESS_E_NO_QUERY:
        return ProcessError(errno.ENOTTY, text, pid)
    return ProcessError(number, f"{text}: {os.strerror(number)}", pid)


def _mapping(found: Any) -> Mapping:
    return Mapping(
        start=found.start,
        end=found.end,
        permissions=ffi.string(found.permissions).decode(),
        offset=found.offset,
        device=os.makedev(found.device >> 32, found.device & 0xFFFFFFFF),
        inode=found.inode,
        generation=found.id.generation if found.generation_known else None,
        path=os.fsdecode(ffi.string(found.path)),
        deleted=bool(found.deleted),
        build_id=bytes(found.id.bytes[0 : found.id.length]) if found.elf_status == lib.BID_ELF_OK else None,
        problem=_problem(found),
    )


def _problem(found: Any) -> str | None:
    text = lib.bid_process_maps_problem(found)
    if text:
        where = "" if found.elf_status == lib.BID_ELF_E_IO else f", at offset {found.elf_offset:#x}"
        return f"{ffi.string(text).decode()}{where}"
    return os.strerror(found.errnum) if found.elf_status == lib.BID_ELF_E_IO else None
