# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the object file of the lookup path shows: that a lookup needs nothing (G2) and that its loops count (G1).

Each reading returns what is wrong, one sentence each, so that a test and a mutant can use it alike. Instructions
are read with objdump; those of loops and locks are x86-64's. Other tools than cc and objdump: by $CC and $OBJDUMP.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from stress import programs

STACK_BYTES = 256  #: of the deepest chain of calls of a lookup, return addresses included
MAY_LOCK = {"bid_pin", "bid_unpin"}  #: the first claim of a pin, and what comes when the pin table is full
OVER_KEYS = "bid_lookup_many"  #: its outermost loop goes over the caller's keys; the rest is inlined elsewhere as well
FLAGS = ("-std=c11", "-O2")
#: For atomic accesses of one instruction each, by processor. Elsewhere they are loops, which never end when they are
#: stepped, or calls.
ATOMICS = {"x86_64": (), "aarch64": ("-march=armv8.1-a",)}
HOW_TO_GET = "objdump is missing: install binutils (Debian: apt-get install binutils)"

LOCKED = re.compile(r"\block\b|\bxchg\b.*\(|\bcmpxchg|\bxadd\b|\bmfence\b")
TLS = re.compile(r"TLS|TPOFF|DTPMOD|GOTTPOFF")
FAMILIES = {"ax": "rax", "bx": "rbx", "cx": "rcx", "dx": "rdx", "si": "rsi", "di": "rdi", "bp": "rbp", "sp": "rsp"}


@dataclass
class Instruction:
    address: int
    text: str
    relocation: str = ""  #: the symbol that it names, if the linker fills it in
    target: int | None = None  #: of a jump or call within the section

    @property
    def mnemonic(self) -> str:
        return self.text.split()[0]

    @property
    def operands(self) -> list[str]:
        """Sources first, the destination last, as in AT&T syntax; registers by their 64-bit names."""
        rest = self.text.partition(" ")[2].split("#")[0].split("<")[0].strip()
        return [register(part.strip()) for part in re.split(r",(?![^(]*\))", rest) if part.strip()]

    @property
    def is_conditional(self) -> bool:
        return self.mnemonic.startswith("j") and self.mnemonic != "jmp"


@dataclass
class ObjectFile:
    path: Path
    functions: dict[str, list[Instruction]] = field(default_factory=dict)
    stack: dict[str, int] = field(default_factory=dict)  #: bytes of each function's frame
    dynamic: list[str] = field(default_factory=list)  #: functions whose frame has no fixed size


def register(operand: str) -> str:
    """%eax, %ax and %al are %rax, and so on; anything else stays as it is."""
    if not (match := re.fullmatch(r"%([re]?)(\w+)", operand)):
        return operand
    name = match[2]
    if name.endswith("l") and name[:-1] + "x" in FAMILIES:
        return f"%{FAMILIES[name[:-1] + 'x']}"
    if re.fullmatch(r"r?\d+[dwb]?", name):
        return "%r" + re.sub(r"[rdwb]", "", name)
    name = name[:-1] if name.endswith("l") and name[:-1] in FAMILIES else name
    return f"%{FAMILIES.get(name, name)}"


