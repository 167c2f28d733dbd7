# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The core for other processors, under QEMU: AArch64, and s390x with the bytes of a word the other way round.

Neither has SSE2 or the trap flag. QEMU keeps this processor's order of memory accesses, so it says nothing of theirs.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stress import programs
from stress.common import object_file
from stress.common.object_file import READINGS, X86_ONLY

ROOT = Path(__file__).resolve().parent.parent
#: Debian's names for a processor: in the compiler's name and QEMU's, and in those of the packages.
PROCESSORS = {"aarch64": ("aarch64-linux-gnu", "arm64"), "s390x": ("s390x-linux-gnu", "s390x")}
#: Those that neither count page faults, which QEMU has of its own, nor take minutes there.
PROGRAMS = ("test_iterate", "test_nmi_forms", "test_note")


def skip_without_tools(processor: str) -> None:
    compiler, package = PROCESSORS[processor]
    if shutil.which(f"{compiler}-gcc") is None or shutil.which(f"qemu-{processor}") is None:
        pytest.skip(f"{processor}: apt-get install gcc-{compiler} libc6-dev-{package}-cross qemu-user")


@pytest.fixture(scope="module", params=PROCESSORS)
def processor(request: pytest.FixtureRequest) -> str:
    skip_without_tools(request.param)
    return str(request.param)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, processor: str, tmp_path: Path) -> None:
    toolchain = programs.Toolchain(f"{PROCESSORS[processor][0]}-gcc", ("-O2", "-static"))
    sources = [ROOT / "tests" / "c" / f"{name}.c", *toolchain.sources(("table", "process", "note"))]
    program = programs.build(name, sources, toolchain, library=())
    run = subprocess.run([f"qemu-{processor}", program], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr


LOOPS = r"(ld|st)a?l?xr"  # a load and a store that fails if anything came between


def test_a_lookup_on_aarch64_needs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the atomic instructions of Armv8.1. Without them each atomic addition is a loop or a call."""
    skip_without_tools("aarch64")
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    monkeypatch.setenv("OBJDUMP", "aarch64-linux-gnu-objdump")
    file = object_file.compile_lookup(ROOT / "csrc", "aarch64")
    assert object_file.matching(file, "atomic addition", "ldadd"), "the pin in the overflow is not found"
    assert object_file.findings(file, READINGS.keys() - X86_ONLY) == {}
    assert object_file.matching(file, "loop", LOOPS) == []
    older = object_file.compile_lookup(ROOT / "csrc", "aarch64 of Armv8.0")
    assert "undefined symbol __aarch64_ldadd8_relax" in object_file.undefined_symbols(older)
