# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Where a handler ran, against the program's disassembly: what was executed without it, and what was never reached.

A trace is the pairs of addresses at which the handler ran one after the other, each with how often (trace.c). An
instruction that was executed and not interrupted shows as a pair whose second address is no successor of the first.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from bisect import bisect_left, bisect_right
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from stress.programs import MODULES, ROOT

NEEDS_BINUTILS = "this needs objdump, nm and addr2line (Debian: apt-get install binutils)"
NOTHING = 0  #: the first address after a break
OUTSIDE = 0xFFFFFFFF  #: not of the program: the vdso
#: What compilers make calls of by themselves, in libc under names like __memmove_avx_unaligned_erms.
COPIES = re.compile(r"_*mem(cpy|move|set|cmp)")
PLATFORM = ("pins.c", "memory.c", "available.c")  #: of csrc/process: they call the system
PADDING = ("nop", "data16", "cs", "xchg")
PREFIXES = ("lock", "bnd", "notrack", "rep", "repz", "repnz")

Trace = Counter[tuple[int, int]]


class BinutilsError(Exception):
    """A program of binutils is missing."""


@dataclass(frozen=True)
class Line:
    """A line of the table's sources, by its text without comment: it stays the same where lines are added above it."""

    function: str  #: that it stands in, also where the compiler has made this a part of another
    text: str
    where: str = field(compare=False, default="")  #: as file:line


@dataclass(frozen=True)
class Coverage:
    """Of one function of the table: its instructions, and those that no handler was about to return to."""

    function: str
    instructions: int
    missed: int
    never_reached: tuple[Line, ...]  #: of the missed ones, each once


@dataclass(frozen=True)
class Executed:
    """Counts of instructions."""

    interrupted: int
    system_calls: int  #: the instruction after each is executed before the trap comes; it is libc's
    skipped: int = 0  #: others that were executed without the handler
    unverified: int = 0  #: after an indirect jump or call, or in the vdso: nothing says where they go
    first_skipped: str = ""

    @property
    def executed(self) -> int:
        return self.interrupted + self.system_calls + self.skipped


@dataclass
class Program:
    """The disassembly."""

    path: Path
    code: dict[int, str]  #: address to instruction
    following: dict[int, int]  #: address to that of the next instruction
    functions: dict[str, tuple[int, int]]  #: of the table and the protocol on inodes: first address and size
    others: list[tuple[int, int, str]]  #: neither of these nor of the harness: first address, size and name, in order
    after_calls: set[int] = field(default_factory=set)

    def may_follow(self, one: int, other: int) -> bool | None:
        """None: cannot be told."""
        if platform.machine() != "x86_64":
            return None
        words = self.code[one].split()
        while words[0] in PREFIXES:
            if words[0].startswith("rep") and one == other:  # a string instruction traps at each turn
                return True
            del words[0]
        if words[0].startswith("ret"):
            return other in self.after_calls
        if words[0] in ("jmp", "call") and words[1].startswith("*"):
            return None if other in self.code else False
        if words[0] in ("jmp", "call"):
            return other == int(words[1], 16)
        if words[0].startswith("j"):
            return other in (self.following[one], int(words[1], 16))
        return other == self.following[one]


def _output(*command: object, stdin: str = "") -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, input=stdin, capture_output=True, text=True, check=True).stdout


def _functions(binary: Path) -> tuple[dict[str, tuple[int, int]], list[tuple[int, int, str]]]:
    """Those of the table, and those that are neither of it nor of the harness; libc has no source lines here."""
    defined = {source.name for module in MODULES for source in (ROOT / "csrc" / module).glob("*.[ch]")}
    found, others = {}, []
    for line in _output("nm", "-S", "-l", binary).splitlines():
        match = re.match(r"([0-9a-f]+) ([0-9a-f]+) [tTwWi] (\S+)(?:\t(\S+):\d+)?$", line)
        if not match:
            continue
        place, source = (int(match[1], 16), int(match[2], 16)), Path(match[4] or "")
        if source.name in defined and source.parent.name in MODULES:
            found[match[3]] = place
        if source.name in PLATFORM or not match[4]:
            others.append((*place, match[3]))
    return found, sorted(others)


