# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The extension module that cffi builds from _measure_build.py."""

from typing import Any

ffi: Any
lib: Any
