# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The modules of a core dump: which builds of which files a process had mapped when it died.

A dump names the mapped files (the note NT_FILE), and has the first page of each that begins with an ELF header, unless
/proc/PID/coredump_filter says otherwise. There the build ID is read, not in the files of these names: those may have
been replaced since.
"""

from __future__ import annotations

import operator
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, SupportsIndex

from pybuildid import elf
from pybuildid.elf._packed import read_at
from pybuildid.errors import ArgumentTypeError

if TYPE_CHECKING:
    from pybuildid.elf import StrPath

__all__ = ["CoreModule", "core_modules"]

ET_CORE = 4
PT_LOAD, PT_NOTE = 1, 4
PF_X = 1
PN_XNUM = 0xFFFF
NT_FILE, NT_AUXV = 0x46494C45, 6
AT_SYSINFO_EHDR = 33  # of the auxiliary vector: where the vDSO is
DELETED = " (deleted)"
MOST_HEADERS = 1 << 20  # program headers, and notes
MOST_NOTE = 64 << 20  # bytes of NT_FILE that are read: the kernel writes at most 4 MiB by itself

NOT_DUMPED = "the page with its build ID is not in the dump"


@dataclass(frozen=True)
class CoreModule:
    """An ELF file, or the vDSO, as a process had it mapped.

    start, end: the addresses, end excluded.
    build_id: None if it has none, or if that cannot be read: then problem says why.
    id_address: where the build ID is in memory; None without one.
    path: as the process saw it, without " (deleted)"; "[vdso]"; "" for an image in memory without a file.
    deleted: whether that path had been removed.
    problem: why the build ID is not known, as a phrase; None if it is, or if there is none.
    """

    start: int
    end: int
    build_id: bytes | None
    id_address: int | None
    path: str
    deleted: bool
    problem: str | None


def core_modules(source: StrPath | int) -> list[CoreModule] | None:
    """The modules of a core dump, by address; None if this is an ELF file of another kind.

    source: a path, or a file descriptor, whose position stays.

    They are what `eu-unstrip -n --core` lists: mapped files that begin with an ELF header, the vDSO, and other images
    in memory. A dump that is cut off is read as far as it goes. Raises NotElfError, ElfError, OSError.
    """
    if isinstance(source, bytes) or not isinstance(source, (str, os.PathLike, SupportsIndex)):
        raise ArgumentTypeError(f"source must be a path or a file descriptor, not {type(source).__name__}")
    if isinstance(source, SupportsIndex):
        descriptor = operator.index(source)
        return _modules(descriptor, f"fd {descriptor}")
    path = os.fsdecode(source)
    with elf.opened(path) as descriptor:
        return _modules(descriptor, path)


# ------------------------------------------------------------------------------------------------ the file


@dataclass(frozen=True)
class _Segment:
    """A program header. A dump has the first `size` bytes of a range of memory."""

    kind: int
    flags: int
    offset: int
    start: int
    size: int
    end: int  # of the range


@dataclass(frozen=True)
class _File:
    """An element of NT_FILE: a range of memory, and what is mapped there. offset: in units that the note names."""

    start: int
    end: int
    offset: int
    name: str


@dataclass(frozen=True)
class _Core:
    descriptor: int
    order: str  # of struct: "<" or ">"
    word: int
    loads: list[_Segment]  # by address
    starts: list[int]
    notes: list[_Segment]

    def memory(self, address: int, n: int) -> bytes:
        """At most n bytes: fewer where the dump has no more in a row."""
        found = bytearray()
        while len(found) < n:
            at = address + len(found)
            i = bisect_right(self.starts, at) - 1
            left = self.loads[i].start + self.loads[i].size - at if i >= 0 else 0
            more = left > 0 and read_at(
                self.descriptor, min(left, n - len(found)), at - self.loads[i].start + self.loads[i].offset
            )
            if not more:
                break
            found += more
        return bytes(found)

    def words(self, data: bytes, n: int) -> tuple[int, ...]:
        """The first n words of data."""
        return struct.unpack_from(f"{self.order}{n}{'Q' if self.word == 8 else 'I'}", data)

    def notes_of_kernel(self) -> dict[int, bytes]:
        """The descriptors of NT_FILE and NT_AUXV, where they are: the first of each, for the kernel writes one."""
        found: dict[int, bytes] = {}
        left = MOST_HEADERS
        for segment in self.notes:
            at, end = segment.offset, segment.offset + segment.size
            while left and at + 12 <= end:
                left -= 1
                header = read_at(self.descriptor, 20, at)
                if len(header) < 12:
                    break
                name_size, size, kind = struct.unpack_from(f"{self.order}3I", header)
                begin = at + 12 + (name_size + 3 & ~3)
                named = name_size == 5 and header[12:17] == b"CORE\0"
                if named and kind in (NT_FILE, NT_AUXV) and kind not in found:
                    found[kind] = read_at(self.descriptor, min(size, end - begin, MOST_NOTE), begin)
                at = begin + (size + 3 & ~3)
        return found


def _read_core(descriptor: int, name: str) -> _Core | None:
    head = read_at(descriptor, 64, 0)
    if not head.startswith(b"\x7fELF"):
        raise elf.NotElfError("not an ELF file", 0, name)
    if len(head) < 52 or head[4] not in (1, 2) or head[5] not in (1, 2):
        raise elf.ElfError("the ELF header is damaged or cut off", 0, name)
    order, word = "<>"[head[5] - 1], 4 * head[4]
    if struct.unpack_from(f"{order}H", head, 16)[0] != ET_CORE:
        return None
    table, sections = struct.unpack_from(f"{order}QQ" if word == 8 else f"{order}II", head, 32 if word == 8 else 28)
    entry, count = struct.unpack_from(f"{order}HH", head, 54 if word == 8 else 42)
    if count == PN_XNUM:  # the number is in section header 0
        info = read_at(descriptor, 4, sections + (44 if word == 8 else 28))
        count = struct.unpack(f"{order}I", info)[0] if len(info) == 4 else count
    size = 56 if word == 8 else 32
    if entry != size:
        raise elf.ElfError("the size of program headers is wrong", 54 if word == 8 else 42, name)
    data = read_at(descriptor, min(count, MOST_HEADERS) * size, table)
    segments = [_segment(data[at : at + size], order, word) for at in range(0, len(data) // size * size, size)]
    loads = sorted((s for s in segments if s.kind == PT_LOAD), key=lambda s: s.start)
    notes = [s for s in segments if s.kind == PT_NOTE]
    return _Core(descriptor, order, word, loads, [s.start for s in loads], notes)


def _segment(data: bytes, order: str, word: int) -> _Segment:
    if word == 8:
        kind, flags, offset, start, _, size, extent = struct.unpack_from(f"{order}2I5Q", data)
    else:
        kind, offset, start, _, size, extent, flags = struct.unpack_from(f"{order}7I", data)
    return _Segment(kind, flags, offset, start, size, start + extent)


# ------------------------------------------------------------------------------------------------ its modules


def _files(core: _Core, data: bytes) -> Iterator[_File]:
    """The elements of NT_FILE: their number, a page size, three words for each, and the names."""
    if len(data) < 2 * core.word:
        return
    count, _ = core.words(data, 2)
    if count > len(data) // (3 * core.word):
        return
    words = core.words(data[2 * core.word :].ljust(3 * count * core.word, b"\0"), 3 * count)
    names = data[(2 + 3 * count) * core.word :].split(b"\0")
    for i, name in zip(range(count), names):
        yield _File(words[3 * i], words[3 * i + 1], words[3 * i + 2], os.fsdecode(name))


def _vdso(core: _Core, data: bytes) -> int:
    """Its address by the auxiliary vector, or 0."""
    count = len(data) // core.word // 2 * 2
    words = core.words(data, count)
    return dict(zip(words[::2], words[1::2])).get(AT_SYSINFO_EHDR, 0)


def _modules(descriptor: int, name: str) -> list[CoreModule] | None:
    core = _read_core(descriptor, name)
    if core is None:
        return None
    notes = core.notes_of_kernel()
    files = sorted(_files(core, notes.get(NT_FILE, b"")), key=lambda file: file.start)
    vdso = _vdso(core, notes.get(NT_AUXV, b""))
    images = {start: (end, path, runs) for start, end, path, runs in _mapped_files(core, files)}
    starts = [file.start for file in files]
    for load in core.loads:
        i = bisect_right(starts, load.start) - 1
        of_file = i >= 0 and load.start < files[i].end
        if not of_file and _is_elf(core, load.start):
            images[load.start] = load.end, "[vdso]" if load.start == vdso else "", False
    found = (_module(core, start, *image) for start, image in sorted(images.items()))
    return [module for module in found if module]


def _is_elf(core: _Core, address: int) -> bool:
    return core.memory(address, 4) == b"\x7fELF"


def _mapped_files(core: _Core, files: list[_File]) -> Iterator[tuple[int, int, str, bool]]:
    """Files that are mapped from their first byte on: start, end, path, and whether code of them is mapped."""
    code = [load.start for load in core.loads if load.flags & PF_X]
    for i, file in enumerate(files):
        if file.offset:
            continue
        last = i
        while last + 1 < len(files) and files[last + 1].offset and files[last + 1].name == file.name:
            last += 1
        end = files[last].end
        yield file.start, end, file.name, bisect_right(code, end - 1) > bisect_right(code, file.start - 1)


def _module(core: _Core, start: int, end: int, name: str, runs: bool) -> CoreModule | None:
    """None for a file that is no ELF file, or of which that is not known, and of which no code was mapped."""
    path, deleted = (name[: -len(DELETED)], True) if name.endswith(DELETED) else (name, False)
    if not _is_elf(core, start):
        missing = runs and len(core.memory(start, 4)) < 4
        return CoreModule(start, end, None, None, path, deleted, NOT_DUMPED) if missing else None
    try:
        note = elf.read_image(lambda offset, n: core.memory(start + offset, n), path)
    except elf.ElfError:
        return CoreModule(start, end, None, None, path, deleted, NOT_DUMPED)
    if note is None or note.build_id is None:
        return CoreModule(start, end, None, None, path, deleted, None)
    return CoreModule(start, end, note.build_id, start + note.offset, path, deleted, None)
