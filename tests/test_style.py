# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A function fits on a screen, a file does one job, and a line ends where a reader's window does."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import FIRST, SPREAD

ROOT = Path(__file__).resolve().parent.parent
FUNCTION, FILE, COLUMNS = 60, 600, 120  #: at most: lines, lines, columns
C_FUNCTION = re.compile(r"^\w[^;={}]*\)\n\{\n.*?^\}$", re.MULTILINE | re.DOTALL)


def sources(*endings: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *(f"*.{ending}" for ending in endings)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip(f"this is no checkout of git: {found.stderr.strip()}")
    return [path for path in (ROOT / name for name in found.stdout.splitlines()) if path.exists()]


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each with its number of lines, without a docstring: that of a command is a page of the manual."""
    text = path.read_text()
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                docstring = (ast.get_docstring(node, clean=False) or "").count("\n")
                yield node.name, (node.end_lineno or node.lineno) - node.lineno + 1 - docstring
        return
    for function in C_FUNCTION.finditer(text):
        yield function[0].partition("(")[0].split()[-1], function[0].count("\n") + 1


def test_functions_fit_on_a_screen() -> None:
    found = [(path, name, lines) for path in sources("py", "c", "h", "cpp") for name, lines in functions(path)]
    assert len(found) > 2000
    assert [f"{path}: {name}: {lines}" for path, name, lines in found if lines > FUNCTION] == []


def test_files_have_one_job() -> None:
    lengths = {path: path.read_text().count("\n") for path in sources("py", "c", "h", "cpp")}
    assert {path: lines for path, lines in lengths.items() if lines > FILE} == {}


def test_lines_end_in_time() -> None:
    """Of C; also in comments, which clang-format leaves as they are. (ruff sees to Python.)"""
    files = sources("c", "h", "cpp")
    assert len(files) > 300
    lines = [(path, line) for path in files for line in path.read_text().splitlines()]
    assert [f"{path}: {line}" for path, line in lines if len(line) > COLUMNS] == []


def test_the_order_of_the_tests_names_files_that_are_there() -> None:
    assert {*FIRST, *SPREAD} <= {path.stem for path in (ROOT / "tests").glob("test_*.py")}
