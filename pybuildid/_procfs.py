# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""One process as /proc shows it: its memory areas, from PROCMAP_QUERY or from text, and the files behind them.

Everything is opened relative to one descriptor of /proc/PID, so that a process whose number is given to another one
meanwhile is not mistaken for it.
"""

from __future__ import annotations

import array
import errno
import mmap
import os
import re
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fcntl import ioctl
from pathlib import Path

from pybuildid._core import ffi
from pybuildid._rights import as_root

DELETED = " (deleted)"  # what the kernel appends to the path of a file that was removed


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
class Area:
    """A memory area as the kernel shows it. build_id: the kernel's answer, None if it was not asked or has none."""

    start: int
    end: int
    permissions: str
    offset: int
    device: int
    inode: int
    name: str
    build_id: bytes | None


# ------------------------------------------------------------------------------------------ PROCMAP_QUERY

# struct procmap_query of include/uapi/linux/fs.h, Linux 6.11: size, query_flags, query_addr | vma_start, vma_end,
# vma_flags, vma_page_size, vma_offset, inode | dev_major, dev_minor, vma_name_size, build_id_size | vma_name_addr,
# build_id_addr
QUERY = struct.Struct("=9Q4I2Q")
PROCMAP_QUERY = 0xC0000000 | QUERY.size << 16 | ord("f") << 8 | 17  # _IOWR('f', 17, struct procmap_query)
COVERING_OR_NEXT = 0x10
FLAGS = ((1, "r"), (2, "w"), (4, "x"))
SHARED = 8
NAME_MAX = 4096 + len(DELETED) + 1
ID_MAX = 20

FS_IOC_GETVERSION = 0x80000000 | struct.calcsize("l") << 16 | ord("v") << 8 | 1  # _IOR('v', 1, long): see ioctl(2)

LINE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (....) ([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+) (\d+) *(.*)", re.DOTALL)


def generation(descriptor: int) -> int | None:
    """The generation of an open file's inode, or None where the file system does not tell."""
    number = array.array("I", [0, 0])  # the request says long, file systems write an int
    try:
        ioctl(descriptor, FS_IOC_GETVERSION, number)
    except OSError:
        return None
    return number[0]


State = tuple[int, int, int, int]  #: of a file: device and number of its inode, size, and time of the last change


def state(status: os.stat_result) -> State:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


OVERLAYFS = b"overlay"


class _Query:
    """The request with its buffers."""

    def __init__(self, maps: int) -> None:
        self._maps = maps
        self._name = ffi.new("char[]", NAME_MAX)
        self._id = ffi.new("uint8_t[]", ID_MAX)
        self._addresses = [int(ffi.cast("uintptr_t", buffer)) for buffer in (self._name, self._id)]

    def area(self, address: int) -> Area | None:
        """The area at this address, or else the next one."""
        sizes = (NAME_MAX, ID_MAX)
        request = bytearray(QUERY.pack(QUERY.size, COVERING_OR_NEXT, address, *[0] * 6, 0, 0, *sizes, *self._addresses))
        try:
            ioctl(self._maps, PROCMAP_QUERY, request)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        (_, _, _, start, end, flags, _, offset, inode, major, minor, name_size, id_size, _, _) = QUERY.unpack(request)
        permissions = "".join(letter if flags & bit else "-" for bit, letter in FLAGS) + "ps"[bool(flags & SHARED)]
        return Area(
            start,
            end,
            permissions,
            offset,
            os.makedev(major, minor),
            inode,
            os.fsdecode(ffi.string(self._name)) if name_size else "",
            bytes(ffi.buffer(self._id, id_size)) if id_size else None,
        )


def parse_line(line: str) -> Area:
    """A line of /proc/PID/maps, without its newline. In names the kernel writes a newline as \\012, and only that: so a
    name that has these four characters is taken for one with a newline."""
    match = LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"not a line of /proc/PID/maps: {line!r}")
    start, end, offset, major, minor = (int(match[i], 16) for i in (1, 2, 4, 5, 6))
    name = match[8].replace("\\012", "\n")
    return Area(start, end, match[3], offset, os.makedev(major, minor), int(match[7]), name, None)


def read_areas(maps: str | os.PathLike[str] | int) -> list[Area]:
    """All areas in a file like /proc/PID/maps, by its path or an open descriptor, which is closed."""
    with open(maps, "rb") as file:
        text = file.read()
    return [parse_line(os.fsdecode(line)) for line in text.split(b"\n")[:-1]]  # names have other ends of lines


def areas_by_process(proc: Path) -> Iterator[tuple[Path, list[Area] | OSError]]:
    """The areas of each process that is still there; or why they may not be read."""
    for process in proc.glob("[0-9]*"):
        try:
            yield process, read_areas(process / "maps")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended
        except OSError as error:
            yield process, error


# ------------------------------------------------------------------------------------------- the process

PF_KTHREAD = 0x00200000  # include/linux/sched.h, shown in /proc/PID/stat: see proc_pid_stat(5)


