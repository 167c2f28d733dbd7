# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Gives up capabilities of this thread for a while, as a user without them would be."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

VERSION_3 = 0x20080522
SYS_ADMIN, CHECKPOINT_RESTORE = 21, 40


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    """The kernel's struct __user_cap_data_struct: one for the first 32 capabilities, one for the others."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _call(name: str, data: object) -> None:
    header = _Header(VERSION_3, 0)
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(ctypes.byref(header), data) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


@contextmanager
def without(*capabilities: int) -> Iterator[None]:
    data = (_Data * 2)()
    _call("capget", data)
    before = [word.effective for word in data]
    for number in capabilities:
        data[number // 32].effective &= ~(1 << number % 32)
    _call("capset", data)
    try:
        yield
    finally:
        for word, effective in zip(data, before):
            word.effective = effective
        _call("capset", data)


@contextmanager
def without_map_files() -> Iterator[None]:
    """Without the capabilities that it takes to follow /proc/PID/map_files."""
    with without(SYS_ADMIN, CHECKPOINT_RESTORE):
        place = "/proc/self/map_files"
        for name in os.listdir(place):
            try:
                os.stat(f"{place}/{name}")
            except OSError:
                break
            raise AssertionError(f"{place} can be followed all the same")
        yield
