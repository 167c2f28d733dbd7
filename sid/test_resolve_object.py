# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The object file that resolves addresses needs nothing but the lookup path of the table (G2): read from the code."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from stress.common import object_file
from stress.common.object_file import ObjectFile

ROOT = Path(__file__).resolve().parent.parent
RESOLVE = ROOT / "csrc" / "resolve"
LOOKUP_SIDE = {"bid_inode_lookup", "bid_pin", "bid_unpin"}

if shutil.which("objdump") is None:
    pytest.skip(object_file.HOW_TO_GET, allow_module_level=True)


@pytest.fixture(scope="module")
def resolve_object() -> ObjectFile:
    return object_file.compile_source(RESOLVE / "resolve.c", ROOT / "csrc")


def test_it_calls_the_lookup_path_alone(resolve_object: ObjectFile) -> None:
    wrong = object_file.undefined_symbols(resolve_object)
    assert {text.split()[-1] for text in wrong} == LOOKUP_SIDE
    assert {"bid_resolve", "bid_resolve_many", "bid_resolve_header"} <= resolve_object.functions.keys()


@pytest.mark.parametrize("reading", ["TLS relocations", "indirect calls", "system calls", "stack"])
def test_it_needs_nothing(resolve_object: ObjectFile, reading: str) -> None:
    assert not object_file.READINGS[reading](resolve_object)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the lock prefix is x86-64's; run this on x86-64")
def test_no_locked_instruction(resolve_object: ObjectFile) -> None:
    assert not object_file.locked_instructions(resolve_object)


def test_the_inode_lookup_calls_the_table_lookup_alone() -> None:
    """bid_inode_lookup() shares its object file with associate and evict, so its own instructions are looked at."""
    inode = object_file.compile_source(ROOT / "csrc" / "inode" / "inode.c", ROOT / "csrc")
    called = {instruction.relocation for instruction in inode.functions["bid_inode_lookup"]} - {""}
    assert called == {"bid_lookup_generation"}


def test_it_includes_nothing_of_the_update_side() -> None:
    included = {
        name
        for source in ("resolve.c", "resolve.h")
        for name in re.findall(r'#include "([^"]+)"', (RESOLVE / source).read_text())
    }
    assert included == {
        "bid/inode.h",
        "bid/resolve.h",
        "resolve.h",
        "identity.h",
        "../table/bid_atomic.h",
        "../table/pin.h",
    }
    for source in ("resolve.c", "resolve.h"):
        assert "#include <" not in (RESOLVE / source).read_text()
