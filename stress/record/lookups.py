# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What a lookup of a BPF program takes, beside one in the kernel's hash map."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from csrc.build_bpf import compile_bpf

HERE = Path(__file__).resolve().parent
CSRC = HERE.parent.parent / "csrc"
BOUND = 1.1  #: of the map's time, at every size


@dataclass(frozen=True)
class Lookups:
    """Nanoseconds, and the median of the ratios of turns."""

    keys: int
    table: float
    map: float
    ratio: float


def lookups() -> list[Lookups]:
    sources = [path for name in ("table", "process", "region", "bpf") for path in sorted((CSRC / name).glob("*.c"))]
    includes = [f"-I{CSRC / name}" for name in ("include", "table", "bpf")]
    with tempfile.TemporaryDirectory() as folder:
        programs, loader = Path(folder) / "loops.bpf.o", Path(folder) / "loops"
        compile_bpf(HERE / "loops.bpf.c", programs, HERE)
        files = [str(HERE / "loops.c"), *map(str, sources)]
        subprocess.run(["cc", "-O2", *includes, *files, "-o", str(loader), "-ldl", "-pthread"], check=True)
        command = [str(loader), str(programs)]
        found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout
    lines = [line.split() for line in found.splitlines()]
    return [Lookups(int(line[0]), *map(float, line[1:])) for line in lines]
