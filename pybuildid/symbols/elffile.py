# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""An ELF file, by elfutils' libelf: its segments, its symbols, and whether it has DWARF."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any, NamedTuple

from pybuildid.symbols._elfutils import ELF_C_READ, ffi, libelf, text

PT_LOAD, PF_X = 1, 1
SHT_SYMTAB, SHT_NOBITS, SHT_DYNSYM = 2, 8, 11
SHN_UNDEF, SHN_LORESERVE = 0, 0xFF00
STT_SECTION, STT_FILE, STT_TLS = 3, 4, 6
STB_GLOBAL, STB_WEAK = 1, 2
RANK = {STB_GLOBAL: 2, STB_WEAK: 1}  #: of two names of one function, the one that the linker would choose
MOST_UNPACKED = 256 << 20  #: bytes of .gnu_debugdata, which is some MiB

_SYMBOL = {1: struct.Struct("IIIBBH"), 2: struct.Struct("IBBHQQ")}


class Section(NamedTuple):
    handle: Any
    name: str
    type: int
    address: int
    size: int
    link: int
    number: int


class Segment(NamedTuple):
    offset: int
    address: int
    file_size: int
    memory_size: int
    executable: bool


class Symbol(NamedTuple):
    start: int
    end: int  #: equal to start for a label without a size
    rank: int
    name: int  #: offset in the strings of its table
    section: int
    table: tuple[ElfFile, int]  #: the file, and its section of strings

    @property
    def text(self) -> str:
        elf, strings = self.table
        return elf.string(strings, self.name)


class ElfFile:
    """Of a descriptor, which stays the caller's and has to stay open, or of bytes in memory."""

    def __init__(self, source: int | bytes) -> None:
        self._lib = libelf()
        self.inner: ElfFile | None = None
        self._memory = ffi.from_buffer(source) if isinstance(source, bytes) else None
        if self._memory is not None:
            self.handle = self._lib.elf_memory(ffi.cast("char *", self._memory), len(self._memory))
        else:
            self.handle = self._lib.elf_begin(source, ELF_C_READ, ffi.NULL)
        header = self._lib.gelf_getehdr(self.handle, ffi.new("GElf_Ehdr *")) if self.handle else None
        if not header:
            self.close()
            raise ValueError("no ELF file")
        self.is_64_bit = header.e_ident[4] == 2

    def close(self) -> None:
        if self.inner:
            self.inner.close()
        if self.handle:
            self._lib.elf_end(self.handle)
            self.handle = ffi.NULL

    @cached_property
    def segments(self) -> list[Segment]:
        """What is loaded of it."""
        count = ffi.new("size_t *")
        if self._lib.elf_getphdrnum(self.handle, count):
            return []
        found, header = [], ffi.new("GElf_Phdr *")
        for at in range(count[0]):
            if self._lib.gelf_getphdr(self.handle, at, header) and header.p_type == PT_LOAD:
                place = header.p_offset, header.p_vaddr, header.p_filesz, header.p_memsz
                found.append(Segment(*place, bool(header.p_flags & PF_X)))
        return found

    @cached_property
    def sections(self) -> dict[str, Section]:
        names = ffi.new("size_t *")
        if self._lib.elf_getshdrstrndx(self.handle, names):
            return {}
        found, header, handle, number = {}, ffi.new("GElf_Shdr *"), ffi.NULL, 0
        while handle := self._lib.elf_nextscn(self.handle, handle):
            number += 1
            if self._lib.gelf_getshdr(handle, header):
                name = text(self._lib.elf_strptr(self.handle, names[0], header.sh_name))
                place = header.sh_type, header.sh_addr, header.sh_size, header.sh_link, number
                found[name] = Section(handle, name, *place)
        return found

    def has(self, *names: str) -> bool:
        """Whether the file has one of these sections, with content."""
        return any(name in self.sections and self.sections[name].type != SHT_NOBITS for name in names)

    @property
    def has_dwarf(self) -> bool:
        return self.has(".debug_info", ".zdebug_info")

    def address_of(self, offset: int) -> int | None:
        """The address, as the linker gave it, of the byte at an offset in the file."""
        for segment in sorted(self.segments, key=lambda segment: not segment.executable):
            if segment.offset <= offset < segment.offset + segment.file_size:
                return offset - segment.offset + segment.address
        return None

    def string(self, section: int, offset: int) -> str:
        return text(self._lib.elf_strptr(self.handle, section, offset))

    def content(self, section: Section) -> bytes:
        data = self._lib.elf_rawdata(section.handle, ffi.NULL)
        return bytes(ffi.buffer(data.d_buf, data.d_size)) if data and data.d_buf else b""

    def symbols(self, type: int) -> Iterator[Symbol]:
        """Of the table of that type: whatever may be at an address of code."""
        for section in self.sections.values():
            if section.type != type:
                continue
            data = self._lib.elf_getdata(section.handle, ffi.NULL)  # in this machine's byte order
            if data and data.d_buf:
                yield from self._symbols(ffi.buffer(data.d_buf, data.d_size), section.link)

    def _symbols(self, data: Any, strings: int) -> Iterator[Symbol]:
        form = _SYMBOL[2 if self.is_64_bit else 1]
        whole, table = len(data) // form.size * form.size, (self, strings)
        for fields in form.iter_unpack(data[:whole]):
            if self.is_64_bit:
                name, info, _, section, value, size = fields
            else:
                name, value, size, info, _, section = fields
            if name and section != SHN_UNDEF and info & 15 not in (STT_SECTION, STT_FILE, STT_TLS):
                yield Symbol(value, value + size, RANK.get(info >> 4, 0), name, section, table)

    def embedded(self) -> ElfFile | None:
        """What .gnu_debugdata holds: a compressed ELF file with the symbols that .dynsym lacks."""
        section = self.sections.get(".gnu_debugdata")
        if section is None:
            return None
        try:
            import lzma  # which not every Python has
        except ImportError:
            return None
        try:
            content = lzma.LZMADecompressor().decompress(self.content(section), MOST_UNPACKED)
            self.inner = ElfFile(content)
        except (lzma.LZMAError, ValueError, EOFError):
            return None
        return self.inner


