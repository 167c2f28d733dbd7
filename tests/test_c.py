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
MODULES = ("table", "inode", "note", "resolve", "handle", "profile")
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


def compile_core(cc: str, build: Path, *more: str) -> Path:
    objects = programs.objects(SOURCES, programs.Toolchain(cc, ("-O2", "-g", *more)))
    library = build / "libcore.a"
    subprocess.run(["ar", "rcs", str(library), *map(str, objects)], check=True)
    return library


def run_program(program: Path, library: Path, tmp_path: Path) -> None:
    binary = tmp_path / program.stem
    subprocess.run(
        [
            os.environ.get("CC", "cc"),
            *("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"),
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
