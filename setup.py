# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What pyproject.toml cannot say: the extension modules, and that one wheel fits every Python from 3.9 on."""

import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))  # a build in isolation leaves it out

from csrc.build import BuildChanged
from csrc.build_record import build_programs


class BuildAll(BuildChanged):
    """The extension modules, and the BPF programs of `record`."""

    def run(self) -> None:
        super().run()
        build_programs(Path() if self.inplace else Path(self.build_lib))


AGENT = ("agent", "sample", "timer", "program", "signals")  # of csrc/profile
SERVER = ("server", "process", "events", "views", "modules")


def sources(*folders: str) -> list[str]:
    return sorted(source for folder in folders for source in glob(f"csrc/{folder}/*.c"))


def profiler(name: str, parts: tuple[str, ...], more: list[str], flags: list[str]) -> Extension:
    """A library of its own, which needs no Python. It is never unmapped: its handler may be called until the process
    ends. Without the checked forms of libc's functions, which musl does not have."""
    return Extension(
        f"pybuildid.{name}",
        sources=[*(f"csrc/profile/{part}.c" for part in parts), *more],
        depends=sorted(glob("csrc/**/*.h", recursive=True)),
        include_dirs=["csrc/include"],
        extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden", "-U_FORTIFY_SOURCE", *flags],
        extra_link_args=["-pthread", "-ldl", "-Wl,-z,nodelete", "-Wl,-Bsymbolic"],
        py_limited_api=True,
    )


PARSER = [source for source in sources("note") if not source.endswith("scan.c")]  # which does I/O

#: For LD_PRELOAD: the profiler's part in a process that is profiled.
preload = profiler("_preload", AGENT, [*sources("preload"), *PARSER], [])
#: Its part outside of it, and what a process needs to profile itself.
server = profiler(
    "_profiler",
    AGENT + SERVER,
    sources("table", "process", "inode", "note", "resolve"),
    ['-DBID_EXPORTED=__attribute__((visibility("default")))'],
)

setup(
    ext_modules=[preload, server],
    cffi_modules=["csrc/build_core.py:ffibuilder", "csrc/build_record.py:ffibuilder"],
    cmdclass={"build_ext": BuildAll},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
