# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Functions, inlined ones included, files and lines of addresses, from DWARF by elfutils' libdw."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from pybuildid.symbols._elfutils import ffi, libdw, text
from pybuildid.symbols.elffile import ElfFile

TAG_INLINED = 0x1D
TAGS_OF_BLOCKS = (0x0B, 0x32, 0x25)  #: lexical, try and catch blocks
AT_COMP_DIR, AT_CALL_FILE, AT_CALL_LINE, AT_LINKAGE_NAME, AT_MIPS_LINKAGE_NAME = 0x1B, 0x58, 0x59, 0x6E, 0x2007
READ = 0


class Function(NamedTuple):
    """A function at an address. name: as the linker has it, if DWARF says so, else as the source has it."""

    name: str
    file: str
    line: int
    start_line: int


class _Unit(NamedTuple):
    """A compilation unit. split: where its functions are, with -gsplit-dwarf in another file."""

    die: Any
    split: Any


class _Ranges:
    """Finds the range that contains an address: of several the one that begins nearest before it, of equal ones the
    first."""

    def __init__(self, ranges: list[tuple[int, int, Any]]) -> None:
        ranges.reverse()
        self._ranges = sorted(ranges, key=lambda each: (each[0], -each[1]))
        self._starts = [each[0] for each in self._ranges]
        self._ends = list(accumulate((each[1] for each in self._ranges), max))

    def find(self, address: int) -> Any:
        at = bisect_right(self._starts, address) - 1
        while at >= 0 and self._ends[at] > address:
            if self._ranges[at][1] > address:
                return self._ranges[at][2]
            at -= 1
        return None


class _Scopes:
    """A function. inlined: (start, end, depth, die) of each range of what was inlined into it; None: not known yet."""

    def __init__(self, die: Any) -> None:
        self.die = die
        self.inlined: list[tuple[int, int, int, Any]] | None = None


