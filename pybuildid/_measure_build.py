# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._measure is built: every design of csrc/rivals, and what measures them."""

from __future__ import annotations

import re
from glob import glob
from pathlib import Path

from cffi import FFI

HEADER = Path("csrc/rivals/rivals.h")
DESIGNS = re.findall(r"^extern const struct bid_design (bid_design_\w+);", HEADER.read_text(), re.MULTILINE)

#: Those that this build has: a design whose library is missing is declared and not defined.
SOURCE = """
#include "resident.h"
{weak}
static const struct bid_design *const all_designs[] = {{{designs}}};

static const struct bid_design *bid_measured_design(size_t number)
{{
    size_t seen = 0;
    for (size_t i = 0; i < sizeof all_designs / sizeof all_designs[0]; i++)
        if (all_designs[i] && seen++ == number)
            return all_designs[i];
    return NULL;
}}
"""

ffibuilder = FFI()
ffibuilder.cdef(
    """
#define BID_RESIDENT_OK ...
#define BID_RESIDENT_E_SYSTEM ...
#define BID_RESIDENT_E_SMAPS ...
#define BID_RESIDENT_E_CREATE ...
#define BID_RESIDENT_E_INSERT ...

struct bid_design {
    const char *name;
    const char *summary;
    uint64_t (*resizes)(const void *design);
    ...;
};

const struct bid_design *bid_measured_design(size_t number);
int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes);
"""
)
ffibuilder.set_source(
    "pybuildid._measure",
    SOURCE.format(
        weak="\n".join(f"#pragma weak {design}" for design in DESIGNS),
        designs=", ".join(f"&{design}" for design in DESIGNS),
    ),
    sources=[
        *sorted(glob("csrc/table/*.c") + glob("csrc/note/*.c") + glob("csrc/rivals/*.c")),
        *glob("csrc/study/res*.c"),
    ],
    depends=sorted(glob("csrc/*/*.h")),
    include_dirs=["csrc/include", "csrc/rivals", "csrc/study"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    extra_link_args=["-pthread"],
    py_limited_api=True,
)
