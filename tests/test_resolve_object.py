# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The object file that resolves addresses needs nothing but the lookup path of the table (G2): read from the code."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from test_lookup_object import FLAGS, LOCKED, MAY_LOCK, ROOT, objdump

RESOLVE = ROOT / "csrc" / "resolve"
LOOKUP_SIDE = {"bid_inode_lookup", "bid_pin", "bid_unpin"}


def compiled(source: Path, folder: Path) -> str:
    path = folder / f"{source.stem}.o"
    command = [os.environ.get("CC", "cc"), *FLAGS, "-fstack-usage", "-c", str(source), "-o", str(path)]
    subprocess.run(command, check=True)
    return str(path)


@pytest.fixture(scope="module")
def resolve_object(tmp_path_factory: pytest.TempPathFactory) -> str:
    return compiled(RESOLVE / "resolve.c", tmp_path_factory.mktemp("object"))


def undefined(path: str) -> set[str]:
    return {line.split()[-1] for line in objdump("-t", path).splitlines() if "*UND*" in line}


def instructions(path: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in objdump("-dr", "--no-show-raw-insn", path).splitlines():
        if match := re.match(r"[0-9a-f]+ <(\w+(?:\.\w+)*)>:", line):
            found[match[1]] = []
        elif found and "\t" in line:
            list(found.values())[-1].append(line.split("\t", 1)[1].strip())
    return found


def test_it_calls_the_lookup_path_alone(resolve_object: str) -> None:
    assert undefined(resolve_object) == LOOKUP_SIDE
    assert not re.search(r"TLS|TPOFF|DTPMOD|GOTTPOFF", objdump("-r", resolve_object))


def test_the_inode_lookup_calls_the_table_lookup_alone(tmp_path: Path) -> None:
    """bid_inode_lookup() shares its object file with associate and evict, so its own instructions are looked at."""
    code = instructions(compiled(ROOT / "csrc" / "inode" / "inode.c", tmp_path))["bid_inode_lookup"]
    called = {match[1] for line in code if (match := re.search(r"R_\w+\s+(\w+)", line))}
    assert called == {"bid_lookup_generation"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the names of the instructions are x86's; run it on x86-64")
def test_no_system_call_no_lock_no_indirect_call(resolve_object: str) -> None:
    functions = instructions(resolve_object)
    assert {"bid_resolve", "bid_resolve_general", "bid_resolve_header"} <= functions.keys()
    for name, text in functions.items():
        for line in text:
            assert not re.match(r"(syscall|sysenter|int\b|(call|jmp)\s+\*)", line), f"{name}: {line}"
            assert name in MAY_LOCK or not LOCKED.search(line), f"{name}: {line}"


def test_stack(resolve_object: str) -> None:
    usage = {}
    for line in Path(resolve_object).with_suffix(".su").read_text().splitlines():
        place, size, kind = line.split("\t")
        assert kind == "static", line
        usage[place.rpartition(":")[2]] = int(size)
    assert usage["bid_resolve"] + usage["bid_resolve_general"] <= 512


def test_it_includes_nothing_of_the_update_side() -> None:
    included = {
        name
        for source in ("resolve.c", "resolve.h")
        for name in re.findall(r'#include "([^"]+)"', (RESOLVE / source).read_text())
    }
    assert included == {"pybuildid.h", "resolve.h", "../table/bid_atomic.h", "../table/pin.h"}
    for source in ("resolve.c", "resolve.h"):
        assert "#include <" not in (RESOLVE / source).read_text()