class Dwarf:
    """The DWARF of a file. Raises ValueError if it has none that can be read."""

    def __init__(self, elf: ElfFile) -> None:
        self._lib = libdw()
        self._elf = elf  # whose memory it uses
        self._dwarf = self._lib.dwarf_begin_elf(elf.handle, READ, ffi.NULL)
        if not self._dwarf:
            raise ValueError("its DWARF cannot be read")
        self._other: Dwarf | None = None
        self._units: _Ranges | None = None
        self._numbers = tuple(ffi.new("uint64_t *") for _ in range(3))
        self._functions: dict[_Unit, _Ranges] = {}

    def close(self) -> None:
        self._lib.dwarf_end(self._dwarf)
        if self._other:
            self._other.close()

    def wants(self) -> tuple[str, bytes] | None:
        """The file that dwz has put shared parts into: its path and its build ID."""
        name, build_id = ffi.new("const char **"), ffi.new("const void **")
        length = self._lib.dwelf_dwarf_gnu_debugaltlink(self._dwarf, name, build_id)
        return (text(name[0]), bytes(ffi.buffer(build_id[0], length))) if length > 0 else None

    def give(self, other: Dwarf) -> None:
        """Takes that file: see wants()."""
        self._other = other
        self._lib.dwarf_setalt(self._dwarf, other._dwarf)

    def find(self, address: int) -> list[Function]:
        """The functions that the address is in, the innermost first; none if DWARF does not know it."""
        if self._units is None:
            ranges = ((*each, unit) for unit in self._each_unit() for each in self._ranges(unit.die))
            self._units = _Ranges([each for each in ranges if each[0]])  # 0: a function that the linker has dropped
        unit = self._units.find(address)
        if unit is None:
            return []
        file, line = self._source(unit, address)
        found = []
        for die in self._scopes(unit, address):
            found.append(self._function(die, file, line))
            file, line = self._call(unit, die)
        return found or ([Function("", file, line, 0)] if file else [])

    # ---------------------------------------------------------------------------------------- where addresses are

    def _each_unit(self) -> Iterator[_Unit]:
        """Units by their own ranges: a table of them (.debug_aranges) is often missing, or not complete."""
        at, following = ffi.NULL, ffi.new("Dwarf_CU **")
        while True:
            die, split = ffi.new("Dwarf_Die *"), ffi.new("Dwarf_Die *")
            if self._lib.dwarf_get_units(self._dwarf, at, following, ffi.NULL, ffi.NULL, die, split):
                return
            at = following[0]
            yield _Unit(die, split if split.addr else die)

    def _ranges(self, die: Any) -> Iterator[tuple[int, int]]:
        base, start, end = self._numbers
        offset = 0
        while (offset := self._lib.dwarf_ranges(die, offset, base, start, end)) > 0:
            if start[0] < end[0]:
                yield start[0], end[0]

    def _scopes(self, unit: _Unit, address: int) -> list[Any]:
        """The functions that contain the address, from the innermost inlined one outwards."""
        if unit not in self._functions:
            self._functions[unit] = self._functions_of(unit)
        scopes = self._functions[unit].find(address)
        if scopes is None:
            return []
        if scopes.inlined is None:
            scopes.inlined = list(self._inlined(scopes.die, 0))
        inner = [each for each in scopes.inlined if each[0] <= address < each[1]]
        inner.sort(key=lambda each: -each[2])
        return [*(each[3] for each in inner), scopes.die]

    def _functions_of(self, unit: _Unit) -> _Ranges:
        found: list[tuple[int, int, _Scopes]] = []

        def add(die: Any, argument: Any) -> int:
            ranges = list(self._ranges(die))
            if ranges:
                scopes = _Scopes(ffi.new("Dwarf_Die *", die[0]))
                found.extend((start, end, scopes) for start, end in ranges)
            return 0  # DWARF_CB_OK

        callback = ffi.callback("int(Dwarf_Die *, void *)", add)
        self._lib.dwarf_getfuncs(unit.split, callback, ffi.NULL, 0)
        return _Ranges(found)

    def _inlined(self, die: Any, depth: int) -> Iterator[tuple[int, int, int, Any]]:
        child = ffi.new("Dwarf_Die *")
        if self._lib.dwarf_child(die, child):
            return
        while True:
            tag = self._lib.dwarf_tag(child)
            if tag == TAG_INLINED:
                its = ffi.new("Dwarf_Die *", child[0])
                for start, end in list(self._ranges(its)):
                    yield start, end, depth, its
                yield from self._inlined(its, depth + 1)
            elif tag in TAGS_OF_BLOCKS:
                yield from self._inlined(child, depth)
            if self._lib.dwarf_siblingof(child, child):
                return

    # ---------------------------------------------------------------------------------------- names

    def _function(self, die: Any, file: str, line: int) -> Function:
        attribute, start = ffi.new("Dwarf_Attribute *"), ffi.new("int *")
        name = ""
        for which in (AT_LINKAGE_NAME, AT_MIPS_LINKAGE_NAME):
            name = name or text(self._lib.dwarf_formstring(self._lib.dwarf_attr_integrate(die, which, attribute)))
        first = start[0] if self._lib.dwarf_decl_line(die, start) == 0 else 0
        return Function(name or text(self._lib.dwarf_diename(die)), file, line, first)

    def _call(self, unit: _Unit, die: Any) -> tuple[str, int]:
        """File and line of the call that was inlined."""
        attribute, value = ffi.new("Dwarf_Attribute *"), ffi.new("uint64_t *")
        files, count = ffi.new("Dwarf_Files **"), ffi.new("size_t *")
        file, line = "", 0
        if self._number(die, AT_CALL_FILE, attribute, value) and not self._lib.dwarf_getsrcfiles(
            unit.split, files, count
        ):
            file = text(self._lib.dwarf_filesrc(files[0], value[0], ffi.NULL, ffi.NULL))
        if self._number(die, AT_CALL_LINE, attribute, value):
            line = value[0]
        return self._whole(unit, file), line

    def _number(self, die: Any, name: int, attribute: Any, value: Any) -> bool:
        return bool(self._lib.dwarf_formudata(self._lib.dwarf_attr(die, name, attribute), value) == 0)

    def _source(self, unit: _Unit, address: int) -> tuple[str, int]:
        line = self._lib.dwarf_getsrc_die(unit.die, address)
        if not line:
            return "", 0
        number = ffi.new("int *")
        self._lib.dwarf_lineno(line, number)
        return self._whole(unit, text(self._lib.dwarf_linesrc(line, ffi.NULL, ffi.NULL))), number[0]

    def _whole(self, unit: _Unit, file: str) -> str:
        """The path with the folder of the compiler before it, if it is relative and does not begin with that
        already."""
        if not file or file.startswith("/"):
            return file
        attribute = self._lib.dwarf_attr(unit.die, AT_COMP_DIR, ffi.new("Dwarf_Attribute *"))
        folder = text(self._lib.dwarf_formstring(attribute)).rstrip("/")
        return f"{folder}/{file}" if folder and not file.startswith(f"{folder}/") else file
