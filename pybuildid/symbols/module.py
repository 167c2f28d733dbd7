# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The names of one build of a file: from the file itself, and from the one that has its DWARF."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field

from pybuildid.elf import ElfError, read_build_id
from pybuildid.symbols.debuginfod import Client
from pybuildid.symbols.dwarf import Dwarf, Function
from pybuildid.symbols.elffile import ElfFile, SymbolTable, symbol_table
from pybuildid.symbols.finding import OpenFile, Search, of_descriptor

PAGE = 4096


@dataclass
class Module:
    """A build of a file. problem: why it, or a part of what it should have, was not found."""

    build_id: bytes
    path: str
    problem: str = ""
    _program: OpenFile | None = None
    _debug: OpenFile | None = None
    _shared: OpenFile | None = None
    _dwarf: Dwarf | None = None
    _shift: int = 0  #: of addresses in the DWARF, where the program was moved after it had been put apart (prelink)
    _table: tuple[SymbolTable, str, int] | None = None
    _asked: bool = field(default=False, repr=False)

    @property
    def source(self) -> str:
        """Where names are from, for people; "" for nowhere."""
        if self._dwarf:
            where = self._debug or self._program or self._shared
            return f"DWARF of {where.path}" if where else "DWARF"
        return self._table[1] if self._table else ""

    @property
    def is_complete(self) -> bool:
        return self._dwarf is not None

    def close(self) -> None:
        if self._dwarf:
            self._dwarf.close()
        for each in (self._program, self._debug, self._shared):
            if each:
                each.close()
        self._dwarf = self._program = self._debug = self._shared = self._table = None

    # ---------------------------------------------------------------------------------------- files

    def look(self, search: Search) -> None:
        """Looks for its files on this machine."""
        self._program, self.problem = search.program(self.build_id, self.path)
        if not (self._program and self._program.elf.has_dwarf):
            self._debug = search.debug(self.build_id)
        self._take(search, None)

    def ask(self, client: Client, search: Search) -> None:
        """Asks servers for the missing files."""
        self._asked = True
        if self._debug is None:
            self._debug = _fetched(client.debuginfo(self.build_id), self.build_id)
        if self._program is None:
            self._program = _fetched(client.executable(self.build_id), self.build_id)
        self._take(search, client)

    def _take(self, search: Search, client: Client | None) -> None:
        elfs = [each.elf for each in (self._program, self._debug) if each]
        if self._program and self._debug:
            self._shift = _first_address(self._debug.elf) - _first_address(self._program.elf)
        elif not elfs:
            return
        self.problem = "" if self._program or self._debug else self.problem
        for elf in elfs:
            if elf.has_dwarf and self._dwarf is None:
                self._dwarf = self._read_dwarf(elf, search, client)
        table = symbol_table(*elfs)
        if table:
            self._table = (*table, self._shift if self._program and table[0].elf is not self._program.elf else 0)

    def _read_dwarf(self, elf: ElfFile, search: Search, client: Client | None) -> Dwarf | None:
        try:
            dwarf = Dwarf(elf)
        except ValueError as error:
            self.problem = str(error)
            return None
        wanted = dwarf.wants()
        if wanted is None:
            return dwarf
        path, build_id = wanted
        beside = self._debug or self._program
        path = os.path.join(os.path.dirname(os.path.realpath(beside.path)), path) if beside else path
        self._shared = self._shared or search.shared(build_id, path)
        if self._shared is None and client:
            self._shared = _fetched(client.debuginfo(build_id), build_id)
        with suppress(ValueError):
            if self._shared:
                dwarf.give(Dwarf(self._shared.elf))
                return dwarf
        dwarf.close()
        self.problem = f"its DWARF needs that of dwz with the build ID {build_id.hex()}, which was not found"
        return None

    # ---------------------------------------------------------------------------------------- names

    def find(self, offset: int, mapped_offset: int) -> list[Function]:
        """The functions at an offset in the file, the innermost first. mapped_offset: where the mapping began."""
        address = self._address(offset, mapped_offset)
        if address is None:
            return []
        found = self._dwarf.find(address + self._dwarf_shift) if self._dwarf else []
        if not (found and found[-1].name) and self._table:
            table, _, shift = self._table
            name = table.find(address + shift)
            if name:
                outermost = found[-1] if found else Function("", "", 0, 0)
                found = [*found[:-1], outermost._replace(name=name)]
        return [function for function in found if function.name]

    @property
    def _dwarf_shift(self) -> int:
        return 0 if self._program and self._program.elf.has_dwarf else self._shift

    def _address(self, offset: int, mapped_offset: int) -> int | None:
        """As the linker gave it. A file of DWARF alone may have lost the offsets of its segments: there the mapping of
        the one segment with code tells."""
        for each in (self._program, self._debug):
            if each and (address := each.elf.address_of(offset)) is not None:
                return address
        if self._program or not self._debug:
            return None
        code = [segment for segment in self._debug.elf.segments if segment.executable]
        if len(code) != 1:
            return None
        return offset - mapped_offset + code[0].address // PAGE * PAGE


def _first_address(elf: ElfFile) -> int:
    return min((segment.address for segment in elf.segments), default=0)


def _fetched(descriptor: int | None, build_id: bytes) -> OpenFile | None:
    """The file that a server sent, if it is of that build."""
    if descriptor is None:
        return None
    found, _ = of_descriptor(descriptor, f"debuginfod, {build_id.hex()}")
    with suppress(ElfError, OSError):
        if found and read_build_id(descriptor) == build_id:
            return found
    if found:
        found.close()
    return None
