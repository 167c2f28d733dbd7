# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table in BPF memory: lookups and removes by BPF programs beside the C functions, over the same vectors."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from csrc.build_bpf import CSRC, BpfBuildError, compile_bpf
from stress import programs
from stress.mutants.edits import Edit, copy_edited

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


def compile_or_skip(name: str, folder: Path, csrc: Path = CSRC) -> Path:
    output = folder / f"{name}.bpf.o"
    try:
        compile_bpf(BPF / f"{name}.bpf.c", output, BPF, csrc=csrc)
    except BpfBuildError as error:
        pytest.skip(str(error))
    return output


def run_program(name: str, library: Path, folder: Path, *arguments: str, csrc: Path = CSRC) -> str:
    """Compiles tests/bpf/NAME.c and runs it with its BPF object, which may be of edited sources."""
    if os.geteuid():
        pytest.skip("only root may load BPF programs")
    binary = folder / name
    includes = [f"-I{path}" for path in (ROOT / "csrc" / "include", ROOT / "csrc" / "table", ROOT / "csrc" / "bpf")]
    command = ["cc", "-std=gnu11", "-O2", "-g", "-DBID_DEBUG", "-Wall", "-Wextra", "-Werror", *includes]
    sources = [str(BPF / f"{name}.c"), str(library)]
    subprocess.run([*command, *sources, "-o", str(binary), "-ldl", "-pthread"], check=True)
    objects = str(compile_or_skip(name, folder, csrc))
    result = subprocess.run([str(binary), objects, *arguments], capture_output=True, text=True, timeout=120)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_both_forms_give_the_same_answers(bpf_library: Path, tmp_path: Path) -> None:
    assert "in the midst of one" in run_program("vectors", bpf_library, tmp_path)


#: Faults of the BPF form, each of which the vectors have to find.
FAULTS = {
    "the future array is not asked": Edit(
        "bpf/lookup.bpf.h", "if (status < 0 || !head.future || (out->record", "if (status < 0 || 1 || (out->record"
    ),
    "a generation is not compared": Edit(
        "bpf/lookup.bpf.h",
        "    if (generation != BID_BPF_ANY && generation != is)\n        return BID_STALE;\n    id->",
        "    id->",
    ),
    "what is sealed is removed": Edit(
        "bpf/lookup.bpf.h", "if (found.word & BID_FROZEN)\n        return", "if (0)\n        return"
    ),
    "a removed entry is found": Edit(
        "bpf/lookup.bpf.h",
        "if (!found.record || (found.word & BID_STATE_MASK) != BID_LIVE)\n        return BID_ABSENT;\n    char *line",
        "if (!found.record)\n        return BID_ABSENT;\n    char *line",
    ),
    "a count is not taken down": Edit("bpf/lookup.bpf.h", "% BID_BPF_LINE), (u64)-1)", "% BID_BPF_LINE), (u64)0)"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_vectors_find_faults(fault: str, bpf_library: Path, tmp_path: Path) -> None:
    csrc = copy_edited([FAULTS[fault]], tmp_path / "csrc")
    with pytest.raises(AssertionError, match="not so"):
        run_program("vectors", bpf_library, tmp_path, csrc=csrc)


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
