# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the tests of symbols share: profiles of addresses in files, and what eu-addr2line says of them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as Files
from pathlib import Path

from madeup import PERIOD, TYPES

from pybuildid import read_build_id
from pybuildid.stacks.model import Location, Mapping, Sample, StackProfile
from pybuildid.symbols.elffile import ElfFile, Segment

START = 0x7F0000000000
PAGE = 4096
Names = list[tuple[str, str]]  #: of an address: each function, the innermost first, with FILE:LINE


def code(path: Path | str) -> list[Segment]:
    """The segments with code."""
    with open(path, "rb") as file:
        elf = ElfFile(file.fileno())
        try:
            return [segment for segment in elf.segments if segment.executable and segment.file_size]
        finally:
            elf.close()


def profile_of(files: Files[Path, Sequence[int]]) -> StackProfile:
    """Samples at addresses, as the linker gave them, of files; each segment is mapped as a loader would."""
    mappings: list[Mapping] = []
    locations: list[Location] = []
    for number, (path, addresses) in enumerate(files.items()):
        base, build_id = START + (number << 32), read_build_id(path) or b""
        for segment in code(path):
            shift = segment.offset % PAGE
            start, limit = base + segment.address - shift, base + segment.address + segment.file_size
            mappings.append(Mapping(start, limit, segment.offset - shift, str(path), build_id.hex()))
            locations += [
                Location(len(mappings), base + address)
                for address in addresses
                if segment.address <= address < segment.address + segment.file_size
            ]
    samples = [Sample((number,), (1, PERIOD)) for number in range(1, len(locations) + 1)]
    return StackProfile(TYPES, samples, mappings, locations, TYPES[1], PERIOD)


def names(profile: StackProfile) -> list[Names]:
    """Of each location, as eu-addr2line has them: not demangled."""
    return [
        [(line.system_name, f"{line.file}:{line.line}" if line.file else "??:0") for line in location.lines]
        for location in profile.locations
    ]


def addr2line(path: Path, addresses: Iterable[int], *options: str) -> list[Names]:
    """What eu-addr2line says of each address."""
    environment = {key: value for key, value in os.environ.items() if key != "DEBUGINFOD_URLS"}
    command = ["eu-addr2line", "-a", "-f", "-i", *options, "-e", str(path)]
    text = "".join(f"{address:#x}\n" for address in addresses)
    run = subprocess.run(command, input=text, capture_output=True, text=True, errors="surrogateescape", env=environment)
    blocks = re.split(r"^0x[0-9a-f]{8,16}\n", run.stdout, flags=re.MULTILINE)[1:]
    return [_pairs(block.splitlines()) for block in blocks]


def _pairs(lines: list[str]) -> Names:
    """Function and place of each pair of lines; nothing if not even the function is known. Without columns, and where a
    relative folder stands there twice, for it is put before a path that begins with it, once."""
    found = []
    for name, place in zip(lines[::2], lines[1::2]):
        place = re.sub(r"(:\d+):\d+$", r"\1", place)
        found.append((name.split(" inlined ")[0], re.sub(r"^((?:[^/:]+/)+)\1", r"\1", place)))
    return found if found and found[0][0] != "??" else []


def third(path: Path, address: int) -> Names:
    """What LLVM's reader says, for where the other two do not agree."""
    command = ["llvm-symbolizer", "--no-demangle", "-i", "-f", f"--obj={path}", hex(address)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [(name, "??:0" if place == "??:0" else place) for name, place in _pairs(text.split("\n\n")[0].splitlines())]
