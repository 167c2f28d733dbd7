# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The extension module that cffi builds from build_measure.py."""

from typing import Any

ffi: Any
lib: Any
