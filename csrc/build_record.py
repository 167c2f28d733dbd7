# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""How the extension module pybuildid._recorder is built, and the BPF programs that it loads. setup.py runs this file.

Where clang or libbpf's headers are missing the programs are left out: the package builds, and `pybuildid record` says
why it cannot run.
"""

from __future__ import annotations

import sys
from glob import glob
from pathlib import Path

from cffi import FFI

from csrc.build_bpf import BpfBuildError, compile_bpf
from csrc.cdefs import declarations, public_headers

RECORD = Path("csrc/record")
HEADERS = (
    Path("csrc/bpf/space.h"),
    *(RECORD / name for name in ("record.h", "files.h", "stacks.h", "recorder.h")),
)
MODULES = ("table", "process", "region", "bpf", "record", "note")  # of csrc
OBJECT = "pybuildid/record/record.bpf.o"  #: where the package has the programs

SOURCES = [
    source for module in MODULES for source in sorted(glob(f"csrc/{module}/*.c")) if not source.endswith(".bpf.c")
]

ffibuilder = FFI()
ffibuilder.cdef(
    declarations(
        [*public_headers(), *HEADERS],
        ("bid_recorder_*", "bid_lookup", "bid_upsert", "bid_remove", "bid_shrink", "bid_insert_many"),
    )
)
ffibuilder.set_source(
    "pybuildid._recorder",
    '#include "recorder.h"\n#include "bid.h"\n',
    sources=SOURCES,
    depends=sorted(glob("csrc/**/*.h", recursive=True)),
    include_dirs=["csrc/include", "csrc/table", "csrc/bpf", "csrc/record"],
    extra_compile_args=["-std=gnu11", "-O2", "-fvisibility=hidden"],
    libraries=["dl"],
    py_limited_api=True,
)


def build_programs(root: Path) -> None:
    """Compiles the BPF programs to their place below `root`, if that can be done here."""
    output = root / OBJECT
    try:
        compile_bpf(RECORD / "record.bpf.c", output, RECORD)
    except BpfBuildError as error:
        output.unlink(missing_ok=True)
        print(f"`pybuildid record` will not work: its BPF programs were not built: {error}", file=sys.stderr)
