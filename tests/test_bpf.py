# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The table in BPF memory: lookups and removes by BPF programs beside the C functions, over the same vectors."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from csrc.build_bpf import BpfBuildError, compile_bpf
from stress import programs
from stress.mutants import run as mutants
from stress.mutants.catalog.bpf import BPF as BPF_MUTANTS
from stress.record.build import MODULES, build_tool

ROOT = Path(__file__).resolve().parent.parent
BPF = ROOT / "tests" / "bpf"
SKIPPED = 77


def run_program(name: str, *arguments: str) -> str:
    """tests/bpf/NAME.c over its BPF programs."""
    if os.geteuid():
        pytest.skip("only root may load BPF programs")
    try:
        built = build_tool(name, BPF, debug=True)
    except BpfBuildError as error:
        pytest.skip(str(error))
    result = subprocess.run([*map(str, built), *arguments], capture_output=True, text=True, timeout=120)
    if result.returncode == SKIPPED:
        pytest.skip(result.stdout.splitlines()[-1])
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_both_forms_give_the_same_answers() -> None:
    assert "in the midst of one" in run_program("vectors")


@pytest.mark.parametrize("how", ["wait", "hurry"])
def test_memory_waits_for_slow_programs(how: str) -> None:
    """Freed memory is poisoned: no reader may see that; without the wait for a grace period one does."""
    assert "resizes" in run_program("reclaim", how)


def test_programs_remove_beside_resizes() -> None:
    assert "removes" in run_program("removes")


@pytest.mark.parametrize("name", ["bpf-ignores-the-future", "bpf-grace-period-not-waited-for"])
def test_faults_are_found(name: str) -> None:
    """`python -m stress mutants` has them all."""
    run_program("vectors")  # or there is a reason to skip
    (mutant,) = (mutant for mutant in BPF_MUTANTS if mutant.name == name)
    verdict = mutants.judge_mutant(mutant)
    assert not verdict.error
    assert verdict.caught
    assert not any("object__load" in finding.found for finding in verdict.findings)  # it is not the verifier's find


def with_vmlinux_h(source: Path, folder: Path) -> Path:
    """The program as of an author who has the types of the kernel from bpftool."""
    if shutil.which("bpftool") is None:
        pytest.skip("bpftool is not on PATH (Debian: apt-get install bpftool)")
    command = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    (folder / "vmlinux.h").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    program = folder / source.name
    program.write_text(f'#include "vmlinux.h"\n{source.read_text()}')
    return program


@pytest.mark.parametrize("vmlinux", [False, True], ids=["as it is", "with vmlinux.h"])
def test_the_example(vmlinux: bool, tmp_path: Path) -> None:
    """examples/bpf as its page says it is built, against the installed libbpf."""
    if os.geteuid():
        pytest.skip("only root may load BPF programs")
    toolchain = programs.Toolchain(flags=("-O2", "-g", f"-I{ROOT / 'csrc' / 'bpf'}"))
    library = programs.archive(toolchain.sources(MODULES), toolchain)
    example = ROOT / "examples" / "bpf"
    source = example / "known.bpf.c"
    try:
        compile_bpf(with_vmlinux_h(source, tmp_path) if vmlinux else source, tmp_path / "known.bpf.o", tmp_path)
    except BpfBuildError as error:
        if "not installed" not in str(error):
            raise
        pytest.skip(str(error))
    command = ["cc", "-O2", f"-I{ROOT / 'csrc' / 'include'}", str(example / "known.c"), str(library)]
    subprocess.run([*command, "-o", str(tmp_path / "known"), "-lbpf", "-pthread", "-ldl"], check=True)
    result = subprocess.run(["./known"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if "not as root, or no BPF" in result.stderr:
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stderr
    mine, others = (int(word) for word in re.findall(r"\d+", result.stdout))
    assert mine > 50 < others
