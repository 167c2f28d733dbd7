# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The C tests: each tests/c/test_*.c is a program of its own, compiled with the core's sources and run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("table", "inode", "note", "resolve")
SOURCES = [path for module in MODULES for path in sorted((ROOT / "csrc" / module).glob("*.c"))]
SOURCES.append(ROOT / "csrc" / "handle" / "scan.c")  # build IDs of files
PROGRAMS = sorted((ROOT / "tests" / "c").glob("test_*.c"))


@pytest.fixture(scope="session")
def core_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The core, compiled once, as a static library."""
    build = tmp_path_factory.mktemp("core")
    cc = os.environ.get("CC", "cc")
    if shutil.which(cc) is None:
        pytest.fail(f"no C compiler: {cc} is not on PATH (Debian: apt-get install gcc)")
    flags = ["-std=c11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", f"-I{ROOT / 'csrc' / 'include'}"]
    for source in SOURCES:
        subprocess.run(
            [cc, *flags, "-c", str(source), "-o", str(build / f"{source.parent.name}_{source.stem}.o")], check=True
        )
    library = build / "libcore.a"
    subprocess.run(["ar", "rcs", str(library), *map(str, sorted(build.glob("*.o")))], check=True)
    return library


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_program(program: Path, core_library: Path, tmp_path: Path) -> None:
    binary = tmp_path / program.stem
    subprocess.run(
        [
            os.environ.get("CC", "cc"),
            *("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror"),
            f"-I{ROOT / 'csrc' / 'include'}",
            str(program),
            str(core_library),
            *("-o", str(binary), "-pthread"),
        ],
        check=True,
    )
    result = subprocess.run([str(binary)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
