# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the harness's extension module, stress/_engine.*.so, in place: ``python -m stress.build_engine``.

It compiles the table's sources once more, so that the storm runs over exactly the code of this checkout.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from csrc.build import build_in_place
from csrc.cdefs import declarations

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "engine"
ENGINE = ("stress/engine", "stress/quiet")
MODULES = ("csrc/table", "csrc/process", "csrc/note", "study/rivals", *ENGINE)
INCLUDES = ("csrc/include", "csrc", "stress/engine")
HEADERS = (
    "csrc/include/pybuildid.h",
    "stress/quiet/quiet.h",
    "stress/engine/engine.h",
    "stress/engine/oracle.h",
)
FUNCTIONS = ("oracle_state", "oracle_judge*", "storm_*", "bid_status_name")


def engine_sources() -> list[Path]:
    """The harness's side."""
    return [source for module in ENGINE for source in sorted((ROOT / module).glob("*.c"))]


ffibuilder = FFI()
ffibuilder.cdef(declarations([ROOT / header for header in HEADERS], FUNCTIONS))
ffibuilder.set_source(
    "stress._engine",
    '#include "oracle.h"\n',
    sources=[str(source) for module in MODULES for source in sorted((ROOT / module).glob("*.c"))],
    depends=[str(path) for module in (*INCLUDES, "study/rivals") for path in sorted((ROOT / module).rglob("*.h"))],
    include_dirs=[str(ROOT / directory) for directory in INCLUDES],
    extra_compile_args=["-std=c11", "-O2", "-g", "-DBID_DEBUG", "-Wall", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt"],
    py_limited_api=True,
)

if __name__ == "__main__":
    build_in_place(ffibuilder)
