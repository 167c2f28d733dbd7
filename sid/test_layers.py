# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The files of csrc/table are in layers: no circle of includes, and none of calls."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from stress import programs

TABLE = Path(__file__).resolve().parent.parent / "csrc" / "table"


def in_layers(uses: dict[str, set[str]]) -> None:
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        pytest.fail(f"a circle: {' <- '.join(error.args[1])}")


def test_no_circle_of_includes() -> None:
    files = sorted(TABLE.glob("*.[ch]"))
    own = {file.name for file in files}
    in_layers({file.name: set(re.findall(r'#include "([\w.]+)"', file.read_text())) & own for file in files})


def test_no_circle_of_calls() -> None:
    """From the symbols that each object file defines, and those that it needs."""
    if shutil.which("nm") is None:
        pytest.skip("nm is missing: apt-get install binutils")
    sources = sorted(TABLE.glob("*.c"))
    homes: dict[str, str] = {}
    needed: defaultdict[str, set[str]] = defaultdict(set)
    for source, made in zip(sources, programs.objects(sources, programs.Toolchain())):
        symbols = subprocess.run(["nm", "-P", str(made)], capture_output=True, text=True, check=True).stdout
        for name, kind in (line.split()[:2] for line in symbols.splitlines()):
            if kind == "U":
                needed[source.name].add(name)
            elif kind in "TDBR":
                homes[name] = source.name
    assert len(homes) > 40
    in_layers({name: {homes[one] for one in wanted if one in homes} - {name} for name, wanted in needed.items()})
