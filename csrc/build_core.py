# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._core is built. Every call of it releases the GIL. setup.py runs this file."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from cffi import FFI

from csrc.cdefs import declarations, public_headers

#: What C programs do not get.
PRIVATE = [Path(f"csrc/{name}.h") for name in ("collisions/chains", "rows/rows", "pprof/pprof", "process/memory")]
FUNCTIONS = (
    *("bid_version", "bid_status_*", "bid_create", "bid_destroy", "bid_lookup*", "bid_count", "bid_keys"),
    *("bid_insert", "bid_insert_many", "bid_replace", "bid_upsert", "bid_remove", "bid_remove_generation"),
    *("bid_reserve", "bid_shrink", "bid_reclaim", "bid_statistics", "bid_inode_*", "bid_elf_*", "bid_process_*"),
    *("bid_maps_create", "bid_maps_destroy", "bid_maps_refresh", "bid_maps_follow", "bid_resolve_many"),
    *("bid_chain_*", "bid_rows_*", "bid_pprof_*", "bid_sums_*", "bid_tree_*", "bid_bytes_free"),
    "bid_platform_has",
)
MODULES = ("table", "process", "inode", "note", "resolve", "mappings", "collisions", "rows", "pprof")  # of csrc

ffibuilder = FFI()
ffibuilder.cdef(declarations([*public_headers(), *PRIVATE], FUNCTIONS))
ffibuilder.set_source(
    "pybuildid._core",
    '#include "bid.h"\n#include "chains.h"\n#include "rows.h"\n#include "pprof.h"\n#include "memory.h"\n',
    sources=sorted(source for module in MODULES for source in glob(f"csrc/{module}/*.c")),
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    include_dirs=["csrc/include", "csrc/collisions", "csrc/rows", "csrc/pprof", "csrc/process"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    py_limited_api=True,
)
