# SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
"""Resolver: addresses of this process as (build ID, file offset), many at once, as a profiler's handler has them."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from pybuildid._arguments import uint
from pybuildid._columns import integers
from pybuildid._core import ffi, lib
from pybuildid.errors import UnsupportedError, check

if TYPE_CHECKING:
    from typing import SupportsIndex

    from pybuildid._columns import Integers

RECORD = 32  #: bytes of a struct bpf_stack_build_id


def _check(status: int, lacking: str) -> int:
    """As check(), but names what these calls may lack: the text of the status names what a table may lack."""
    if status == lib.BID_E_UNSUPPORTED:
        raise UnsupportedError(lacking)
    return check(status)


class Resolver:
    """What this process had mapped when it was last refreshed.

        resolver = Resolver()
        records, reasons = resolver.resolve_many(array("Q", addresses))

    Any thread may use it at any time, also while another one refreshes. Code that is mapped later is "no mapping" until
    refresh(). The child of a fork has its own. Raises NoMemoryError, UnsupportedError (/proc cannot be read).
    """

    def __init__(self) -> None:
        maps = ffi.new("struct bid_maps **")
        check(lib.bid_maps_create(maps, ffi.NULL))
        self._maps = ffi.gc(maps[0], lib.bid_maps_destroy)
        self.refresh()

    def refresh(self) -> bool:
        """Reads what is mapped now. Returns whether that has changed. Raises as Resolver(), and RetiredLimitError."""
        return _check(lib.bid_maps_refresh(self._maps), "/proc/self/maps cannot be read: is /proc mounted?") == 0

    def follow(self, milliseconds: SupportsIndex) -> None:
        """Starts a thread that refreshes every so often; 0 ends it. Code that comes and goes between is not noticed."""
        status = lib.bid_maps_follow(self._maps, uint(milliseconds, 32, "milliseconds"))
        _check(status, "the thread needs close_range() or unshare(), which a filter of system calls may forbid")

    def resolve_many(self, addresses: Integers) -> tuple[bytearray, bytearray]:
        """n addresses by the mappings of one moment: (records, reasons).

        addresses: n integers, in a list, buffer or array, as keys of Table.lookup_many(); no other thread may change it
            meanwhile. Return addresses are taken as they are: the call is in the byte before.
        records: n times 32 bytes, each a struct bpf_stack_build_id of Linux: an int32, 1 if there is a build ID, else
            2; 20 bytes of build ID, padded with zeros; a uint64, the offset in the file, or the address.
        reasons: n bytes, enum bid_resolve_reason of bid/resolve.h: 0 if there is a build ID.
        """
        with ExitStack() as stack:
            pointer = stack.enter_context(ffi.from_buffer("uint64_t[]", integers(addresses, 64, "addresses")))
            n = len(pointer)
            records, reasons = bytearray(n * RECORD), bytearray(n)
            filled = ffi.from_buffer("struct bid_stack_build_id[]", records)
            lib.bid_resolve_many(self._maps, pointer, n, filled, ffi.from_buffer("uint8_t[]", reasons))
        return records, reasons
