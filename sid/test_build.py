# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How extension modules are built: declarations read from headers, and nothing compiled that has not changed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cffi import FFI

from csrc.cdefs import declarations

ROOT = Path(__file__).resolve().parent.parent

HEADER = """
#ifndef SAMPLE_H
#define SAMPLE_H
#include <stdint.h>
#define API __attribute__((visibility("default")))
#define MOST 8          /* an int */
#define BITS (1u << 3)
#define TEXT "no number"
#define TWICE(x) (2 * (x))
#ifdef __cplusplus
extern "C" {
#endif
enum { FIRST = 3, /* of two */ SECOND };
enum level { LOW = -1, HIGH = MOST + 1 };
struct hidden;
struct shown {
    _Alignas(64) uint32_t tag;
    _Atomic(uint64_t) count;
    uint8_t bytes[MOST];
    union { uint64_t offset; uint64_t address; };
};
typedef int (*sample_visit)(void *argument, const struct shown *one);
API int sample_sum(const struct shown *one, uint8_t more[MOST]);
int other_sum(struct hidden *one);
extern uint64_t sample_limit;
static inline int sample_inline(void) { if (MOST) { return 1; } return 0; }
int sample_last(void);
#endif
"""
SOURCE = """
uint64_t sample_limit = 5;
int sample_sum(const struct shown *one, uint8_t more[MOST]) { return (int)one->count + one->bytes[7] + more[0]; }
int sample_last(void) { return HIGH; }
"""


def test_declarations_are_read_from_a_header(tmp_path: Path) -> None:
    """All that cffi is told is checked by the C compiler, and works."""
    header = tmp_path / "sample.h"
    header.write_text(HEADER)
    ffi = FFI()
    ffi.cdef(declarations([header], ["sample_*"]))
    ffi.set_source("_sample", '#include "sample.h"\n' + SOURCE, include_dirs=[str(tmp_path)])
    ffi.compile(tmpdir=str(tmp_path))
    program = """
from _sample import ffi, lib
names = set(dir(lib))
one = ffi.new("struct shown *", {"count": 40, "bytes": bytes(7) + b"\\1", "address": 9})
print(lib.sample_sum(one, b"\\1"), one.offset, ffi.sizeof("struct shown"), lib.sample_limit, lib.sample_last())
print(lib.MOST, lib.BITS, lib.FIRST, lib.SECOND, lib.LOW)
print(names & {"TEXT", "API", "TWICE", "SAMPLE_H", "sample_inline", "other_sum"})
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "42 9 64 5 9\n8 8 3 4 -1\nset()\n"


@pytest.fixture
def module(tmp_path: Path) -> Path:
    """A module of two files and a header, with what builds it."""
    (tmp_path / "common.h").write_text("int half(int number);\n")
    (tmp_path / "half.c").write_text('#include "common.h"\nint half(int number) { return number / 2; }\n')
    (tmp_path / "other.c").write_text("int other(void) { return 1; }\n")
    (tmp_path / "make.py").write_text(f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from cffi import FFI
from csrc.build import build_in_place
ffi = FFI()
ffi.cdef("int half(int number);")
ffi.set_source("_halves", '#include "common.h"', sources=["half.c", "other.c"], depends=["common.h"],
               include_dirs=["."])
build_in_place(ffi)
""")
    return tmp_path


def compiled(folder: Path) -> set[str]:
    """Builds; which objects were made."""
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.o")}
    subprocess.run([sys.executable, "make.py"], cwd=folder, check=True, capture_output=True)
    return {path.stem for path in folder.rglob("*.o") if before.get(path) != path.stat().st_mtime_ns}


def test_what_has_not_changed_is_not_compiled_again(module: Path) -> None:
    assert compiled(module) == {"_halves", "half", "other"}
    assert compiled(module) == set()
    (module / "other.c").write_text("int other(void) { return 2; }\n")
    assert compiled(module) == {"other"}
    (module / "common.h").write_text("int half(int number); /* of a number */\n")
    assert compiled(module) == {"_halves", "half"}
    (module / "make.py").write_text(
        (module / "make.py").read_text().replace("include_dirs", "define_macros=[('X', '1')], include_dirs")
    )
    os.utime(module / "half.c")
    assert compiled(module) == {"_halves", "half", "other"}, "other flags"
    program = "import _halves; print(_halves.lib.half(42))"
    assert subprocess.run([sys.executable, "-c", program], cwd=module, capture_output=True, text=True).stdout == "21\n"


def test_a_fault_in_a_file_is_told_and_is_still_there_the_next_time(module: Path) -> None:
    compiled(module)
    (module / "half.c").write_text("int half(int number) { return nonsense; }\n")
    for _ in range(2):
        done = subprocess.run([sys.executable, "make.py"], cwd=module, capture_output=True, text=True)
        assert done.returncode != 0
        assert "nonsense" in done.stderr
