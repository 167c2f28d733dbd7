# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What the tests of the profiler share: programs in C, and commands that are run under it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pybuildid.profile import ProfileResult

LIMIT = 60  #: seconds for a command that takes a few
LOOP = (
    "#include <time.h>\nint main(void){static volatile unsigned n;"
    "while(clock()<CLOCKS_PER_SEC/%d)for(int i=0;i<100000;i++)n++;return 0;}"
)
Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path) -> Compile:
    def compile_source(source: str, *flags: str, name: str = "program", cc: str = "cc") -> Path:
        command = [cc, "-O1", "-w", "-D_GNU_SOURCE", "-xc", "-", "-o", str(tmp_path / name), *flags]
        subprocess.run(command, input=source, text=True, check=True)
        return tmp_path / name

    return compile_source


def profiled(*command: object, cwd: Path, options: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "pybuildid", "profile", "--no-symbols", *options, "--", *map(str, command)]
    return subprocess.run(run, capture_output=True, text=True, cwd=cwd, timeout=LIMIT)


def same_as_alone(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Output and exit status; what the profiler says is on standard error."""
    alone = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=cwd, timeout=LIMIT)
    under = profiled(*command, cwd=cwd)
    status = alone.returncode if alone.returncode >= 0 else 128 - alone.returncode
    assert (under.stdout, under.returncode) == (alone.stdout, status), under.stderr
    assert alone.stderr in under.stderr
    return under


def need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"no {tool}: apt-get install {package}")


def need_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may do that")


def reasons(result: ProfileResult) -> set[str]:
    return {each.reason for each in result.unwatched}
