# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The C tests: each tests/c/test_*.c is a program of its own, linked with the core and run.

One alone: .venv/bin/python -m pytest tests/test_c.py -k paths
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from stress import programs

ROOT = programs.ROOT
SKIPPED = 77  #: the exit status of a program that could not check something; its last line says what and why
PROGRAMS = sorted((ROOT / "tests" / "c").glob("test_*.c"))
FLAGS = ("-O2", "-g", "-DBID_DEBUG")


def run_program(program: Path, tmp_path: Path, toolchain: programs.Toolchain | None = None) -> None:
    toolchain = toolchain or programs.Toolchain(flags=FLAGS)
    binary = programs.build(program.stem, [program], toolchain, toolchain.sources(programs.CORE))
    result = subprocess.run([str(binary)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program: Path, tmp_path: Path) -> None:
    run_program(program, tmp_path)


@pytest.mark.parametrize("name", ["test_iterate", "test_paths", "test_threads"])
def test_program_without_sse2(name: str, tmp_path: Path) -> None:
    """As other processors and a kernel have it."""
    toolchain = programs.Toolchain(flags=(*FLAGS, "-DBID_SCALAR"))
    run_program(ROOT / "tests" / "c" / f"{name}.c", tmp_path, toolchain)


#: They take seconds, and look for what has nothing to do with the compiler.
SLOW = {"test_limits", "test_threads", "test_resolve_interrupted"}


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.stem not in SLOW], ids=lambda path: path.stem)
def test_program_by_clang(program: Path, tmp_path: Path) -> None:
    """By a second compiler, which takes other liberties with atomics than GCC does."""
    if shutil.which("clang") is None:
        pytest.skip("clang is not on PATH (Debian: apt-get install clang)")
    run_program(program, tmp_path, programs.Toolchain("clang", FLAGS))


def test_32_bits_are_refused(tmp_path: Path) -> None:
    """Sizes of mappings would be cut off there."""
    command = [os.environ.get("CC", "cc"), "-std=c11", "-ffreestanding", f"-I{ROOT / 'csrc' / 'include'}", "-c"]
    probe = tmp_path / "probe.c"
    probe.write_text("int probe;\n")
    if subprocess.run([*command, "-m32", str(probe), "-o", os.devnull], capture_output=True).returncode:
        pytest.skip("this compiler makes no 32-bit code (-m32)")
    source = str(ROOT / "csrc" / "table" / "lookup.c")
    assert subprocess.run([*command, source, "-o", os.devnull], capture_output=True).returncode == 0
    result = subprocess.run([*command, "-m32", source, "-o", os.devnull], capture_output=True, text=True)
    assert result.returncode
    assert "needs a 64-bit system" in result.stderr
