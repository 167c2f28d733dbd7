# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the storm's extension module, stress/storm/_storm.*.so, in place: ``python -m stress.storm.build``.

It compiles the table's sources once more, so that the storm runs over exactly the code of this checkout.
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from csrc.build import build_in_place
from csrc.cdefs import declarations, public_headers

ROOT = Path(__file__).resolve().parent.parent.parent
MODULES = ("csrc/table", "csrc/note", "study/rivals")
INCLUDES = ("csrc/include", "csrc", "stress/storm")
HEADERS = (
    "stress/common/quiet.h",
    "stress/storm/shared.h",
    "stress/storm/oracle.h",
)
FUNCTIONS = ("oracle_state", "oracle_judge*", "storm_*", "bid_status_name")


def storm_sources() -> list[Path]:
    """The harness's side."""
    return [*sorted((ROOT / "stress/storm").glob("*.c")), ROOT / "stress/common/quiet.c"]


ffibuilder = FFI()
ffibuilder.cdef(declarations([*public_headers(), *(ROOT / header for header in HEADERS)], FUNCTIONS))
ffibuilder.set_source(
    "stress.storm._storm",
    '#include "oracle.h"\n',
    sources=[
        *(str(one) for module in MODULES for one in sorted((ROOT / module).glob("*.c"))),
        *map(str, storm_sources()),
    ],
    depends=[
        str(path)
        for module in (*INCLUDES, "stress/common", "study/rivals")
        for path in sorted((ROOT / module).rglob("*.h"))
    ],
    include_dirs=[str(ROOT / directory) for directory in INCLUDES],
    extra_compile_args=["-std=c11", "-O2", "-g", "-DBID_DEBUG", "-Wall", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt"],
    py_limited_api=True,
)

if __name__ == "__main__":
    build_in_place(ffibuilder)
