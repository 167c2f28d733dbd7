# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The letters of the ordering edges: the table in csrc/README.md, its text, and the code name the same ones."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "models"))
import run

ROW = re.compile(r"^\| \*\*([A-Z])\*\* .*$", re.MULTILINE)
LETTERS = re.compile(r"\(([A-Z](?:, [A-Z])*)\)")
ORDER = re.compile(r"\bBID_([A-Z])_(?:ACQUIRE|RELEASE|FENCE)\b")
OF_ITS_OWN = "profile"  #: with edges of its own, in recording.h


def letters(text: str) -> set[str]:
    return {letter for group in LETTERS.findall(text) for letter in group.split(", ")}


def code() -> dict[str, str]:
    files = (path for path in run.CSRC.rglob("*.[ch]") if path.parent.name != OF_ITS_OWN)
    return {str(path.relative_to(run.CSRC)): path.read_text() for path in files}


PAGE = (run.CSRC / "README.md").read_text()
EDGES = set(ROW.findall(PAGE))


def test_the_text_uses_each_edge_of_its_table_and_no_other() -> None:
    assert letters(ROW.sub("", PAGE)) == EDGES


def test_the_code_uses_each_edge_of_the_table_and_no_other() -> None:
    texts = code().values()
    assert {letter for text in texts for letter in ORDER.findall(text)} == EDGES
    assert set.union(*map(letters, texts)) == EDGES


def test_the_letter_stands_beside_each_use() -> None:
    """Within two lines, so that nobody has to look for what an access pairs with."""
    missing = []
    for file, text in code().items():
        lines = text.splitlines()
        for number, line in enumerate(lines):
            near = letters(" ".join(lines[max(0, number - 2) : number + 3]))
            used = set() if line.startswith("#") else set(ORDER.findall(line))
            missing += [f"{file}:{number + 1}: {letter}" for letter in used - near]
    assert missing == []
