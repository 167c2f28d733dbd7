# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Made by stress.build_engine; cffi's own objects have no types.
from typing import Any

ffi: Any
lib: Any
