# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._measure is built: every design of csrc/rivals, and what measures them."""

from __future__ import annotations

from glob import glob

from cffi import FFI

DESIGNS = """
#define BID_OK ...
#define BID_ABSENT ...
#define BID_STALE ...
#define BID_NO_BUILD_ID ...
#define BID_EXISTS ...
#define BID_ID_NARROW ...
#define RIVAL_BUSY ...
#define RIVAL_NOT_IN_MEMORY ...
#define RIVAL_GROWS ...
#define RIVAL_POINTER ...
#define RIVAL_REPARSES ...

struct bid_build_id {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[...];
    ...;
};

struct bid_probe_cost {
    uint32_t slots, records;
};

struct bid_design {
    const char *name;
    const char *summary;
    void *(*create)(uint64_t expected_entries, uint64_t seed);
    void (*destroy)(void *design);
    int (*lookup)(void *design, uint64_t key, struct bid_build_id *id, struct bid_probe_cost *cost);
    int (*lookup_generation)(void *design, uint64_t key, uint32_t generation, struct bid_build_id *id);
    int (*insert)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*replace)(void *design, uint64_t key, uint32_t generation, const void *id, size_t length);
    int (*remove)(void *design, uint64_t key);
    uint64_t (*count)(const void *design);
    uint64_t (*resizes)(const void *design);
    size_t (*keys)(void *design, uint64_t *keys, size_t capacity);
    uint64_t (*mapped_bytes)(const void *design);
    uint64_t (*busy)(const void *design);
    uint64_t (*object)(void *design, uint64_t key);
    int (*page_out)(void *design, uint64_t key);
    void (*settle)(void *design);
    void (*thread_begin)(void);
    void (*thread_end)(void);
    uint32_t traits;
    ...;
};

const struct bid_design *bid_design_number(unsigned i);
"""

RESIDENT = """
#define BID_RESIDENT_OK ...
#define BID_RESIDENT_E_SYSTEM ...
#define BID_RESIDENT_E_SMAPS ...
#define BID_RESIDENT_E_CREATE ...
#define BID_RESIDENT_E_INSERT ...

int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes);
"""

MODULES = ("table", "note", "rivals")  # of csrc

ffibuilder = FFI()
ffibuilder.cdef(DESIGNS + RESIDENT)
ffibuilder.set_source(
    "pybuildid._measure",
    '#include "resident.h"\n',
    sources=[
        *sorted(source for module in MODULES for source in glob(f"csrc/{module}/*.c")),
        "csrc/study/resident.c",
    ],
    depends=sorted(glob("csrc/*/*.h")),
    include_dirs=["csrc/include", "csrc/rivals", "csrc/study"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-ldl"],
    py_limited_api=True,
)
