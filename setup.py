# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""What pyproject.toml cannot say: the extension modules, and that one wheel fits every Python from 3.9 on."""

from setuptools import setup

setup(
    cffi_modules=["pybuildid/_cffi_build.py:ffibuilder", "pybuildid/_measure_build.py:ffibuilder"],
    options={"bdist_wheel": {"py_limited_api": "cp39"}},
)