class SymbolTable:
    """Which symbol an address is in. Of two that contain it, one that other files see comes before a local one, then
    the one that begins nearest, then global before weak, and the smaller one; as elfutils' tools choose."""

    def __init__(self, elf: ElfFile, found: list[Symbol]) -> None:
        self.elf = elf
        self._seen = _Ordered([symbol for symbol in found if symbol.rank])
        self._local = _Ordered([symbol for symbol in found if not symbol.rank])

    def find(self, address: int) -> str:
        """The name, or ""."""
        symbol = self._seen.sized(address) or self._local.sized(address)
        if symbol is None:
            limit = max(self._seen.end_before(address), self._local.end_before(address))
            found = (each.label(address, limit) for each in (self._seen, self._local))
            symbol = next((label for label in found if label and self._same_section(label, address)), None)
        return symbol.text if symbol else ""

    def _same_section(self, label: Symbol, address: int) -> bool:
        if label.section >= SHN_LORESERVE:
            return label.start == address
        return any(
            section.address <= address < section.address + section.size and section.number == label.section
            for section in self.elf.sections.values()
            if section.address
        )


class _Ordered:
    def __init__(self, symbols: list[Symbol]) -> None:
        symbols.reverse()  # of those that are alike in all of that, the first comes last, and is found
        self._symbols = sorted(symbols, key=lambda symbol: (symbol.start, symbol.rank, symbol.start - symbol.end))
        self._starts = [symbol.start for symbol in self._symbols]
        self._ends = list(accumulate((symbol.end for symbol in self._symbols), max))  # of all symbols up to each

    def end_before(self, address: int) -> int:
        at = bisect_right(self._starts, address) - 1
        return self._ends[at] if at >= 0 else 0

    def sized(self, address: int) -> Symbol | None:
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._ends[at] > address:
            if self._symbols[at].end > address:
                return self._symbols[at]
            at -= 1
        return None

    def label(self, address: int, limit: int) -> Symbol | None:
        """The nearest symbol without a size, if no symbol with a size ends after it."""
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._starts[at] >= limit:
            if self._symbols[at].start == self._symbols[at].end:
                return self._symbols[at]
            at -= 1
        return None


def symbol_table(*files: ElfFile) -> tuple[SymbolTable, str] | None:
    """Of the first of these files that has .symtab; else of .dynsym and .gnu_debugdata. And where it is from."""
    for elf in files:
        if elf.has(".symtab"):
            return SymbolTable(elf, list(elf.symbols(SHT_SYMTAB))), ".symtab"
    for elf in files:
        found, where = list(elf.symbols(SHT_DYNSYM)), ".dynsym"
        if inner := elf.embedded():
            found += inner.symbols(SHT_SYMTAB)
            where = ".gnu_debugdata"
        if found:
            return SymbolTable(elf, found), where
    return None
