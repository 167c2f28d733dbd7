# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The object file of the lookup path needs nothing (G2), and the sources include only what they may: read from both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from stress import programs
from stress.common import object_file
from stress.common.object_file import Instruction, ObjectFile

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "csrc" / "table"
X86 = os.uname().machine == "x86_64"

if shutil.which("objdump") is None:
    pytest.skip(object_file.HOW_TO_GET, allow_module_level=True)


@pytest.fixture(scope="module")
def lookup_object() -> ObjectFile:
    return object_file.compile_lookup(ROOT / "csrc")


@pytest.mark.parametrize("reading", object_file.READINGS)
def test_the_object_file_needs_nothing(lookup_object: ObjectFile, reading: str) -> None:
    """What makes each reading fail is in stress/mutants/catalog, and in the tests below."""
    if reading in object_file.X86_ONLY and not X86:
        pytest.skip("read from x86-64's instructions: run this on x86-64")
    assert {"bid_lookup", "bid_lookup_generation", "bid_lookup_many"} <= lookup_object.functions.keys()
    assert not object_file.READINGS[reading](lookup_object)


@pytest.mark.parametrize("level", ["-O1", "-O2", "-O3", "-Os"])
@pytest.mark.parametrize("compiler", ["cc", "clang"])
def test_no_compiler_makes_it_need_more(compiler: str, level: str) -> None:
    """As a call of memset() for a loop, or a constant in memory: the child of a fork may have to fault that in."""
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not on PATH (Debian: apt-get install {'gcc' if compiler == 'cc' else compiler})")
    toolchain = programs.Toolchain(compiler, ("-std=c11", level), strict=())
    (target,) = programs.objects([TABLE / "lookup.c"], toolchain)
    assert not subprocess.run(["nm", "-u", str(target)], check=True, capture_output=True, text=True).stdout
    sections = subprocess.run(["objdump", "-h", str(target)], check=True, capture_output=True, text=True).stdout
    assert ".text" in sections
    assert ".rodata" not in sections


@pytest.mark.skipif(not X86, reason="the lock prefix is x86-64's; run this on x86-64")
def test_the_pattern_finds_locked_instructions(lookup_object: ObjectFile) -> None:
    assert any(object_file.LOCKED.search(instruction.text) for instruction in lookup_object.functions["bid_pin"])


@pytest.mark.skipif(not X86, reason="reads x86-64's instructions; run this on x86-64")
@pytest.mark.parametrize("source", ["lookup", "move", "update"])
def test_prefetches_are_not_left_out(source: str) -> None:
    """A compiler may take a function that only prefetches for one that does nothing."""
    file = object_file.compile_source(TABLE / f"{source}.c", ROOT / "csrc")
    assert object_file.matching(file, "prefetch", "prefetch")


def body(*lines: str) -> list[Instruction]:
    """Instructions of one byte each; "jne 3" jumps to the fourth."""
    found = [Instruction(address, text) for address, text in enumerate(lines)]
    for instruction in found:
        if instruction.mnemonic.startswith("j"):
            instruction.target = int(instruction.text.split()[1])
    return found


COUNTED = {
    "up to a constant": ("xor %eax,%eax", "add $0x8,%rax", "cmp $0x40,%rax", "jne 1", "ret"),
    "down to zero": ("mov (%rdi),%eax", "sub $0x1,%eax", "je 4", "jmp 1", "ret"),
    "in memory": ("movl $0x8,(%rsp)", "subl $0x1,(%rsp)", "jne 1", "ret"),
    "spilled": ("nop", "mov 0x8(%rsp),%rax", "inc %rax", "mov %rax,0x8(%rsp)", "cmp %rbx,0x8(%rsp)", "jb 1", "ret"),
    "one in another": ("xor %eax,%eax", "dec %eax", "jne 1", "inc %ebx", "cmp $0x8,%ebx", "jne 0", "ret"),
}
UNCOUNTED = {
    "waits for a word": ("mov (%rdi),%rax", "test %rax,%rax", "jne 0", "ret"),
    "retries": ("mov (%rdi),%rax", "mov (%rdi),%rdx", "cmp %rax,%rdx", "jne 0", "ret"),
    "never ends": ("add $0x1,%rax", "jmp 0"),
    "compares with memory": ("add $0x1,%rax", "cmp (%rdi),%rax", "jne 0", "ret"),
    "starts again": ("mov %rbx,%rax", "dec %rax", "jne 0", "ret"),
    "goes round without counting": ("test $0x1,%cl", "jne 0", "dec %rax", "jne 0", "ret"),
    "a retry around a count": ("mov $0x8,%eax", "dec %eax", "jne 1", "cmp %rbx,(%rdi)", "jne 0", "ret"),
}


@pytest.mark.parametrize("name", [*COUNTED, *UNCOUNTED])
def test_loops_that_count_are_told_from_others(name: str) -> None:
    code = body(*(COUNTED.get(name) or UNCOUNTED[name]))
    (loop,) = object_file.cycles({instruction.address for instruction in code}, object_file.successors(code))
    assert object_file.counts(code, loop) == (name in COUNTED)


def test_stack_is_that_of_the_deepest_chain() -> None:
    calls = {"a": body("call 0", "jmp 0"), "b": body("ret"), "c": body("call 0"), "d": body("ret")}
    calls["a"][0].relocation, calls["a"][1].relocation, calls["c"][0].relocation = "b", "c", "d"
    file = ObjectFile(Path(), calls, {"a": 100, "b": 150, "c": 80, "d": 90})
    assert object_file.deepest_chain(file) == (270, ["a", "c", "d"])
    calls["d"][0].relocation = "a"
    with pytest.raises(ValueError, match="recursion"):
        object_file.deepest_chain(file)


OTHERS = (ROOT / "csrc" / "include", ROOT / "csrc" / "kernel")
PUBLIC = {f"include/bid/{name}.h" for name in ("build_id", "status", "table", "version")}


def includes(path: Path, seen: set[str] | None = None) -> set[str]:
    """The headers that a file includes, directly or not, as paths in csrc."""
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "([^"]+)"', path.read_text()):
        file = next(folder / name for folder in (path.parent, TABLE, *OTHERS) if (folder / name).exists())
        where = str(file.resolve().relative_to(ROOT / "csrc"))
        if where not in seen:
            seen.add(where)
            includes(file, seen)
    return seen


def test_lookup_includes_nothing_of_the_update_side() -> None:
    names = ("bid_atomic", "bucket", "hash", "pin", "platform", "probe", "slot", "table")
    own = {f"table/{name}.h" for name in names}
    process = {"process/pins.h", "process/pin_forms.h"}
    kernel = {f"kernel/{name}_kernel.h" for name in ("atomic", "inline", "pin")}  # in a kernel build only
    assert includes(TABLE / "lookup.c") == PUBLIC | own | process | kernel


def test_the_table_uses_nothing_else() -> None:
    for path in TABLE.glob("*.[ch]"):
        names = re.findall(r'#include "([^"]+)"', path.read_text())
        elsewhere = {name for name in names if "/" in name} - {"../process/pins.h", "../process/pin_forms.h"}
        assert {f"include/{name}" for name in elsewhere} <= PUBLIC, path
        system = set(re.findall(r"#include <([^>]+)>", path.read_text()))
        assert system <= {"stdatomic.h", "stddef.h", "stdint.h"}, path


def test_no_lock_in_the_table() -> None:
    words = re.compile(r"pthread_mutex|pthread_rwlock|pthread_spin|atomic_flag|\bfutex\b|sem_wait")
    for path in TABLE.glob("*.[ch]"):
        assert not words.search(path.read_text()), path
