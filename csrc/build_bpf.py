# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Compiles BPF programs. They are CO-RE: one object fits all kernels, and libbpf relocates it when it is loaded."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

CSRC = Path(__file__).resolve().parent
#: As libbpf's headers call the processor.
TARGETS = {"x86_64": "x86", "aarch64": "arm64", "s390x": "s390", "ppc64le": "powerpc", "riscv64": "riscv"}


class BpfBuildError(Exception):
    """A BPF program cannot be compiled here: what is missing, and how to get it."""


def compile_bpf(source: Path, output: Path, *includes: Path, csrc: Path = CSRC) -> None:
    """Compiles one file, unless its object is newer than all that it was made of. csrc: a copy of the sources."""
    rules = Path("build") / "bpf" / f"{output.stem}.d"
    if csrc == CSRC and _is_current(output, rules):
        return
    clang = shutil.which(os.environ.get("CLANG", "clang"))
    if clang is None:
        raise BpfBuildError("clang is not installed (Debian: apt-get install clang)")
    target = TARGETS.get(platform.machine())
    if target is None:
        raise BpfBuildError(f"the BPF programs do not know {platform.machine()}")
    folders = [csrc / "include", csrc / "table", csrc / "bpf", *includes]
    command = [
        *(clang, "-target", "bpf", "-mcpu=v3", "-O2", "-g", "-ffreestanding", "-Wall", "-Wextra", "-Werror"),
        *(
            "-Wno-unused-parameter",
            "-MMD",
            "-MF",
            str(rules),
            f"-D__TARGET_ARCH_{target}",
            *(f"-I{folder}" for folder in folders),
        ),
        *(f"-I/usr/include/{platform.machine()}-linux-gnu", "-c", str(source), "-o", str(output)),
    ]
    for folder in (output.parent, rules.parent):
        folder.mkdir(parents=True, exist_ok=True)
    result = subprocess.run(command, capture_output=True, text=True)
    if "bpf/bpf_helpers.h' file not found" in result.stderr:
        raise BpfBuildError("the headers of libbpf are not installed (Debian: apt-get install libbpf-dev)")
    if result.returncode:
        output.unlink(missing_ok=True)
        raise BpfBuildError(f"{' '.join(command)}\n{result.stderr}")


def _is_current(output: Path, rules: Path) -> bool:
    try:
        made = output.stat().st_mtime_ns
        read = rules.read_text().replace("\\\n", "").partition(":")[2].split()
        return all(os.stat(name).st_mtime_ns < made for name in read)
    except OSError:
        return False
