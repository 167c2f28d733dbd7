# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Other builds of CPython, where this machine has them: tests that need one are skipped elsewhere, and say which."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

VERSIONS = range(16, 11, -1)  #: of CPython 3, the newest first


def candidates(variable: str, suffix: str = "") -> Iterator[str]:
    """What the variable of the environment names and nothing else, or what PATH and pyenv have."""
    if named := os.environ.get(variable):
        yield named
        return
    for version in VERSIONS:
        if found := shutil.which(f"python3.{version}{suffix}"):
            yield found
        folder = Path.home() / ".pyenv/versions"
        yield from map(str, sorted(folder.glob(f"3.{version}.*[0-9]{suffix}/bin/python3"), reverse=True))


def find(variable: str, condition: str, what: str, packages: Sequence[str] = (), suffix: str = "") -> str:
    """The first Python for which a condition holds and that has these packages. Skips the test if there is none."""
    lacking = ""
    for python in candidates(variable, suffix):
        if not _holds(python, f"import sys, sysconfig; sys.exit(not ({condition}))"):
            continue
        if _holds(python, f"import {', '.join(packages)}" if packages else ""):
            return python
        lacking = lacking or f"{python} lacks packages: {python} -m pip install {' '.join(packages)}"
    pytest.skip(lacking or f"no {what} here: put one on PATH, install one by pyenv, or name one in {variable}")


def _holds(python: str, program: str) -> bool:
    try:
        return subprocess.run([python, "-c", program], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False