@cache
def disassemble(binary: Path) -> Program:
    if not all(map(shutil.which, ("objdump", "nm", "addr2line"))):
        raise BinutilsError(NEEDS_BINUTILS)
    lines = _output("objdump", "-d", "--no-show-raw-insn", binary).splitlines()
    found = (re.match(r" +([0-9a-f]+):\t(\S.*)", line) for line in lines)
    code = {int(match[1], 16): match[2] for match in found if match}
    addresses = sorted(code)
    following = dict(zip(addresses, [*addresses[1:], OUTSIDE]))
    after_calls = {following[address] for address in addresses if re.search(r"\bcall\b", code[address])}
    return Program(binary, code, following, *_functions(binary), after_calls)


def read(file: Path) -> Trace:
    trace: Trace = Counter()
    for line in file.read_text().splitlines():
        one, other, count = line.split()
        trace[int(one, 16), int(other, 16)] += int(count)
    return trace


def executed(program: Program, trace: Trace) -> Executed:
    """How many instructions must have been executed, for the trace to be what it is."""
    system_calls = skipped = unverified = 0
    first = ""
    for (one, other), count in trace.items():
        legal = None if one == NOTHING or OUTSIDE in (one, other) else program.may_follow(one, other)
        if legal is None:
            unverified += count
        elif not legal and program.code[one].split()[0] == "syscall":
            system_calls += count
        elif not legal:
            skipped += count
            first = first or f"between {one:#x} ({program.code[one]}) and {other:#x}"
    return Executed(sum(trace.values()), system_calls, skipped, unverified, first)


def foreign(program: Program, trace: Trace, beside: Trace) -> str:
    """The first that ran where nothing may run but the table's own code: a function of libc, or one by which the table
    calls the system, or a system call; "": none. `beside`: what runs where nothing is done."""
    places = [first for first, _, _ in program.others]
    for address in sorted({other for _, other in trace} - {other for _, other in beside} - {OUTSIDE}):
        if program.code.get(address, "").split()[:1] == ["syscall"]:
            return f"a system call at {address:#x}"
        number = bisect_right(places, address) - 1
        first, size, name = program.others[max(number, 0)]
        if first <= address < first + size and not COPIES.match(name):
            return f"{name}()"
    return ""


@cache
def _texts(csrc: Path, module: str, name: str) -> tuple[str, ...]:
    return tuple((csrc / module / name).read_text().splitlines())


def _line(csrc: Path, function: str, place: str) -> Line:
    """Of what addr2line says. The path is that of the sources when they were compiled; they may have moved since."""
    path, _, number = place.split()[0].rpartition(":")
    source = Path(os.path.normpath(path))
    if source.parent.name not in MODULES:
        return Line(function, place)
    text = _texts(csrc, source.parent.name, source.name)[int(number) - 1]
    return Line(function, text.partition("/*")[0].strip(), f"{source.name}:{number}")


def source_lines(program: Program, csrc: Path, addresses: list[int]) -> tuple[Line, ...]:
    """Each once. A function that the compiler has made a part of another one keeps its lines; but for those of headers,
    which count as the line that calls them."""
    text = _output("addr2line", "-a", "-f", "-i", "-e", program.path, stdin="".join(f"{a:#x}\n" for a in addresses))
    found = []
    for of_one in re.split(r"^0x[0-9a-f]+\n", text, flags=re.MULTILINE)[1:]:
        frames = re.findall(r"^(\S+)\n(\S.*)$", of_one, re.MULTILINE)  # the innermost first
        function, place = next((frame for frame in frames if ".c:" in frame[1]), frames[0])
        found.append(_line(csrc, function, place))
    return tuple(dict.fromkeys(found))


def coverage(program: Program, csrc: Path, trace: Trace) -> list[Coverage]:
    reached = {other for _, other in trace}
    addresses = sorted(address for address, text in program.code.items() if not text.startswith(PADDING))
    found = []
    for name, (first, size) in sorted(program.functions.items()):
        inside = addresses[bisect_left(addresses, first) : bisect_left(addresses, first + size)]
        missed = [address for address in inside if address not in reached]
        lines = source_lines(program, csrc, missed) if missed else ()
        found.append(Coverage(name, len(inside), len(missed), lines))
    return found
