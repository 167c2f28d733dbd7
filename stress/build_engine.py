# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the harness's extension module, stress/_engine.*.so, in place: ``python -m stress.build_engine``.

It compiles the table's sources once more, so that the storm runs over exactly the code of this checkout.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "engine"
ENGINE = ("stress/engine", "stress/quiet")
MODULES = ("csrc/table", "csrc/note", "csrc/rivals", *ENGINE)


def engine_sources() -> list[Path]:
    """The harness's side."""
    return [source for module in ENGINE for source in sorted((ROOT / module).glob("*.c"))]


ffibuilder = FFI()
ffibuilder.cdef(
    """
#define BID_OK ...
#define BID_ABSENT ...
#define BID_STALE ...
#define BID_NO_BUILD_ID ...
#define BID_LOOKUP_MAX_SLOTS ...
#define BID_LOOKUP_MAX_RECORDS ...
#define STORM_WORKERS ...
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

#define STORM_OPERATIONS ...
#define BID_FIXED_SEED ...
#define BID_MLOCK ...
#define BID_FENCED_PINS ...
#define BID_HASH_MIX ...
#define BID_HASH_MIDDLE_BITS ...
#define BID_HASH_XOR_FOLD ...

struct bid_options {
    uint64_t expected_entries, byte_limit, retired_limit, seed;
    uint32_t hash, hash_shift, id_size, flags;
    ...;
};

struct storm_config {
    const char *design;
    const uint64_t *keys;
    const uint8_t *ids;
    const uint8_t *lengths;
    uint64_t n, seed;
    double seconds;
    uint32_t lookers, churners, sources;
    struct bid_options options;
    ...;
};

struct storm_complaint {
    uint64_t key, lowest, highest, answered;
    int32_t status;
    uint32_t level, place, operation;
    ...;
};

struct storm_tally {
    uint64_t begun, ended;
    uint64_t interruptions[...];
    uint64_t landed_in_update, landed_in_resize, landed_in_lookup, updates, refused, wrong, errno_changed;
    uint64_t operations[...];
    uint32_t max_slots, max_records;
    ...;
};

struct storm_worker {
    int32_t tid;
    struct storm_tally tally[...];
    ...;
};

struct quiet_found {
    uint64_t calls;
    int64_t first;
    uint64_t threads;
    ...;
};

struct storm_shared {
    uint32_t state;
    char failed[...];
    uint32_t sources, perf_errno;
    double seconds;
    uint32_t period_us;
    uint64_t errors;
    int32_t first_error;
    uint64_t resizes, entries, count, wrong_at_end, complaints;
    struct quiet_found quiet;
    struct storm_complaint complaint[...];
    struct storm_worker worker[...];
    ...;
};

struct bid_build_id {
    uint32_t generation;
    uint8_t length;
    uint8_t bytes[...];
    ...;
};

struct oracle_key {
    uint64_t key;
    uint8_t length;
    uint8_t id[...];
    uint8_t longest, batch;
    ...;
};

int oracle_state(const struct oracle_key *key, uint64_t version, struct bid_build_id *id);
int oracle_judge(const struct oracle_key *key, uint64_t lowest, uint64_t highest, int status,
                 const struct bid_build_id *id, uint64_t *version);
int oracle_judge_generation(const struct oracle_key *key, uint64_t lowest, uint64_t highest, uint32_t generation,
                            int status, const struct bid_build_id *id, uint64_t *version);

int oracle_judge_row(const struct oracle_key *key, uint64_t lowest, uint64_t highest, const uint8_t *row,
                     size_t id_size, unsigned length, uint64_t *version);

int storm_start(const struct storm_config *config, struct storm_shared **shared);
void storm_free(struct storm_shared *shared);
const char *storm_design_name(uint32_t i);
const char *storm_design_summary(uint32_t i);
const char *storm_operation_name(uint32_t operation);
const char *bid_status_name(int status);
"""
)
ffibuilder.set_source(
    "stress._engine",
    '#include "oracle.h"\n',
    sources=[str(source) for module in MODULES for source in sorted((ROOT / module).glob("*.c"))],
    include_dirs=[str(ROOT / directory) for directory in ("csrc/include", "stress/engine")],
    extra_compile_args=["-std=c11", "-O2", "-g", "-Wall", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-lrt"],
    py_limited_api=True,
)

if __name__ == "__main__":
    built = Path(ffibuilder.compile(tmpdir=str(BUILD)))
    partial = shutil.copy(built, ROOT / "stress" / f".{built.name}.{os.getpid()}")
    os.replace(partial, ROOT / "stress" / built.name)  # a harness that runs keeps the file that it has mapped
