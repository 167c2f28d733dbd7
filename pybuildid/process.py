# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a process has mapped where, and addresses as (build ID, file offset): mappings() and normalize()."""

from __future__ import annotations

import errno
import os
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from pybuildid import _procfs
from pybuildid._arguments import uint
from pybuildid._procfs import Area, Process, ProcessAccessError, ProcessError, ProcessGoneError
from pybuildid.elf import ElfError, NotElfError, read_build_id

__all__ = [
    "Location",
    "Mapping",
    "ProcessAccessError",
    "ProcessError",
    "ProcessGoneError",
    "mappings",
    "normalize",
]

IMAGE_BYTES = 1 << 16  # of an image in memory: the notes are near its beginning
TRIES = 4  # to read a file that changes meanwhile


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
    """An address as what it means on any machine: an offset in the file that has this build ID.

    build_id, offset: None if the address is not in a mapped file (or the vDSO) with a build ID.
    mapping: None if nothing is mapped there.
    """

    address: int
    build_id: bytes | None
    offset: int | None
    mapping: Mapping | None


@dataclass(frozen=True)
class _File:
    """What all mappings of a file have in common."""

    generation: int | None
    path: str
    deleted: bool
    build_id: bytes | None
    problem: str | None


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
    with _procfs.open_process(os.getpid() if pid is None else pid) as process:
        files = _Files(process)
        return [_mapping(process, area, files) for area in _areas(process, source)]


def normalize(pid: int | None, addresses: Iterable[int]) -> list[Location]:
    """Addresses of a process as (build ID, file offset), in the order given. pid: None is this process.

    The mappings are read once. Raises what mappings() raises, and ArgumentTypeError or ArgumentRangeError for what is
    no address of 64 bits.
    """
    numbers = [uint(address, 64, "an address") for address in addresses]
    found = mappings(pid)
    starts = [mapping.start for mapping in found]
    return [_location(number, found, starts) for number in numbers]


def _location(address: int, found: list[Mapping], starts: list[int]) -> Location:
    i = bisect_right(starts, address) - 1
    if i < 0 or address >= found[i].end:
        return Location(address, None, None, None)
    mapping = found[i]
    if mapping.build_id is None:
        return Location(address, None, None, mapping)
    return Location(address, mapping.build_id, address - mapping.start + mapping.offset, mapping)


def _areas(process: Process, source: str) -> Iterator[Area]:
    if source not in ("auto", "query", "text"):
        raise ValueError(f'source must be "auto", "query" or "text", not {source!r}')
    if source == "query" or (source == "auto" and process.has_query()):
        return process.query_areas()
    return process.text_areas()


class _Files:
    """The files of a process, each read once: for all mappings that follow one of its beginning.

    Device, inode number and path do not name a file for good. While the list is made a file may go, and another one may
    get its number and its path; and on btrfs and overlayfs two files may have the same. So what was read is taken for
    another mapping only if the kernel's answer is the same for both, if the mappings have one beginning, and if the
    file is in the state in which it was read.
    """

    def __init__(self, process: Process) -> None:
        self._process = process
        self._beginnings: dict[tuple[int, int, str], int] = {}
        self._read: dict[tuple[int, int, str, int | None, bytes | None], tuple[_procfs.State | None, _File]] = {}

    def of(self, area: Area) -> _File:
        name = area.device, area.inode, area.name
        if area.offset == 0:
            self._beginnings[name] = area.start
        key = (*name, self._beginnings.get(name), area.build_id)
        path, deleted = self._process.path_of(area)
        state = self._process.state_of(area, path)
        if key not in self._read or self._read[key][0] != state:
            self._read[key] = state, _file(self._process, area, _File(None, path, deleted, area.build_id, None))
        return self._read[key][1]


def _mapping(process: Process, area: Area, files: _Files) -> Mapping:
    if area.inode:
        file = files.of(area)
    elif area.name == "[vdso]":
        file = _vdso(process, area)
    else:
        file = _File(None, area.name, False, None, None)
    return Mapping(
        start=area.start,
        end=area.end,
        permissions=area.permissions,
        offset=area.offset,
        device=area.device,
        inode=area.inode,
        generation=file.generation,
        path=file.path,
        deleted=file.deleted,
        build_id=file.build_id,
        problem=file.problem,
    )


def _vdso(process: Process, area: Area) -> _File:
    """It has no file: the ELF image in memory is all there is."""
    try:
        return _File(None, area.name, False, read_build_id(process.memory(area.start, area.end), image=True), None)
    except (OSError, ElfError) as error:
        return _File(None, area.name, False, None, _phrase(error))


def _file(process: Process, area: Area, known: _File) -> _File:
    try:
        descriptor = process.open_mapped(area, known.path)
    except OSError as error:
        return known if known.build_id else replace(known, problem=_phrase(error))
    try:
        known = replace(known, generation=_procfs.generation(descriptor))
        # The kernel finds IDs of at most 20 bytes, and no Go build IDs.
        return known if known.build_id else replace(known, build_id=_build_id(process, area, descriptor))
    except NotElfError:
        return known
    except (OSError, ElfError) as error:
        return replace(known, problem=_phrase(error))
    finally:
        os.close(descriptor)


def _build_id(process: Process, area: Area, descriptor: int) -> bytes | None:
    """From memory where the file that was opened need not be the one that is mapped: see _procfs.is_ambiguous()."""
    if area.offset == 0 and _procfs.is_ambiguous(descriptor, area):
        with suppress(OSError, ElfError):
            image = process.memory(area.start, min(area.end, area.start + IMAGE_BYTES))
            if (build_id := read_build_id(image, image=True)) is not None:
                return build_id
    for _ in range(TRIES):
        before = _procfs.state(os.fstat(descriptor))
        build_id = read_build_id(descriptor, unpack=False)
        if _procfs.state(os.fstat(descriptor)) == before:
            return build_id
    raise OSError(errno.EAGAIN, "the file changes while it is read")


def _phrase(error: OSError | ElfError) -> str:
    if isinstance(error, ElfError):
        return f"{error.reason}, at offset {error.offset:#x}"
    return error.strerror or errno.errorcode.get(error.errno or 0, str(error))
