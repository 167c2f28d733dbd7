# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""A few programs under each sanitizer, and a race and an overflow that they must find; `make sanitize` runs all."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stress import programs
from stress.sanitize import run as sanitize


def needs(sanitizer: str) -> None:
    """Skips where the compiler has no such sanitizer."""
    command = [programs.Toolchain().cc, f"-fsanitize={sanitizer}", "-xc", "-", "-o", "/dev/null"]
    if subprocess.run(command, input="int main(void) { return 0; }", text=True, capture_output=True).returncode:
        pytest.skip(f"the compiler has no -fsanitize={sanitizer}: apt-get install gcc")


@pytest.mark.parametrize("sanitizer", sanitize.SANITIZERS)
@pytest.mark.parametrize("program", ["histories", "test_nmi_forms", "storm"])
def test_clean(sanitizer: str, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(sanitizer)
    monkeypatch.setattr(sanitize, "HISTORIES", 30)
    monkeypatch.setattr(sanitize, "STORM_SECONDS", 1)
    result = sanitize.run(sanitizer, program)
    assert (result.failure, result.left_out) == ("", "")


WRONG = {
    "thread": """
        #include <pthread.h>
        static int shared;
        static void *add(void *argument) { for (int i = 0; i < 1000; i++) shared++; return argument; }
        int main(void)
        {
            pthread_t thread;
            pthread_create(&thread, 0, add, 0);
            add(0);
            return pthread_join(thread, 0);
        }""",
    "address": "#include <stdlib.h>\nint main(int n, char **v) { (void)v; char *a = calloc(1, 8); return a[8 * n]; }",
    "undefined": "int main(int n, char **v) { (void)v; return 0x7fffffff + n == 5; }",
}


@pytest.mark.parametrize("sanitizer", sanitize.SANITIZERS)
def test_finds(sanitizer: str, tmp_path: Path) -> None:
    needs(sanitizer)
    source = tmp_path / "wrong.c"
    source.write_text(WRONG[sanitizer])
    program = programs.build("wrong", [source], sanitize.toolchain(sanitizer))
    assert subprocess.run([str(program)], capture_output=True).returncode != 0
