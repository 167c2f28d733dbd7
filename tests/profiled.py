# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the tests of the profiler share: programs in C, and commands that are run under it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pybuildid.profile import Module, ProfileResult, Sample, _result
from pybuildid.profile._recording import Recording

LIMIT = 60  #: seconds for a command that takes a few
PROGRAMS = Path(__file__).parent / "programs"
BURNS = "int main(void) { burn(%d); return 0; }"  #: so many milliseconds of CPU time
Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    """Compiles C source, after tests/programs/program.h, to a file of its own, which no other process maps."""

    def compile_source(source: str, *flags: str, name: str = "program", cc: str = os.environ.get("CC", "cc")) -> Path:
        prelude = "-D_GNU_SOURCE", "-include", str(PROGRAMS / "program.h")
        command = [cc, "-O1", "-w", "-Wl,--build-id", *prelude, "-xc", "-", "-o", str(tmp_path / name), *flags, "-ldl"]
        subprocess.run(command, input=source, text=True, check=True)
        return tmp_path / name

    return compile_source


def run_cli(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pybuildid", "profile", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=LIMIT)


def profiled(*command: object, cwd: Path, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    return run_cli("--no-symbols", *options, "--", *command, cwd=cwd)


def _without_waiting(name: str, flags: int) -> int:
    return os.open(name, flags | os.O_NONBLOCK)


def remove_maps(content: bytes) -> None:
    """The files /tmp/perf-PID.map that end like this. Others, of another test, may go meanwhile, or be no files."""
    for path in Path("/tmp").glob("perf-*.map"):
        with suppress(OSError), open(path, "rb", opener=_without_waiting) as file:
            if re.search(content + rb"\Z", file.read() or b""):
                path.unlink()


def need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}: apt-get install {package}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may do that")


def result_of(*modules: Module, counts: list[Sample]) -> ProfileResult:
    """Made up: samples in files."""
    recording = Recording(997, 0.1, 0, shared=False)
    result = _result(recording, None, [])
    recording.close()
    return replace(result, samples=len(counts), processes=1, counts=counts, modules=list(modules))


def reasons(result: ProfileResult) -> set[str]:
    return {each.reason for each in result.unwatched}
