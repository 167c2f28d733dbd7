# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
# Made by stress.storm.build; cffi's own objects have no types.
from typing import Any

ffi: Any
lib: Any
