# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._recorder is built, and the BPF programs that it loads. setup.py runs this file.

Where clang or libbpf's headers are missing the programs are left out: the package builds, `pybuildid record` and
`pybuildid inodes` say why they cannot run, and `pybuildid census` counts without them.
"""

from __future__ import annotations

import sys
from glob import glob
from pathlib import Path

from cffi import FFI

from csrc.build_bpf import BpfBuildError, compile_bpf
from csrc.cdefs import declarations, public_headers

RECORD, ITERATORS = Path("csrc/record"), Path("csrc/iterators")
HEADERS = (
    Path("csrc/bpf/space.h"),
    *(ITERATORS / name for name in ("holder.h", "iterators.h")),
    *(RECORD / name for name in ("record.h", "names.h", "files.h", "stacks.h", "recorder.h")),
)
MODULES = ("table", "process", "region", "bpf", "record", "iterators", "note")  # of csrc
#: The programs, where the package has them, and what is to be said where they cannot be built.
PROGRAMS = (
    (RECORD / "record.bpf.c", "pybuildid/record/record.bpf.o", "`pybuildid record` will not work"),
    (ITERATORS / "iterators.bpf.c", "pybuildid/iterators.bpf.o", "`pybuildid inodes` will not work"),
)

SOURCES = [
    source for module in MODULES for source in sorted(glob(f"csrc/{module}/*.c")) if not source.endswith(".bpf.c")
]

ffibuilder = FFI()
FUNCTIONS = (
    "bid_recorder_*",
    "bid_iterators_*",
    "bid_lookup",
    "bid_upsert",
    "bid_remove",
    "bid_shrink",
    "bid_insert_many",
)
ffibuilder.cdef(declarations([*public_headers(), *HEADERS], FUNCTIONS))
ffibuilder.set_source(
    "pybuildid._recorder",
    '#include "recorder.h"\n#include "iterators.h"\n#include "bid.h"\n',
    sources=SOURCES,
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    include_dirs=["csrc/include", "csrc/table", "csrc/bpf", "csrc/record", "csrc/iterators"],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden"],
    libraries=["dl"],
    py_limited_api=True,
)


def build_programs(root: Path) -> None:
    """Compiles the BPF programs to their places below `root`, if that can be done here."""
    for source, place, loss in PROGRAMS:
        output = root / place
        try:
            compile_bpf(source, output, source.parent)
        except BpfBuildError as error:
            output.unlink(missing_ok=True)
            print(f"{loss}: its BPF programs were not built: {error}", file=sys.stderr)
