# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._measure is built: every design of csrc/rivals, and what measures them."""

from __future__ import annotations

from glob import glob
from pathlib import Path

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
    int (*reserve)(void *design, uint64_t entries);
    int (*shrink)(void *design);
    int (*resizing)(const void *design);
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

struct bid_table;
size_t bid_lookup_many(const struct bid_table *table, const uint64_t *keys, size_t n, uint8_t *ids, size_t id_size,
                       uint8_t *lengths);
"""

RESIDENT = """
#define BID_RESIDENT_OK ...
#define BID_RESIDENT_E_SYSTEM ...
#define BID_RESIDENT_E_SMAPS ...
#define BID_RESIDENT_E_CREATE ...
#define BID_RESIDENT_E_INSERT ...

int bid_resident(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, uint64_t *bytes,
                 uint64_t *allocated);
int bid_resident_cycle(const struct bid_design *design, uint64_t entries, const uint64_t *keys, size_t n,
                       uint64_t *after, uint64_t *before, double *most);
"""

TIMING = """
#define TIMING_CHUNK ...
#define TIMING_OK ...
#define TIMING_WRONG ...
#define TIMING_FAILED ...
#define TIMING_MEMORY ...
#define TIMING_SLOW ...
extern uint64_t timing_slow_ns;

struct timing {
    double ns, left_out, p999, most;
    uint64_t operations, busy;
};

struct timing_company {
    unsigned waiting, threads, stop;
    uint64_t turns, wanted;
};

struct timing_draws {
    const uint64_t *keys, *sums;
    size_t n;
};

struct timing_cost {
    double slots, records;
    uint32_t most_slots, most_records;
    uint64_t worst;
};

int timing_hits(const struct bid_design *design, void *table, const struct timing_draws *draws, uint64_t min_ns,
                struct timing_company *company, struct timing *timing);
int timing_chain(const struct bid_design *design, void *table, const uint64_t *cycle, size_t n, uint64_t min_ns,
                 struct timing *timing);
int timing_insert(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                  struct timing *timing);
int timing_remove(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing);
int timing_churn(const struct bid_design *design, void *table, const uint64_t *keys, size_t n, struct timing *timing);
int timing_churn_partner(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                         struct timing_company *company);
int timing_resize_partner(const struct bid_design *design, void *table, size_t entries, struct timing_company *company);
int timing_grow_partner(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next,
                        size_t n, struct timing_company *company);
int timing_latency(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                   struct timing_company *company, struct timing *timing);
void timing_trim(void);
int timing_fill(const struct bid_design *design, void *table, const uint64_t *keys, const uint64_t *next, size_t n,
                const uint64_t *absent);
void timing_cost(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                 struct timing_cost *cost);

struct timing_array;
struct timing_array *timing_array_create(size_t bytes, int huge, uint64_t seed);
void timing_array_destroy(struct timing_array *array);
int timing_array_loads(struct timing_array *array, uint64_t min_ns, struct timing *timing);
int timing_array_chain(struct timing_array *array, uint64_t min_ns, struct timing *timing);

int timing_into_arrays(const struct bid_design *design, void *table, const struct timing_draws *draws, int many,
                       uint8_t *ids, uint8_t *lengths, struct timing *timing);
int timing_loaded(const struct timing_draws *draws, uint64_t min_ns, struct timing *timing);
uint64_t timing_loaded_start(uint64_t address);

void timing_shuffle(uint64_t *keys, size_t n, uint64_t seed);
int timing_cycle(const uint64_t *keys, size_t n, uint64_t seed, uint64_t *cycle, uint64_t *next);
void timing_draw(const uint64_t *keys, const uint64_t *next, size_t n, uint64_t seed, uint64_t *draws, uint64_t *sums,
                 size_t count);
int timing_objects(const struct bid_design *design, void *table, uint64_t *keys, size_t n);
"""

INTERRUPT = """
#define INTERRUPT_STEPPED_MAX ...
#define INTERRUPT_OK ...
#define INTERRUPT_E_SYSTEM ...
#define INTERRUPT_E_UPDATE ...

struct interrupt_result {
    uint64_t interruptions, in_update, answered, busy, wrong, blocked, updates, resizes;
};

int interrupt_run(const struct bid_design *design, uint64_t expected, const uint64_t *keys, size_t n, double seconds,
                  struct interrupt_result *result);
int interrupt_count(const struct bid_design *design, void *table, const uint64_t *keys, size_t n,
                    uint32_t *instructions);
"""

PEERS = """
const struct bid_design *peer_load(const char *path, char *reason, size_t size);

struct embedded_file {
    const char *name, *text;
};

static const struct embedded_file embedded_files[...];
"""

#: What designs from outside are compiled from where their libraries are (pybuildid/bench/peers.py): the headers as this
#: module was compiled with them, so that the interface is the same, and the sources.
EMBEDDED = (
    "csrc/include/pybuildid.h",
    *(f"csrc/rivals/{name}.h" for name in ("rivals", "loops", "record")),
    *sorted(glob("csrc/peers/*")),
)


def embedded() -> str:
    """The files as C source."""

    def literal(text: str) -> str:
        return "".join('\n    "' + line.replace("\\", r"\\").replace('"', r"\"") + r'\n"' for line in text.splitlines())

    rows = ",\n".join(f'{{"{Path(path).name}",{literal(Path(path).read_text())}}}' for path in EMBEDDED)
    return f"static const struct embedded_file {{ const char *name, *text; }} embedded_files[] = {{\n{rows}}};\n"


MODULES = ("table", "note", "rivals")  # of csrc
STUDY = ("resident", "timing", "floor", "interrupt", "peers")  # of csrc/study

ffibuilder = FFI()
ffibuilder.cdef(DESIGNS + RESIDENT + TIMING + INTERRUPT + PEERS)
ffibuilder.set_source(
    "pybuildid._measure",
    "\n".join(f'#include "{name}.h"' for name in STUDY) + "\n" + embedded(),
    sources=[
        *sorted(source for module in MODULES for source in glob(f"csrc/{module}/*.c")),
        *(f"csrc/study/{name}.c" for name in STUDY),
    ],
    depends=sorted(glob("csrc/*/*.h")),
    include_dirs=["csrc/include", "csrc/rivals", "csrc/study"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-ldl"],
    py_limited_api=True,
)
