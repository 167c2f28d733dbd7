# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The object file of the lookup path needs nothing (G2), and the sources include only what they may: read from both."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TABLE = ROOT / "csrc" / "table"
FLAGS = ("-std=c11", "-O2", f"-I{ROOT / 'csrc' / 'include'}")
LOCKED = re.compile(r"\block\b|\bxchg\b.*\(|\bcmpxchg|\bxadd\b|\bmfence\b")
MAX_STACK = 256  # bytes, return addresses included
MAY_LOCK = {"bid_pin", "bid_unpin"}  # the first claim of a pin, and what comes when the pin table is full


def objdump(*arguments: str) -> str:
    if shutil.which("objdump") is None:
        pytest.skip("objdump is missing: install binutils (Debian: apt-get install binutils)")
    return subprocess.run(["objdump", *arguments], capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def lookup_object(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("object") / "lookup.o"
    command = [os.environ.get("CC", "cc"), *FLAGS, "-c", str(TABLE / "lookup.c"), "-o", str(path)]
    subprocess.run(command, check=True)
    return str(path)


@pytest.fixture(scope="module")
def functions(lookup_object: str) -> dict[str, list[str]]:
    """The instructions of each function, as text."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in objdump("-d", "--no-show-raw-insn", lookup_object).splitlines():
        if match := re.match(r"[0-9a-f]+ <(\w+(?:\.\w+)*)>:", line):
            name = match[1]
            found[name] = []
        elif re.match(r"\s+[0-9a-f]+:", line) and name:
            found[name].append(line.split("\t", 1)[1])
    assert {"bid_lookup", "bid_lookup_generation", "bid_lookup_many"} <= found.keys()
    return found


def test_no_undefined_symbol(lookup_object: str) -> None:
    assert "*UND*" not in objdump("-t", lookup_object)


def test_no_tls_relocation(lookup_object: str) -> None:
    assert not re.search(r"TLS|TPOFF|DTPMOD|GOTTPOFF", objdump("-r", lookup_object))


def test_no_system_call_and_no_indirect_call(functions: dict[str, list[str]]) -> None:
    for name, instructions in functions.items():
        for instruction in instructions:
            assert not re.match(r"(syscall|sysenter|int\b|(call|jmp)\s+\*)", instruction), f"{name}: {instruction}"


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the lock prefix is x86's; run this on x86-64")
def test_locked_instructions_only_where_a_pin_is_claimed(functions: dict[str, list[str]]) -> None:
    locking = {name for name, text in functions.items() if any(LOCKED.search(line) for line in text)}
    assert locking <= MAY_LOCK
    assert "bid_pin" in locking  # the pattern finds what it looks for


def test_stack(tmp_path: Path) -> None:
    subprocess.run(
        [
            os.environ.get("CC", "gcc"),
            *FLAGS,
            "-fstack-usage",
            "-c",
            str(TABLE / "lookup.c"),
            "-o",
            str(tmp_path / "lookup.o"),
        ],
        check=True,
    )
    usage = {}
    for line in (tmp_path / "lookup.su").read_text().splitlines():
        place, size, kind = line.split("\t")
        assert kind == "static", line
        usage[place.rpartition(":")[2]] = int(size)
    # The deepest chains. A simple lookup that has to start again does so by a jump: its own frame is gone by then.
    below = usage["bid_find"] + usage["bid_probe"]
    assert below + max(usage["bid_lookup_general"], usage["bid_lookup_many"]) <= MAX_STACK
    assert max(usage["bid_lookup"], usage["bid_lookup_generation"]) + usage["bid_lookup_general"] + below <= MAX_STACK


def includes(path: Path, seen: set[str] | None = None) -> set[str]:
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "([^"]+)"', path.read_text()):
        file = TABLE / name if (TABLE / name).exists() else ROOT / "csrc" / "include" / name
        if name not in seen:
            seen.add(name)
            includes(file, seen)
    return seen


def test_lookup_includes_nothing_of_the_update_side() -> None:
    own = {"bid_atomic.h", "platform.h", "slot.h", "table.h", "hash.h", "match.h", "pin.h", "probe.h"}
    allowed = {"pybuildid.h", *own}
    assert includes(TABLE / "lookup.c") == allowed


def test_the_table_uses_nothing_else() -> None:
    for path in TABLE.glob("*.[ch]"):
        assert not any("/" in name for name in re.findall(r'#include "([^"]+)"', path.read_text())), path
        if path.name != "platform_user.c":
            system = set(re.findall(r"#include <([^>]+)>", path.read_text()))
            assert system <= {"stdatomic.h", "stddef.h", "stdint.h"}, path


def test_no_lock_in_the_table() -> None:
    words = re.compile(r"pthread_mutex|pthread_rwlock|pthread_spin|atomic_flag|\bfutex\b|sem_wait")
    for path in TABLE.glob("*.[ch]"):
        assert not words.search(path.read_text()), path
