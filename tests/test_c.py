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

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("table", "inode", "note", "resolve", "mappings", "profile")
SOURCES = [path for module in MODULES for path in sorted((ROOT / "csrc" / module).glob("*.c"))]
SKIPPED = 77  #: the exit status of a program that could not check something; its last line says what and why
PROGRAMS = sorted((ROOT / "tests" / "c").glob("test_*.c"))


@pytest.fixture(scope="session")
def core_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core as a static library; what has not changed is not compiled again."""
    build = tmp_path_factory.mktemp("core")
    cc = os.environ.get("CC", "cc")
    if shutil.which(cc) is None:
        pytest.fail(f"no C compiler: {cc} is not on PATH (Debian: apt-get install gcc)")
    return compile_core(cc, build)


@pytest.fixture(scope="module")
def scalar_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without SSE2, as other processors and a kernel have it."""
    return compile_core(os.environ.get("CC", "cc"), tmp_path_factory.mktemp("scalar"), "-DBID_SCALAR")


@pytest.fixture(scope="module")
def clang_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core by a second compiler, which takes other liberties with atomics than GCC does."""
    if shutil.which("clang") is None:
        pytest.skip("clang is not on PATH (Debian: apt-get install clang)")
    return compile_core("clang", tmp_path_factory.mktemp("clang"))


def compile_core(cc: str, build: Path, *more: str) -> Path:
    objects = programs.objects(SOURCES, programs.Toolchain(cc, ("-O2", "-g", "-DBID_DEBUG", *more)))
    library = build / "libcore.a"
    subprocess.run(["ar", "rcs", str(library), *map(str, objects)], check=True)
    return library


def run_program(program: Path, library: Path, tmp_path: Path, cc: str = os.environ.get("CC", "cc")) -> None:
    binary = tmp_path / program.stem
    subprocess.run(
        [
            cc,
            *("-std=gnu11", "-O2", "-g", "-DBID_DEBUG", "-Wall", "-Wextra", "-Werror"),
            f"-I{ROOT / 'csrc' / 'include'}",
            f"-I{ROOT / 'csrc' / 'table'}",
            str(program),
            str(library),
            *("-o", str(binary), "-pthread"),
        ],
        check=True,
    )
    result = subprocess.run([str(binary)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program: Path, core_library: Path, tmp_path: Path) -> None:
    run_program(program, core_library, tmp_path)


@pytest.mark.parametrize("name", ["test_iterate", "test_paths", "test_threads"])
def test_program_without_sse2(name: str, scalar_library: Path, tmp_path: Path) -> None:
    run_program(ROOT / "tests" / "c" / f"{name}.c", scalar_library, tmp_path)


#: They take seconds, and look for what has nothing to do with the compiler.
SLOW = {"test_limits", "test_threads", "test_resolve_interrupted"}


@pytest.mark.parametrize("program", [one for one in PROGRAMS if one.stem not in SLOW], ids=lambda path: path.stem)
def test_program_by_clang(program: Path, clang_library: Path, tmp_path: Path) -> None:
    run_program(program, clang_library, tmp_path, "clang")


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
