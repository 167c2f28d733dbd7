# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""The extension module that cffi builds from csrc/build_core.py."""

from typing import Any

class _Lib:
    BID_OK: int
    BID_ABSENT: int
    BID_EXISTS: int
    def __getattr__(self, name: str) -> Any: ...

ffi: Any
lib: _Lib
