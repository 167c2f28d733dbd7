# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds what is recorded: a program with frame pointers, and libraries whose build IDs no other file has; and tools to
measure with: each is a program with its BPF programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from csrc.build_bpf import CSRC, compile_bpf
from stress import programs

HERE = Path(__file__).resolve().parent
BUILD = Path("build/record")
MODULES = ("table", "process", "region", "bpf")  #: of csrc: the table in the memory of a BPF map
LIBRARIES = 12
NEVER = bytes([0xB1, 0xD0, 0xFF, *range(17)])  #: build ID of a library that is mapped and never run
FRAMES = ("-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")


def build_work(folder: Path) -> Path:
    """The program; its libraries lie beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [*(f"l{i:02}" for i in range(LIBRARIES)), "xa", "xb"]
    for i, name in enumerate(names):
        build_library(folder / f"{name}.so", bytes([0xB1, 0xD0, i + 1, *range(17)]))
    build_library(folder / "never.so", NEVER)
    program = folder / "work"
    if not _is_current(program, "work.c"):
        _compile(program, str(HERE / "work.c"), "-ldl", "-pthread")
    return program


def build_library(output: Path, build_id: bytes) -> None:
    """One link of the stack. It is whole, header and code, in one mapping that is executable."""
    if _is_current(output, "chain.c"):
        return
    id_option = f"-Wl,--build-id=0x{build_id.hex()}"
    flags = ["-shared", "-fPIC", "-Wl,-z,noseparate-code", id_option]
    _compile(output, *flags, str(HERE / "chain.c"))
    with output.open("rb") as file:
        os.fsync(file.fileno())  # pages that are not on the disk yet cannot be thrown out of memory


def build_tool(
    name: str, sources: Path = HERE, csrc: Path = CSRC, output: Path = BUILD, debug: bool = False
) -> tuple[Path, Path]:
    """NAME.c of a folder, with the table in BPF memory, and its programs, NAME.bpf.c. csrc: may be an edited copy.
    Raises CompilerError and BpfBuildError."""
    flags = ("-O2", "-g", f"-I{csrc / 'bpf'}", *(["-DBID_DEBUG"] if debug else []))
    toolchain = programs.Toolchain(flags=flags, csrc=csrc, strict=programs.STRICT if csrc == CSRC else ())
    program = programs.build(name, [sources / f"{name}.c"], toolchain, toolchain.sources(MODULES))
    output.mkdir(parents=True, exist_ok=True)
    loaded = output / f"{name}.bpf.o"
    with TemporaryDirectory(dir=output) as folder:  # others may be reading what is there
        compile_bpf(sources / f"{name}.bpf.c", Path(folder, loaded.name), sources, csrc=csrc)
        Path(folder, loaded.name).replace(loaded)
    return program, loaded.resolve()


def _compile(output: Path, *arguments: str) -> None:
    """Others, also threads of this process, may be using what is there, or be making it as well."""
    with TemporaryDirectory(dir=output.parent) as folder:
        made = Path(folder, output.name)
        subprocess.run(["cc", *FRAMES, *arguments, "-o", str(made)], check=True)
        made.replace(output)


def _is_current(output: Path, source: str) -> bool:
    return output.exists() and output.stat().st_mtime_ns > (HERE / source).stat().st_mtime_ns
