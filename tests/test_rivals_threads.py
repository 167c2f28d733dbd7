# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Designs beside an updater on another processor: answers are right, and without what keeps them so they are not."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from stress.mutants.edits import Edit, edited_files

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "study"
INCLUDES = [f"-I{ROOT / folder}" for folder in ("csrc/include", "csrc", "study/rivals")]
CC = [os.environ.get("CC", "cc"), "-std=gnu11", "-O2", *INCLUDES]
SKIPPED = 77
MILLISECONDS = 300  # for a design that is right
LONGEST = 10_000  # for one that is not: it ends with the first wrong answer, in a thousandth of that

ARRAY = "atomic_load_explicit(&table->array, memory_order_relaxed)"
LOCK, SEARCH = "&table->lock", f"int status = flat_search({ARRAY}, key, id, cost);"
#: Readers without what they rely on.
BROKEN = {
    "seqcount, no second look": Edit("rivals/seqcount.c", "while (read_again(table, sequence));", "while (0);"),
    "seqcount, no wait": Edit("rivals/seqcount.c", "memory_order_acquire)) & 1)", "memory_order_acquire)) & 0)"),
    "rwlock, no lock": Edit(
        "rivals/rwlock.c",
        f"rival_read_lock({LOCK});\n    {SEARCH}\n    rival_read_unlock({LOCK});",
        SEARCH,
    ),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All designs, and the table under ours."""
    folder = tmp_path_factory.mktemp("designs")
    sources = [str(path) for name in ("csrc/table", "csrc/note", "study/rivals") for path in (ROOT / name).glob("*.c")]
    subprocess.run([*CC, "-c", *sources], cwd=folder, check=True)
    subprocess.run(["ar", "rcs", "libdesigns.a", *(path.name for path in folder.glob("*.o"))], cwd=folder, check=True)
    return folder / "libdesigns.a"


def run(design: str, library: Path, folder: Path, milliseconds: int, *sources: Path) -> tuple[int, str]:
    program = [str(ROOT / "tests" / "c" / "torn_answers.c"), f"-DDESIGN=bid_design_{design}"]
    binary = folder / "torn_answers"
    subprocess.run([*CC, *program, *map(str, sources), str(library), "-o", str(binary), "-pthread"], check=True)
    done = subprocess.run([str(binary), str(milliseconds)], capture_output=True, text=True, timeout=60)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    return done.returncode, done.stdout


@pytest.mark.parametrize("design", ["ours", "spinlock", "trylock", "fixed", "rwlock", "seqcount"])
def test_answers_are_whole(design: str, library: Path, tmp_path: Path) -> None:
    assert run(design, library, tmp_path, MILLISECONDS) == (0, "")


@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_can_tell(fault: str, library: Path, tmp_path: Path) -> None:
    """A file of its own comes before the library's."""
    edit = BROKEN[fault]
    broken = tmp_path / "broken.c"
    broken.write_text(edited_files([edit], STUDY)[edit.file])
    design = fault.partition(",")[0]
    assert run(design, library, tmp_path, LONGEST, broken) == (1, f"{design}: a wrong answer beside an updater\n")
