# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The files that the fuzzers begin with: one of each form that a parser tells apart."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from elfbuild import (
    ABI_TAG,
    CORE,
    ET_CORE,
    ET_DYN,
    ET_EXEC,
    ET_REL,
    PROPERTY,
    PT_LOAD,
    SHT_NOTE,
    Elf,
    Note,
    Part,
    gnu,
    go,
)
from madeup import large_profile, named_profile

from pybuildid.stacks.model import Label
from pybuildid.stacks.pprof import encode
from pybuildid.stacks.wire import message, number

ID = bytes(range(1, 21))


def elf_files() -> list[bytes]:
    """Files and notes, with build IDs of all kinds."""
    load = Part(bytes(16), PT_LOAD, offset=64, vaddr=0x400040)
    contents = [
        Elf([Part([gnu(ID)])]),
        Elf([load, Part([ABI_TAG, gnu(ID)])]),
        Elf([Part([PROPERTY, gnu(ID)], align=8), Part([go(ID)])]),
        Elf([Part([Note(b"Linux note\0", 9, b"123"), gnu(ID)], align=8, layout=4)]),
        Elf([Part([gnu(bytes(65)), go(bytes(83))])]),
        Elf([Part([CORE, go(bytes(83)), go(ID)])]),
        Elf([Part([gnu(bytes(32)), ABI_TAG]), Part([gnu(ID)])]),
        Elf([], [Part([gnu(ID)], type=SHT_NOTE)]),
        Elf([Part(b"", PT_LOAD)], [Part([gnu(bytes(64))], type=SHT_NOTE)], xnum=True),
    ]
    kinds = (ET_REL, ET_EXEC, ET_DYN, ET_CORE)
    elfs = [
        replace(elf, bits=bits, order=order, type=kind)
        for elf in contents
        for bits in (32, 64)
        for order in ("little", "big")
        for kind in kinds
    ]
    notes = [b"".join(note.encode(order) for note in (ABI_TAG, gnu(ID))) for order in ("little", "big")]
    packed = [b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"]
    return [elf.build() for elf in elfs] + notes + packed


def profiles() -> list[bytes]:
    """Messages; numbers that are packed, or a field each; ids in any order."""
    sample = number(1, 7) + number(1, 2**63) + number(2, 1) + number(2, -1) + message(3, number(1, 1))
    apart = message(2, sample) + message(4, number(1, 2**63) + message(4, number(2, 5))) + message(4, number(1, 7))
    named = named_profile(("a!b;c", 1), ("a!b", 2), labels=(Label("thread", "main"), Label("tid", number=7)))
    no_stack = message(2, number(2, 1))
    return [no_stack, apart, encode(named), encode(large_profile(20, 5, functions=30))]


SEEDS = {"note": elf_files, "pprof": profiles}


def write_seeds(target: str, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for place, data in enumerate(SEEDS[target]()):
        (directory / f"seed-{place:03}").write_bytes(data)