def _state(directory: int) -> tuple[str, int]:
    """The state letter and the flags of a process. Its name, in parentheses, may contain anything."""
    with open(os.open("stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory), "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    return fields[0].decode(), int(fields[6])


@contextmanager
def open_process(pid: int) -> Iterator[Process]:
    """Opens /proc/PID. Errors inside that mean that the process is gone or out of reach are raised as just that."""
    opened: list[int] = []
    try:
        opened.append(os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        state, flags = _state(opened[0])
        if state in "ZX":
            raise ProcessGoneError(errno.ESRCH, "it has ended, and waits for its parent", pid)
        if flags & PF_KTHREAD:  # it has no memory of its own: some kernels show it as empty, others refuse
            yield Process(opened[0], None)
            return
        opened.append(os.open("maps", os.O_RDONLY | os.O_CLOEXEC, dir_fd=opened[0]))
        yield Process(opened[0], opened[1])
    except ProcessError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            gone = "there is no such process: it has ended, or the number is wrong"
            raise ProcessGoneError(error.errno, gone, pid) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = as_root("run as its user or as root")
            raise ProcessAccessError(error.errno, f"not permitted to read its mappings: {remedy}", pid) from None
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


class Process:
    def __init__(self, directory: int, maps: int | None) -> None:
        self._directory = directory
        self._maps = maps

    def has_query(self) -> bool:
        """Whether the kernel knows PROCMAP_QUERY."""
        if self._maps is None:
            return False
        try:
            _Query(self._maps).area(0)
        except OSError as error:
            if error.errno in (errno.ENOTTY, errno.EINVAL):
                return False
            raise
        return True

    def query_areas(self) -> Iterator[Area]:
        if self._maps is None:
            return
        query = _Query(self._maps)
        address = 0
        while (area := self._query_area(query, address)) is not None:
            yield area
            address = area.end

    def _query_area(self, query: _Query, address: int) -> Area | None:
        try:
            return query.area(address)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        return next((area for area in self.text_areas() if area.end > address), None)  # there paths are of any length

    def text_areas(self) -> Iterator[Area]:
        if self._maps is None:
            return iter(())
        os.lseek(self._maps, 0, os.SEEK_SET)
        return iter(read_areas(os.dup(self._maps)))

    def memory(self, start: int, end: int) -> bytes:
        descriptor = os.open("mem", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            return os.pread(descriptor, end - start, start)
        finally:
            os.close(descriptor)

    def path_of(self, area: Area) -> tuple[str, bool]:
        """The path without " (deleted)", and whether it was deleted: a file may also be called so."""
        if not area.name.endswith(DELETED):
            return area.name, False
        with suppress(OSError):
            if os.stat("root" + area.name, dir_fd=self._directory).st_ino == area.inode:
                return area.name, False
        return area.name[: -len(DELETED)], True

    def state_of(self, area: Area, path: str) -> State | None:
        """The state of the file behind an area, or of what its path leads to; None if both are out of reach."""
        for place in (f"map_files/{area.start:x}-{area.end:x}", "root" + path):
            with suppress(OSError):
                return state(os.stat(place, dir_fd=self._directory))
        return None

    def open_mapped(self, area: Area, path: str) -> int:
        """Opens the regular file behind an area: by map_files, or by its path if that still is the same file."""
        try:
            return self._open(f"map_files/{area.start:x}-{area.end:x}")
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EACCES, errno.ENOENT):
                raise
        if not path.startswith("/"):
            raise FileNotFoundError(errno.ENOENT, "the file has no path")
        descriptor = self._open("root" + path)
        if not same_file(descriptor, area):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "its path leads to another file now")
        return descriptor

    def _open(self, name: str) -> int:
        """O_PATH first: to open a device or a pipe may have effects."""
        place = os.open(name, os.O_PATH | os.O_CLOEXEC, dir_fd=self._directory)
        try:
            if not stat.S_ISREG(os.fstat(place).st_mode):
                raise OSError(errno.ENOTSUP, "not a regular file")
            return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        finally:
            os.close(place)


def same_file(descriptor: int, area: Area) -> bool:
    """Whether an open file is the one behind an area.

    The device of stat() need not be that of maps (btrfs, overlayfs). So the file is mapped here, where maps shows it
    by the same rules as there.
    """
    try:
        size = min(os.fstat(descriptor).st_size, mmap.PAGESIZE)
        with mmap.mmap(descriptor, size, mmap.MAP_PRIVATE, mmap.PROT_READ) as view, ffi.from_buffer(view) as data:
            here = _own_area(int(ffi.cast("uintptr_t", data)))
    except (OSError, ValueError):  # an empty file
        return False
    return here is not None and (here.device, here.inode) == (area.device, area.inode)


def is_ambiguous(descriptor: int, area: Area) -> bool:
    """Whether an open file that passes for the one behind an area may be another one all the same.

    On btrfs a file and its copy in a snapshot show the same device and number in maps. On overlayfs a path leads to the
    copy of a file that was written to, while what is mapped stays the original.
    """
    return os.fstat(descriptor).st_dev != area.device or _file_system(descriptor) == OVERLAYFS


def _file_system(descriptor: int) -> bytes:
    """The type of the file system of an open file, b"" if it cannot be had."""
    with suppress(OSError):
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as info:
            mount = re.search(rb"^mnt_id:\s*(\d+)$", info.read(), re.MULTILINE)
        with open("/proc/self/mountinfo", "rb") as mounts:
            for line in mounts:
                if mount and line.split(None, 1)[0] == mount[1]:
                    return line.partition(b" - ")[2].split()[0]
    return b""


def _own_area(address: int) -> Area | None:
    with open_process(os.getpid()) as process:
        return next((area for area in process.text_areas() if area.start <= address < area.end), None)
