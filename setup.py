# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What pyproject.toml cannot say: the extension modules, and that one wheel fits every Python from 3.9 on."""

import sys
from glob import glob
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))  # a build in isolation leaves it out

from csrc.build import BuildChanged

PROFILER = ("table", "inode", "note", "resolve", "profile")  # of csrc

#: A library of its own, for LD_PRELOAD: it needs no Python. It is never unmapped: its handlers may be called until the
#: process ends.
profiler = Extension(
    "pybuildid._profiler",
    sources=sorted(source for module in PROFILER for source in glob(f"csrc/{module}/*.c")),
    depends=sorted(glob("csrc/*/*.h")),
    include_dirs=["csrc/include"],
    extra_compile_args=["-std=c11", "-O2", "-fvisibility=hidden"],
    extra_link_args=["-pthread", "-ldl", "-Wl,-z,defs", "-Wl,-z,nodelete"],
    py_limited_api=True,
)

setup(
    ext_modules=[profiler],
    cffi_modules=["csrc/build_core.py:ffibuilder"],
    cmdclass={"build_ext": BuildChanged},
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
