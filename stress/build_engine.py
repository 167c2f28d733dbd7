# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the harness's extension module, stress/_engine.*.so, in place: ``python -m stress.build_engine``.

It compiles the table's sources once more, so that the storm runs over exactly the code of this checkout.
"""

from __future__ import annotations

import os
from glob import glob
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
os.chdir(ROOT)  # the paths below, and what cffi writes, are relative to the checkout
MODULES = ("csrc/table", "csrc/rivals", "stress/engine")

ffibuilder = FFI()
ffibuilder.cdef(
    """
#define STORM_WORKERS ...
#define BID_LOOKUP_MAX_SLOTS ...
#define BID_LOOKUP_MAX_RECORDS ...
#define STORM_LEVELS ...
#define STORM_COMPLAINTS ...
#define STORM_SOURCES ...
#define STORM_PERF ...
#define STORM_TIMER ...
#define STORM_DIRECTED ...
#define STORM_STARTING ...
#define STORM_RUNNING ...
#define STORM_CHECKING ...
#define STORM_DONE ...
#define STORM_FAILED ...

struct storm_config {
    const char *design;
    const uint64_t *keys;
    const uint8_t *ids;
    const uint8_t *lengths;
    uint64_t n, seed;
    double seconds;
    uint32_t lookers, churners, sources;
    ...;
};

struct storm_complaint {
    uint64_t key, lowest, highest, answered;
    int32_t status;
    uint32_t level, place;
    ...;
};

struct storm_worker {
    int32_t tid;
    uint32_t churner;
    uint64_t updates, refused, lookups;
    uint64_t interruptions[...];
    uint64_t landed_in_update, landed_in_resize, landed_in_lookup, nested, wrong, errno_changed;
    uint32_t max_slots, max_records;
    uint64_t begun[...];
    uint64_t ended[...];
    ...;
};

struct storm_shared {
    uint32_t state, error;
    char failed[...];
    uint32_t sources, perf_errno;
    uint64_t resizes, entries, wrong_at_end, errors;
    int32_t first_error;
    uint32_t period_us;
    uint64_t complaints;
    struct storm_complaint complaint[...];
    struct storm_worker worker[...];
    ...;
};

int storm_start(const struct storm_config *config, struct storm_shared **shared);
void storm_free(struct storm_shared *shared);
const char *storm_design_name(uint32_t i);
const char *storm_design_summary(uint32_t i);
const char *bid_status_name(int status);
"""
)
ffibuilder.set_source(
    "stress._engine",
    '#include "engine.h"\n#include <pybuildid.h>\n',
    sources=sorted(source for module in MODULES for source in glob(f"{module}/*.c")),
    include_dirs=["csrc/include", "csrc/rivals", "stress/engine"],
    extra_compile_args=["-std=c11", "-O2", "-g", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt"],
    py_limited_api=True,
)

if __name__ == "__main__":
    ffibuilder.compile(tmpdir=".", verbose=False)
