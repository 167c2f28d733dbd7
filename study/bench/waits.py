# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How many lines of memory a cold hit waits for one after the other (G11): counted in the instructions of it.

Each value has a depth: how many lines were waited for, one after the other, until it was there. A load from a line that
nobody asked for is one deeper than its address. A prefetch asks for a line as early as its address is known, without
waiting. What is only compared is not waited for, for branches are predicted; nor is what a pin writes.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from stress import programs
from stress.common import object_file
from stress.common.object_file import Instruction

LINE = 64
SLOTS, PLACES = 8, 6  #: of a bucket; a slot beyond the places has its record elsewhere
COPIES = re.compile(r"v?(mov|lea|pshufd|pmovmskb|tzcnt|bsf|pop)")  # the destination is not read
COMPARES = re.compile(r"cmp|test|j|nop|ret|push|endbr")
PROCESSOR = "x86_64"  #: whose instructions are read


@dataclass
class Trace:
    """One lookup: the depths of registers, of lines, and of what it stored."""

    answer: range
    depths: dict[str, int] = field(default_factory=dict)
    lines: dict[int, int] = field(default_factory=dict)
    stored: dict[int, int] = field(default_factory=dict)

    def address(self, operand: str, values: dict[str, int]) -> tuple[int, int] | None:
        """Of an operand in memory: where it is, and the depth of that."""
        match = re.fullmatch(r"(-?0x[0-9a-f]+)?\((%\w+)?(?:,(%\w+),(\d))?\)", operand)
        if not match:
            return None
        parts = [(match[2], 1), (match[3], int(match[4] or 1))]
        registers = [(object_file.register(name)[1:], scale) for name, scale in parts if name]
        at = int(match[1] or "0", 16) + sum(values[name] * scale for name, scale in registers)
        return at & (2**64 - 1), max((self.depths.get(name, 0) for name, _ in registers), default=0)

    def read(self, operand: str, values: dict[str, int]) -> int:
        if operand.startswith("%") and not operand.startswith("%fs:"):
            return self.depths.get(operand[1:], 0)
        if (place := self.address(operand, values)) is None:
            return 0
        at, depth = place
        if at in self.stored:
            return self.stored[at]
        return max(depth, self.lines.setdefault(at // LINE, depth + 1))

    def execute(self, instruction: Instruction, values: dict[str, int]) -> None:
        operands = instruction.operands
        if instruction.mnemonic.startswith("prefetch"):
            at, depth = self.address(operands[0], values) or (0, 0)
            self.lines.setdefault(at // LINE, depth + 1)
        elif COMPARES.match(instruction.mnemonic) or not operands:
            for operand in operands:
                self.read(operand, values)
        elif instruction.mnemonic in ("mul", "imul") and len(operands) == 1:
            self.depths["rax"] = self.depths["rdx"] = max(self.read(operands[0], values), self.depths.get("rax", 0))
        else:
            self.write(instruction, operands, values)

    def write(self, instruction: Instruction, operands: list[str], values: dict[str, int]) -> None:
        *sources, target = operands
        zero = len(operands) == 2 and sources == [target] and re.match(r"p?xor", instruction.mnemonic)
        if instruction.mnemonic.startswith("lea"):
            depth = (self.address(sources[0], values) or (0, 0))[1]
        else:
            depth = max((self.read(source, values) for source in sources), default=0)
        if not COPIES.match(instruction.mnemonic):
            depth = max(depth, self.read(target, values))
        if place := self.address(target, values):
            self.stored[place[0]] = max(depth, place[1])
        elif target.startswith("%"):
            self.depths[target[1:]] = 0 if zero or instruction.mnemonic == "pop" else depth

    def waits(self) -> int:
        """The lines that the answer waited for."""
        return max(depth for at, depth in self.stored.items() if at in self.answer)


def traces(csrc: Path) -> list[Trace]:
    """Of a hit of each slot of a bucket, with what is measured compiled as a library is. Raises CompilerError."""
    lookup = object_file.compile_lookup(csrc)
    body = lookup.functions["bid_lookup"]
    toolchain = programs.Toolchain(csrc=csrc, flags=("-O2",))
    others = [source for source in toolchain.sources() if source.name != "lookup.c"]
    made = programs.objects([Path(__file__).with_name("trace_lookup.c"), *others], toolchain)
    program = programs.link("trace_lookup", [*made, lookup.path], toolchain)
    size = body[-1].address - body[0].address + 1
    output = subprocess.run([program, str(size)], capture_output=True, text=True, check=True, timeout=60).stdout
    by_offset = {instruction.address - body[0].address: instruction for instruction in body}
    found: list[Trace] = []
    for line in output.splitlines():
        first, *rest = line.split()
        if first == "lookup":
            start, length = (int(text, 16) for text in rest)
            found.append(Trace(range(start, start + length)))
            continue
        values = {name: int(value, 16) for name, _, value in (text.partition("=") for text in rest)}
        found[-1].execute(by_offset[int(first, 16)], values)
    return found[-SLOTS:]


def waits(csrc: Path = programs.ROOT / "csrc") -> list[int]:
    """Of a hit of each slot of its key's home bucket, in their order."""
    return [trace.waits() for trace in traces(csrc)]
