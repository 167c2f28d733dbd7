# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Designs beside an updater on another processor: answers are right, and without what keeps them so they are not."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from stress import programs
from stress.mutants.edits import Edit, edited_files

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "study"
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


def run(design: str, milliseconds: int, *sources: Path) -> tuple[int, str]:
    """What else is given comes before the file of that name in the library."""
    toolchain = programs.Toolchain(flags=("-O2", f"-I{programs.RIVALS}"), strict=())
    torn = replace(toolchain, flags=(*toolchain.flags, f"-DDESIGN=bid_design_{design}"))
    parts = programs.objects([ROOT / "tests" / "c" / "torn_answers.c"], torn) + programs.objects(sources, toolchain)
    library = [*toolchain.sources(("table", "process", "note")), *programs.c_files(programs.RIVALS)]
    binary = programs.link("torn_answers", [*parts, programs.archive(library, toolchain)], toolchain)
    done = subprocess.run([str(binary), str(milliseconds)], capture_output=True, text=True, timeout=60)
    if done.returncode == SKIPPED:
        pytest.skip(done.stdout.strip())
    return done.returncode, done.stdout


@pytest.mark.parametrize("design", ["ours", "spinlock", "trylock", "fixed", "rwlock", "seqcount"])
def test_answers_are_whole(design: str) -> None:
    assert run(design, MILLISECONDS) == (0, "")


@pytest.mark.parametrize("fault", BROKEN)
def test_the_check_can_tell(fault: str, tmp_path: Path) -> None:
    edit = BROKEN[fault]
    broken = tmp_path / "broken.c"
    broken.write_text(edited_files([edit], STUDY)[edit.file])
    design = fault.partition(",")[0]
    assert run(design, LONGEST, broken) == (1, f"{design}: a wrong answer beside an updater\n")
