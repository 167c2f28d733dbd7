# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Builds the storm's extension module, stress/storm/_storm.abi3.so: ``python -m stress.storm.build``.

It compiles the table's sources once more, so that the storm runs over exactly the code of this checkout.
"""

from __future__ import annotations

import contextlib
import io
import shutil
import sysconfig
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock

from cffi import FFI

from csrc.cdefs import declarations, public_headers
from stress import programs
from stress.programs import RIVALS, ROOT, Toolchain

HERE = ROOT / "stress" / "storm"
HEADERS = (ROOT / "stress/common/quiet.h", HERE / "shared.h", HERE / "oracle.h")
FUNCTIONS = ("oracle_state", "oracle_judge*", "storm_*", "bid_status_name")
MODULES = ("table", "process", "note")  #: of csrc
SHARED = Toolchain(flags=("-O2", "-g", "-DBID_DEBUG", "-fPIC", "-fvisibility=hidden"), strict=())

_writing = Lock()


def storm_sources() -> list[Path]:
    """The harness's side."""
    return [*programs.c_files(HERE), ROOT / "stress/common/quiet.c"]


@cache
def _interface() -> Path:
    ffi = FFI()
    ffi.cdef(declarations([*public_headers(), *HEADERS], FUNCTIONS))
    ffi.set_source("stress.storm._storm", '#include "oracle.h"\n', py_limited_api=True)
    source = ROOT / "build" / "storm" / "_storm.c"
    source.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):  # it says that it does
        ffi.emit_c_code(str(source))
    return source


def interface() -> Path:
    """Python's side, in C: written by cffi, once."""
    with _writing:
        return _interface()


def extension(toolchain: Toolchain) -> Path:
    """The storm over these sources of the table, as a module that Python can load. Raises CompilerError.

    toolchain: makes code for shared objects. cffi's file has warnings.
    """
    includes = f"-I{sysconfig.get_path('include')}", f"-I{HERE}"
    own = programs.objects([interface(), *storm_sources()], replace(toolchain, flags=(*toolchain.flags, *includes)))
    library = programs.archive([*programs.c_files(RIVALS), *toolchain.sources(MODULES)], toolchain)
    return programs.link("_storm", [*own, library], toolchain, "-shared")


if __name__ == "__main__":
    shutil.copy(extension(SHARED), HERE / "_storm.new")  # a process may have the old one mapped
    (HERE / "_storm.new").replace(HERE / "_storm.abi3.so")
