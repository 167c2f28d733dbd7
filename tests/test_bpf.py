# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table in BPF memory: lookups and removes by BPF programs beside the C functions, over the same vectors."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from csrc.build_bpf import BpfBuildError, compile_bpf
from stress import programs

ROOT = Path(__file__).resolve().parent.parent
BPF = ROOT / "tests" / "bpf"
MODULES = ("table", "process", "region", "bpf")
SOURCES = [path for module in MODULES for path in sorted((ROOT / "csrc" / module).glob("*.c"))]
SKIPPED = 77


@pytest.fixture(scope="session")
def bpf_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table with its BPF home, as a static library."""
    include = f"-I{ROOT / 'csrc' / 'bpf'}"
    objects = programs.objects(SOURCES, programs.Toolchain("cc", ("-O2", "-g", "-DBID_DEBUG", include)))
    library = tmp_path_factory.mktemp("bpf") / "libbpfhome.a"
    subprocess.run(["ar", "rcs", str(library), *map(str, objects)], check=True)
    return library


def compile_or_skip(name: str, folder: Path) -> Path:
    output = folder / f"{name}.bpf.o"
    try:
        compile_bpf(BPF / f"{name}.bpf.c", output, BPF)
    except BpfBuildError as error:
        pytest.skip(str(error))
    return output


def run_program(name: str, library: Path, folder: Path, *arguments: str) -> str:
    """Compiles tests/bpf/NAME.c and runs it with its BPF object."""
    if os.geteuid():
        pytest.skip("only root may load BPF programs")
    binary = folder / name
    includes = [f"-I{path}" for path in (ROOT / "csrc" / "include", ROOT / "csrc" / "table", ROOT / "csrc" / "bpf")]
    command = ["cc", "-std=gnu11", "-O2", "-g", "-DBID_DEBUG", "-Wall", "-Wextra", "-Werror", *includes]
    sources = [str(BPF / f"{name}.c"), str(library)]
    subprocess.run([*command, *sources, "-o", str(binary), "-ldl", "-pthread"], check=True)
    objects = str(compile_or_skip(name, folder))
    result = subprocess.run([str(binary), objects, *arguments], capture_output=True, text=True, timeout=120)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_both_forms_give_the_same_answers(bpf_library: Path, tmp_path: Path) -> None:
    assert "in the midst of one" in run_program("vectors", bpf_library, tmp_path)


@pytest.mark.parametrize("how", ["wait", "hurry"])
def test_memory_waits_for_slow_programs(how: str, bpf_library: Path, tmp_path: Path) -> None:
    """Freed memory is poisoned: no reader may see that; without the wait for a grace period one does."""
    assert "resizes" in run_program("reclaim", bpf_library, tmp_path, how)


def test_the_example(bpf_library: Path, tmp_path: Path) -> None:
    """examples/bpf as its page says it is built, against the installed libbpf."""
    if os.geteuid():
        pytest.skip("only root may load BPF programs")
    example = ROOT / "examples" / "bpf"
    try:
        compile_bpf(example / "known.bpf.c", tmp_path / "known.bpf.o")
    except BpfBuildError as error:
        pytest.skip(str(error))
    command = ["cc", "-O2", f"-I{ROOT / 'csrc' / 'include'}", str(example / "known.c"), str(bpf_library)]
    subprocess.run([*command, "-o", str(tmp_path / "known"), "-lbpf", "-pthread", "-ldl"], check=True)
    result = subprocess.run(["./known"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if "not as root, or no BPF" in result.stderr:
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stderr
    mine, others = (int(word) for word in re.findall(r"\d+", result.stdout))
    assert mine > 50 < others
