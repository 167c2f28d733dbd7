# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._core is built. Every call of it releases the GIL. setup.py runs this file."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from cffi import FFI

from csrc.cdefs import declarations, public_headers

CHAINS = Path("csrc/collisions/chains.h")
FUNCTIONS = (
    *("bid_version", "bid_status_*", "bid_create", "bid_destroy", "bid_lookup*", "bid_count", "bid_keys"),
    *("bid_insert", "bid_insert_many", "bid_replace", "bid_upsert", "bid_remove", "bid_remove_generation"),
    *("bid_reserve", "bid_shrink", "bid_reclaim", "bid_statistics", "bid_inode_*", "bid_elf_*", "bid_process_*"),
    "bid_chain_*",
)
MODULES = ("table", "process", "inode", "note", "mappings", "collisions")  # of csrc
SHARED = ("procmaps", "identity", "same")  # of csrc/resolve: what csrc/mappings uses of it

ffibuilder = FFI()
ffibuilder.cdef(declarations([*public_headers(), CHAINS], FUNCTIONS))
ffibuilder.set_source(
    "pybuildid._core",
    '#include "bid.h"\n#include "chains.h"\n',
    sources=sorted(
        [source for module in MODULES for source in glob(f"csrc/{module}/*.c")]
        + [f"csrc/resolve/{name}.c" for name in SHARED]
    ),
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    include_dirs=["csrc/include", "csrc/collisions"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    py_limited_api=True,
)
