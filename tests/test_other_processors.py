# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The core for other processors, under QEMU: AArch64, and s390x with the bytes of a word the other way round.

Neither has SSE2 or the trap flag. QEMU keeps this processor's order of memory accesses, so it says nothing of theirs.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from stress.common import object_file
from stress.common.object_file import READINGS, X86_ONLY

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "csrc" / "table").glob("*.c"))
#: Debian's names for a processor: in the compiler's name and QEMU's, and in those of the packages.
PROCESSORS = {"aarch64": ("aarch64-linux-gnu", "arm64"), "s390x": ("s390x-linux-gnu", "s390x")}
#: Those that neither count page faults, which QEMU has of its own, nor take minutes there.
PROGRAMS = ("test_iterate", "test_nmi_forms", "test_note")
NOTE = sorted((ROOT / "csrc" / "note").glob("*.c"))


def skip_without_tools(processor: str) -> None:
    compiler, package = PROCESSORS[processor]
    if shutil.which(f"{compiler}-gcc") is None or shutil.which(f"qemu-{processor}") is None:
        pytest.skip(f"{processor}: apt-get install gcc-{compiler} libc6-dev-{package}-cross qemu-user")


@pytest.fixture(scope="module", params=PROCESSORS)
def processor(request: pytest.FixtureRequest) -> str:
    skip_without_tools(request.param)
    return str(request.param)


@pytest.fixture(scope="module")
def core(processor: str, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Object files of the table, compiled once for a processor."""
    build = tmp_path_factory.mktemp(processor)
    compile_c(processor, ["-std=c11", "-c", *map(str, SOURCES)], build)
    return sorted(build.glob("*.o"))


def compile_c(processor: str, arguments: list[str], folder: Path) -> None:
    compiler = f"{PROCESSORS[processor][0]}-gcc"
    warnings = ("-Wall", "-Wextra", "-Werror")
    includes = [f"-I{ROOT / 'csrc' / folder}" for folder in ("include", "table")]
    command = [compiler, "-O2", *warnings, *includes, *arguments]
    subprocess.run(command, cwd=folder, check=True)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str, processor: str, core: list[Path], tmp_path: Path) -> None:
    source = ROOT / "tests" / "c" / f"{name}.c"
    files = map(str, (source, *core, *NOTE))
    compile_c(processor, ["-std=gnu11", "-static", *files, "-o", name, "-pthread"], tmp_path)
    run = subprocess.run(
        [f"qemu-{processor}", tmp_path / name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr


LOOPS = r"(ld|st)a?l?xr"  # a load and a store that fails if anything came between


def test_a_lookup_on_aarch64_needs_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the atomic instructions of Armv8.1. Without them each atomic addition is a loop or a call."""
    skip_without_tools("aarch64")
    monkeypatch.setenv("CC", "aarch64-linux-gnu-gcc")
    monkeypatch.setenv("OBJDUMP", "aarch64-linux-gnu-objdump")
    file = object_file.compile_lookup(ROOT / "csrc", tmp_path, "aarch64")
    assert object_file.matching(file, "atomic addition", "ldadd"), "the pin of a crowd is not found"
    assert object_file.findings(file, READINGS.keys() - X86_ONLY) == {}
    assert object_file.matching(file, "loop", LOOPS) == []
    older = object_file.compile_lookup(ROOT / "csrc", tmp_path, "aarch64 of Armv8.0")
    assert "undefined symbol __aarch64_ldadd8_relax" in object_file.undefined_symbols(older)
