# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the study's extension module, study/_measure.*.so, in place: ``python -m study.build_measure``.

It holds the table, every design of study/rivals, and what measures them (study/measure).
"""

from __future__ import annotations

from pathlib import Path

from cffi import FFI

from csrc.build import build_in_place
from csrc.cdefs import declarations, public_headers

ROOT = Path(__file__).resolve().parent.parent
MODULES = ("csrc/table", "csrc/process", "csrc/note", "study/rivals", "study/measure")
INCLUDES = ("csrc/include", "csrc", "study/rivals", "study/measure")
HEADERS = ("rivals", "resident", "timing", "floor", "cold", "interrupt")
CHAINS = ROOT / "csrc/collisions/chains.h"
FUNCTIONS = ("bid_design_number", "bid_resident*", "timing_*", "cold_*", "interrupt_*")


def header(name: str) -> Path:
    return ROOT / "study" / ("rivals" if name == "rivals" else "measure") / f"{name}.h"


ffibuilder = FFI()
ffibuilder.cdef(declarations([*public_headers(), CHAINS, *map(header, HEADERS)], FUNCTIONS))
ffibuilder.set_source(
    "study._measure",
    '#include "collisions/chains.h"\n' + "".join(f'#include "{name}.h"\n' for name in HEADERS),
    sources=[str(source) for module in MODULES for source in sorted((ROOT / module).glob("*.c"))],
    depends=[str(path) for module in INCLUDES for path in sorted((ROOT / module).rglob("*.h"))],
    include_dirs=[str(ROOT / directory) for directory in INCLUDES],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-ldl"],
    py_limited_api=True,
)

if __name__ == "__main__":
    build_in_place(ffibuilder)
