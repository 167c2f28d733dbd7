# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._core is built. Every call of it releases the GIL. setup.py runs this file."""

from __future__ import annotations

from glob import glob
from pathlib import Path

from cffi import FFI

from csrc.cdefs import declarations

HEADERS = ("include/pybuildid.h", "handle/handle.h", "collisions/chains.h")  # of csrc
FUNCTIONS = ("bid_status_*", "bid_inode_init", "bid_handle_*", "bid_elf_*", "bid_chain_*")
MODULES = ("table", "inode", "note", "handle", "collisions")  # of csrc

ffibuilder = FFI()
ffibuilder.cdef(declarations([Path("csrc") / header for header in HEADERS], FUNCTIONS))
ffibuilder.set_source(
    "pybuildid._core",
    "".join(f'#include "{Path(header).name}"\n' for header in HEADERS),
    sources=sorted(source for module in MODULES for source in glob(f"csrc/{module}/*.c")),
    depends=sorted(glob("csrc/*/*.h")),
    include_dirs=["csrc/include", "csrc/handle", "csrc/collisions"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    py_limited_api=True,
)