def objdump(*arguments: str | Path) -> str:
    command = [os.environ.get("OBJDUMP", "objdump"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def compile_lookup(csrc: Path, processor: str = platform.machine()) -> ObjectFile:
    """lookup.c of these sources. processor: what the compiler compiles for."""
    return compile_source(csrc / "table" / "lookup.c", csrc, processor)


def compile_source(source: Path, csrc: Path, processor: str = platform.machine()) -> ObjectFile:
    """Compiles one file of these sources as a library is built, and reads it."""
    flags = (*FLAGS, *ATOMICS.get(processor, ()), "-fstack-usage")
    cc = os.environ.get("CC", "cc")
    (made,) = programs.objects([source], programs.Toolchain(cc, flags, csrc, strict=()))
    result = ObjectFile(made)
    for line in result.path.with_suffix(".su").read_text().splitlines():
        place, size, kind = line.split("\t")
        name = place.rpartition(":")[2]
        result.stack[name] = int(size)
        if kind != "static":
            result.dynamic.append(name)
    read_functions(result)
    return result


def read_functions(result: ObjectFile) -> None:
    name = ""
    for line in objdump("-dr", "--no-show-raw-insn", result.path).splitlines():
        if match := re.match(r"[0-9a-f]+ <(\S+)>:", line):
            name = match[1]
            result.functions[name] = []
        elif match := re.match(r"\s+[0-9a-f]+: (R_\w+)\s+([\w.]+)", line):
            result.functions[name][-1].relocation = match[2]
        elif name and (match := re.match(r"\s+([0-9a-f]+):\t(.*)", line)):
            target = re.search(r"\s([0-9a-f]+) <", match[2])
            jumps = re.match(r"j|call|b", match[2])
            instruction = Instruction(int(match[1], 16), match[2].strip())
            instruction.target = int(target[1], 16) if target and jumps else None
            result.functions[name].append(instruction)


# --------------------------------------------------------------------------------------------------- readings --


def undefined_symbols(file: ObjectFile) -> list[str]:
    symbols = [line.split()[-1] for line in objdump("-t", file.path).splitlines() if "*UND*" in line]
    return [f"undefined symbol {symbol}" for symbol in symbols]


def tls_relocations(file: ObjectFile) -> list[str]:
    lines = objdump("-r", file.path).splitlines()
    return [f"TLS relocation {' '.join(line.split()[1:])}" for line in lines if TLS.search(line)]


def matching(file: ObjectFile, what: str, pattern: str) -> list[str]:
    return [
        f"{what} in {name}: {instruction.text}"
        for name, body in file.functions.items()
        for instruction in body
        if re.match(pattern, instruction.text)
    ]


def constants(file: ObjectFile) -> list[str]:
    """In memory: the first lookup of a forked child would take a page fault for one."""
    lines = objdump("-r", file.path).partition("[.text]")[2].partition("RELOCATION RECORDS")[0].splitlines()
    return [
        f"a constant in memory: {line.split()[2]}" for line in lines if re.search(r"\s\.(LC|ro?data|data|bss)", line)
    ]


def indirect_calls(file: ObjectFile) -> list[str]:
    return matching(file, "indirect call", r"(notrack )?(call|jmp)\s+\*|blr\b|br\b")


def system_calls(file: ObjectFile) -> list[str]:
    return matching(file, "system call", r"syscall|sysenter|int\b|svc\b")


def locked_instructions(file: ObjectFile) -> list[str]:
    """Those outside of the first claim of a pin and of its overflow."""
    return [
        f"locked instruction in {name}: {instruction.text}"
        for name, body in file.functions.items()
        for instruction in body
        if name.split(".")[0] not in MAY_LOCK and LOCKED.search(instruction.text)
    ]


def deepest_chain(file: ObjectFile) -> tuple[int, list[str]]:
    """The bytes of stack of the deepest chain of calls, and its functions. Recursion is an error."""
    starts = {body[0].address: name for name, body in file.functions.items() if body}
    calls: dict[str, set[str]] = {}
    for name, body in file.functions.items():
        targets = {starts[i.target] for i in body if i.target in starts} | {i.relocation for i in body}
        calls[name] = targets & file.functions.keys() - {name}

    def depth(name: str, above: tuple[str, ...]) -> tuple[int, list[str]]:
        if name in above:
            raise ValueError(f"recursion: {' -> '.join((*above, name))}")
        below = [depth(callee, (*above, name)) for callee in calls[name]]
        size, chain = max(below, default=(0, []))
        return size + file.stack.get(name, file.stack[name.split(".")[0]]), [name, *chain]

    return max(depth(name, ()) for name in file.functions)


def deep_stack(file: ObjectFile) -> list[str]:
    size, chain = deepest_chain(file)
    wrong = [f"the frame of {name} has no fixed size" for name in file.dynamic]
    if size > STACK_BYTES:
        wrong.append(f"{size} bytes of stack: {' -> '.join(chain)}")
    return wrong


# ------------------------------------------------------------------------------------------------------ loops --

STEPS = re.compile(r"(add|sub)[lq]?$|(inc|dec)[lq]?$")
NO_FLAGS = re.compile(r"mov|lea|nop|push|pop|xchg|prefetch|cs\b|data16|bswap|not|set|call")
WRITES_NOTHING = re.compile(r"cmp|test|j|nop|prefetch|push|bt[lq]?$|cs\b|data16|ret")


def successors(body: list[Instruction]) -> dict[int, set[int]]:
    """By address; a jump to another function leaves this one."""
    inside = {instruction.address for instruction in body}
    following: dict[int, set[int]] = {}
    for instruction, after in zip(body, [*body[1:], None]):
        nexts = set()
        if instruction.mnemonic not in ("jmp", "ret", "ud2", "hlt") and after:
            nexts.add(after.address)
        if instruction.mnemonic.startswith("j") and instruction.target in inside:
            nexts.add(instruction.target)
        following[instruction.address] = nexts
    return following


def cycles(nodes: set[int], following: dict[int, set[int]]) -> Iterator[set[int]]:
    """The strongly connected components that hold a cycle, among these nodes."""

    def reach(start: int, edges: dict[int, set[int]]) -> set[int]:
        seen: set[int] = set()
        todo = [start]
        while todo:
            fresh = (edges[todo.pop()] & nodes) - seen
            seen |= fresh
            todo += fresh
        return seen

    backward: dict[int, set[int]] = {node: set() for node in nodes}
    for node in nodes:
        for after in following[node] & nodes:
            backward[after].add(node)
    rest = set(nodes)
    while rest:
        node = min(rest)
        component = reach(node, following) & reach(node, backward)
        if component:
            yield component
        rest -= component | {node}


def flags_from(body: list[Instruction], jump: Instruction) -> Instruction | None:
    """The instruction before a conditional jump that sets its flags."""
    for instruction in reversed(body[: body.index(jump)]):
        if not NO_FLAGS.match(instruction.mnemonic):
            return instruction
        if instruction.mnemonic.startswith("call"):
            break
    return None


def writes(instruction: Instruction, place: str) -> bool:
    return (
        bool(instruction.operands)
        and instruction.operands[-1] == place
        and not WRITES_NOTHING.match(instruction.mnemonic)
    )


PLACE = re.compile(r"%r\w+|-?(0x[0-9a-f]+)?\(%rsp\)")  # a register, or what the compiler spilled to the stack


def last_write(body: list[Instruction], before: Instruction, place: str) -> Instruction | None:
    """The nearest write above, in the order of the code."""
    return next((i for i in reversed(body[: body.index(before)]) if writes(i, place)), None)


def unspilled(body: list[Instruction], user: Instruction, place: str) -> str:
    """The place on the stack that a register was just loaded from; else the place itself."""
    write = last_write(body, user, place)
    spilled = write and write.mnemonic.startswith("mov") and re.search(r"\(%rsp\)", write.operands[0])
    return write.operands[0] if write and spilled else place


def constant_step(body: list[Instruction], write: Instruction, place: str) -> bool:
    """add, sub, inc or dec by a constant, or an lea that does the same; for a spilled place, between load and store."""
    operands = write.operands
    if write.mnemonic.startswith("lea"):
        return bool(re.fullmatch(rf"-?0x[0-9a-f]+\({re.escape(place)}\)", operands[0]))
    if write.mnemonic.startswith("mov") and place.endswith("(%rsp)"):
        step = last_write(body, write, operands[0])
        return (
            step is not None
            and step.mnemonic != "mov"
            and constant_step(body, step, operands[0])
            and (unspilled(body, step, operands[0]) == place)
        )
    return bool(STEPS.match(write.mnemonic)) and (len(operands) == 1 or operands[0].startswith("$"))


def counters(body: list[Instruction], loop: set[int]) -> Iterator[tuple[Instruction, list[int]]]:
    """Conditional jumps out of a loop that depend on what every writer in it steps by a constant; and those writers."""
    inside = [instruction for instruction in body if instruction.address in loop]
    following = successors(body)
    for jump in inside:
        setter = flags_from(body, jump) if jump.is_conditional and following[jump.address] - loop else None
        if setter is None or setter.address not in loop:
            continue
        compared = [operand for operand in setter.operands if not operand.startswith("$")]
        if setter.mnemonic.startswith(("cmp", "test")):
            compared = [unspilled(body, setter, operand) for operand in compared]
        steps = {place: [i for i in inside if writes(i, place)] for place in compared}
        varying = [place for place in steps if steps[place]]
        if not all(PLACE.fullmatch(place) for place in compared) or len(varying) != 1:
            continue
        if all(constant_step(body, write, varying[0]) for write in steps[varying[0]]):
            yield jump, [write.address for write in steps[varying[0]]]


def counts(body: list[Instruction], loop: set[int]) -> bool:
    """Whether every way around this loop steps a counter and looks at it, or is around a loop within it that does."""
    following = successors(body)
    return any(
        all(counts(body, inner) for inner in cycles(loop - {jump.address}, following))
        and all(counts(body, inner) for inner in cycles(loop - set(steps), following))
        for jump, steps in counters(body, loop)
    )


def uncounted_loops(file: ObjectFile) -> list[str]:
    """Loops that do not end by counting: a retry, or a wait for another thread."""
    return [
        f"a loop in {name} at {min(loop):#x} that does not count"
        for name, body in file.functions.items()
        for loop in cycles({instruction.address for instruction in body}, successors(body))
        if name != OVER_KEYS and not counts(body, loop)
    ]


Reading = Callable[[ObjectFile], list[str]]

#: By the name that a report gives them.
READINGS: dict[str, Reading] = {
    "undefined symbols": undefined_symbols,
    "TLS relocations": tls_relocations,
    "constants": constants,
    "indirect calls": indirect_calls,
    "system calls": system_calls,
    "locked instructions": locked_instructions,
    "uncounted loops": uncounted_loops,
    "stack": deep_stack,
}
X86_ONLY = {"locked instructions", "uncounted loops"}


def findings(file: ObjectFile, names: Iterable[str] = READINGS) -> dict[str, list[str]]:
    """What these readings found wrong, by name; nothing for those that found nothing."""
    return {name: wrong for name in names if (wrong := READINGS[name](file))}
